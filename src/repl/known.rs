//! What is known of names and values without running anything: for completion, hints and `:type`.

use rhai::Dynamic;

use super::place::opening;
use super::tokens::{Kind, Token, tokens};
use crate::script::{Catalogue, type_name};

/// What can be known at the prompt.
#[derive(Default)]
pub(super) struct Known {
    /// The natives.
    pub(super) catalogue: Catalogue,
    /// The variables and their values.
    pub(super) variables: Vec<(String, Dynamic)>,
    /// The user's functions: name and parameters.
    pub(super) functions: Vec<(String, Vec<String>)>,
    /// How many modules were imported when the natives were looked at; none before that.
    pub(super) imports: Option<usize>,
}

/// What is known of a value.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// The value itself.
    Value(Dynamic),
    /// Its type, as users know it.
    Type(String),
}

impl What {
    /// The type.
    pub(super) fn type_(&self) -> String {
        match self {
            Self::Value(value) => type_name(value.type_name()),
            Self::Type(type_) => type_.clone(),
        }
    }
}

fn of_type(type_: &str) -> Option<What> {
    (type_ != "any").then(|| What::Type(type_.to_string()))
}

impl Known {
    /// What is known of the value of the expression `code`, where `earlier` is the code before
    /// it, whose variables it may use.
    pub(super) fn of(&self, code: &[Token], earlier: &[Token]) -> Option<What> {
        let operands = operands(code);
        if let [_, _, ..] = operands[..] {
            return self.of_operators(code, &operands, earlier);
        }
        let mut value = Vec::new();
        // A sign or a negation changes no type.
        for token in code {
            if !value.is_empty() || !(token.is("-") || token.is("!")) {
                value.push(*token);
            }
        }
        self.of_chain(&value, earlier)
    }

    /// The value of a sum or a comparison: of the first operand that is no number.
    fn of_operators(
        &self,
        code: &[Token],
        operands: &[&[Token]],
        earlier: &[Token],
    ) -> Option<What> {
        let compared = code.iter().any(|token| {
            matches!(token.text, "<" | ">" | "&" | "|" | "!" | "in") && depth_zero(code, token)
        });
        let equal = code
            .windows(2)
            .any(|pair| pair[0].is("=") && pair[1].is("=") && depth_zero(code, &pair[0]));
        if compared || equal {
            return of_type("bool");
        }
        let mut number = None;
        for operand in operands.iter().filter(|operand| !operand.is_empty()) {
            let what = self.of(operand, earlier)?.type_();
            match what.as_str() {
                "float" => number = Some("float"),
                "int" => number = number.or(Some("int")),
                other => return of_type(other),
            }
        }
        of_type(number?)
    }

    /// The value of a name, a literal or a bracket, and of the members and calls on it.
    fn of_chain(&self, code: &[Token], earlier: &[Token]) -> Option<What> {
        let (first, mut rest) = code.split_first()?;
        let mut what = match (first.kind, first.text) {
            (Kind::Text, _) => of_type("text")?,
            (Kind::Number, number) => of_type(match number.contains(['.', 'e']) {
                true => "float",
                false => "int",
            })?,
            (Kind::Keyword, "true" | "false") => of_type("bool")?,
            (Kind::Symbol, "[" | "#{" | "(") => {
                let end = closing(code)?;
                rest = &code[end + 1..];
                match first.text {
                    "[" => of_type("list")?,
                    "#{" => of_type("map")?,
                    _ => self.of(&code[1..end], earlier)?,
                }
            }
            (Kind::Word, name) => {
                let mut name = name.to_string();
                while let [colons, function, after @ ..] = rest
                    && colons.is("::")
                {
                    name = format!("{name}::{}", function.text);
                    rest = after;
                }
                if rest.first().is_some_and(|next| next.is("(")) {
                    rest = &rest[closing(rest)? + 1..];
                    of_type(self.catalogue.returns(&name, None)?)?
                } else {
                    self.of_variable(&name, earlier)?
                }
            }
            _ => return None,
        };
        while let Some((next, after)) = rest.split_first() {
            if next.is("[") {
                let end = closing(rest)?;
                what = self.item(&what, &rest[1..end])?;
                rest = &rest[end + 1..];
                continue;
            }
            let (name, after) = after.split_first()?;
            if !(next.is(".") || next.is("?.")) {
                return None;
            }
            if after.first().is_some_and(|next| next.is("(")) {
                rest = &after[closing(after)? + 1..];
                let type_ = what.type_();
                what = of_type(self.catalogue.returns(name.text, Some(&type_))?)?;
            } else {
                what = self.member(&what, name.text)?;
                rest = after;
            }
        }
        Some(what)
    }

    fn of_variable(&self, name: &str, earlier: &[Token]) -> Option<What> {
        // The last `let NAME = ...;` of the input itself comes before the session's variable.
        let made = (0..earlier.len()).rev().find(|at| {
            matches!(earlier.get(*at..*at + 3), Some([let_, variable, equals])
                if matches!(let_.text, "let" | "const")
                    && variable.text == name
                    && equals.is("="))
        });
        if let Some(at) = made {
            let value = &earlier[at + 3..];
            let end = value
                .iter()
                .position(|token| token.is(";") && depth_zero(value, token));
            return self.of(&value[..end.unwrap_or(value.len())], &earlier[..at]);
        }
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| What::Value(value.clone()))
    }

    /// A member that is no call: an entry of a map, or a property.
    fn member(&self, what: &What, name: &str) -> Option<What> {
        if let What::Value(value) = what
            && let Ok(map) = value.as_map_ref()
        {
            return map.get(name).map(|entry| What::Value(entry.clone()));
        }
        of_type(self.catalogue.property(&what.type_(), name)?)
    }

    fn item(&self, what: &What, index: &[Token]) -> Option<What> {
        match what {
            What::Value(value) if value.is_array() => {
                let list = value.as_array_ref().ok()?;
                let index = match index {
                    [number] => number.text.parse().unwrap_or(0),
                    _ => 0,
                };
                let item = list.get(index).or_else(|| list.first())?;
                Some(What::Value(item.clone()))
            }
            What::Value(value) if value.is_map() => match index {
                [key] => self.member(what, key.text.trim_matches('"')),
                _ => None,
            },
            _ if what.type_() == "Table" => of_type("map"),
            _ => None,
        }
    }

    /// The type of the expression `code`, if it can be told without running it.
    pub(super) fn type_of(&self, code: &str) -> Option<String> {
        let tokens = tokens(code);
        let statement = tokens.iter().any(|token| token.is(";") || token.is("{"));
        let simple = !statement && !tokens.iter().any(|token| token.kind == Kind::Keyword);
        simple
            .then(|| self.of(&tokens, &[]))?
            .map(|what| what.type_())
    }
}

/// Where the bracket that `tokens` begin with is closed.
fn closing(tokens: &[Token]) -> Option<usize> {
    (0..tokens.len()).find(|at| opening(&tokens[..=*at]) == Some(0))
}

/// Whether `wanted` stands outside all brackets.
fn depth_zero(code: &[Token], wanted: &Token) -> bool {
    let mut depth = 0;
    for token in code {
        if token.start == wanted.start {
            return depth == 0;
        }
        match (token.kind, token.text) {
            (Kind::Symbol, "(" | "[" | "{" | "#{") => depth += 1,
            (Kind::Symbol, ")" | "]" | "}") => depth -= 1,
            _ => {}
        }
    }
    false
}

/// The parts between the operators outside brackets.
fn operands<'t, 'a>(code: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let operator = |token: &Token| {
        matches!(
            token.text,
            "+" | "-" | "*" | "/" | "%" | "<" | ">" | "=" | "&" | "|" | "in"
        ) && token.kind != Kind::Text
            && depth_zero(code, token)
    };
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, token) in code.iter().enumerate() {
        // At the start of an operand it is a sign.
        if at > start && operator(token) {
            parts.push(&code[start..at]);
            start = at + 1;
        }
    }
    parts.push(&code[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Session, Setup, engine};

    fn known() -> Known {
        let mut map = rhai::Map::new();
        map.insert("lr".into(), 0.5.into());
        map.insert("names".into(), vec![Dynamic::from("a")].into());
        Known {
            catalogue: Catalogue::of(&engine(&Session::new(Setup::default()))),
            variables: vec![("m".into(), map.into()), ("n".into(), 3.into())],
            ..Known::default()
        }
    }

    #[test]
    fn types_are_told_without_running() {
        let known = known();
        let cases = [
            ("1 + 2", Some("int")),
            ("1 + 2.5", Some("float")),
            ("-n", Some("int")),
            ("n < 3", Some("bool")),
            ("n == 3", Some("bool")),
            ("\"a\" + 1", Some("text")),
            ("[1, 2][0]", None),
            ("m.lr", Some("float")),
            ("m.names[0]", Some("text")),
            ("m[\"lr\"]", Some("float")),
            ("m.none", None),
            ("dataset(\"films\").train", Some("Split")),
            ("dataset(\"films\").train.texts", Some("list")),
            ("train(model(\"mini\"), films)", Some("Adapter")),
            ("0.5 * soup(x) + 0.5 * soup(y)", Some("Adapter")),
            ("(soup(x) + soup(y)).explain", None),
            ("evaluate(b, a, d).confusion.heatmap()", Some("Figure")),
            ("unknown(1)", None),
            ("let x = 1", None),
            ("", None),
        ];
        for (code, expected) in cases {
            assert_eq!(known.type_of(code).as_deref(), expected, "{code}");
        }
    }

    #[test]
    fn a_variable_of_the_same_input_is_known() {
        let known = known();
        let earlier = tokens("let n = dataset(\"films\"); let s = n.test; ");
        let what = known.of(&tokens("s.texts"), &earlier);
        assert_eq!(what.map(|what| what.type_()).as_deref(), Some("list"));
    }
}
