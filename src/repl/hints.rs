//! What is shown, dimmed, after the cursor: how a call goes on, what an option takes.

use super::commands;
use super::completion::default;
use super::known::{Known, What};
use super::place::{Bracket, Place};
use super::tokens::tokens;
use crate::script::{Form, NativeSpec, options_of};

/// The hint for `line`, whose end is at the cursor; at most `room` characters.
pub(super) fn hint(known: &Known, line: &str, room: usize) -> Option<String> {
    let text = commands::hint(line).or_else(|| of_code(known, commands::code(line)))?;
    cut(&text, room)
}

fn of_code(known: &Known, code: &str) -> Option<String> {
    let place = Place::at_end_of(code)?;
    if let Some((native, map)) = place.options()
        && let Some(spec) = options_of(native)
    {
        return match map.key {
            Some(key) if place.word.is_empty() => of_value(spec, key),
            Some(_) => None,
            None => of_key(spec, &map.keys, place.word),
        };
    }
    if place.quoted {
        return None;
    }
    of_name(known, &place).or_else(|| of_call(known, &place))
}

/// What an option takes, where its value is to be written.
fn of_value(spec: &NativeSpec, key: &str) -> Option<String> {
    let option = spec.find(key)?;
    let default = default(option);
    let default = match default.as_str() {
        "required" => String::new(),
        text if text.starts_with('(') => format!("; {}", text.trim_matches(['(', ')'])),
        text => format!("; default {text}"),
    };
    Some(format!(
        "  {}{default}: {}",
        option.expected(),
        option.told()
    ))
}

/// The rest of an option's name, or the options that are left.
fn of_key(spec: &NativeSpec, given: &[&str], word: &str) -> Option<String> {
    let left: Vec<_> = spec
        .options
        .iter()
        .filter(|option| !given.contains(&option.name) && option.name.starts_with(word))
        .collect();
    match &left[..] {
        [] => None,
        [one] if !word.is_empty() => {
            let rest = &one.name[word.len()..];
            Some(format!("{rest}: {}  {}", default(one), one.told()))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|option| option.name).collect();
            Some(format!("  {}", names.join(", ")))
        }
    }
}

/// How the native whose name is complete is called.
fn of_name(known: &Known, place: &Place) -> Option<String> {
    if place.word.is_empty() {
        return None;
    }
    if let Some(receiver) = place.receiver() {
        let type_ = known
            .of(receiver, &place.before)
            .as_ref()
            .map(What::type_)?;
        let members = known.catalogue.members(&type_, false);
        let form = members.iter().find(|form| form.name == place.word)?;
        return Some(match form.property {
            true => format!("  {}: {}", form.returns, form.summary()),
            false => format!("({})  {}", form.arguments(true).join(", "), form.summary()),
        });
    }
    if let Some((_, parameters)) = known.functions.iter().find(|(name, _)| name == place.word) {
        return Some(format!("({})", parameters.join(", ")));
    }
    if known.variables.iter().any(|(name, _)| name == place.word) {
        return None;
    }
    let forms = known.catalogue.calls(place.word);
    let form = forms.first()?;
    let summary = forms
        .iter()
        .map(|form| form.summary())
        .find(|s| !s.is_empty());
    Some(format!(
        "({})  {}",
        form.arguments(false).join(", "),
        summary.unwrap_or_default()
    ))
}

/// The arguments that are still to come in the innermost call.
fn of_call(known: &Known, place: &Place) -> Option<String> {
    let open = place.open.last()?;
    let Bracket::Call { name, receiver } = &open.bracket else {
        return None;
    };
    // In the middle of an argument nothing is to be said of it.
    let fresh = place.word.is_empty()
        && place
            .before
            .last()
            .is_some_and(|last| last.is("(") || last.is(","));
    if !fresh {
        return None;
    }
    if let Some((_, parameters)) = known.functions.iter().find(|(known, _)| known == name) {
        return rest(parameters.get(open.commas..)?.to_vec(), 0);
    }
    let method = receiver.is_some();
    let type_ = receiver.and_then(|code| known.of(&tokens(code), &place.before));
    let type_ = type_.as_ref().map(What::type_);
    let forms: Vec<&Form> = known
        .catalogue
        .calls(name)
        .into_iter()
        .filter(|form| {
            type_
                .as_ref()
                .is_none_or(|type_| form.parameters.first().is_some_and(|(_, t)| t == type_))
        })
        .collect();
    let arguments: Vec<Vec<String>> = forms.iter().map(|form| form.arguments(method)).collect();
    let shortest = arguments.iter().find(|form| form.len() > open.commas)?;
    let longest = arguments
        .iter()
        .filter(|form| form.starts_with(shortest))
        .max_by_key(|form| form.len())?;
    rest(
        longest[open.commas..].to_vec(),
        shortest.len() - open.commas,
    )
}

/// `data: Dataset[, options: map])`: those after the first `needed` may be left out.
fn rest(arguments: Vec<String>, needed: usize) -> Option<String> {
    let needed = if needed == 0 { arguments.len() } else { needed };
    let (must, may) = arguments.split_at(needed.min(arguments.len()));
    let may = match may {
        [] => String::new(),
        may => format!("[, {}]", may.join(", ")),
    };
    Some(format!("{}{may})", must.join(", ")))
}

/// As much of `text` as fits; none where too little would be left to tell anything.
fn cut(text: &str, room: usize) -> Option<String> {
    const LEAST: usize = 8;
    if text.chars().count() <= room {
        return Some(text.trim_end().to_string());
    }
    (room >= LEAST).then(|| text.chars().take(room - 1).chain(['…']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Catalogue, Session, Setup, engine};

    fn shown(line: &str) -> Option<String> {
        let known = Known {
            catalogue: Catalogue::of(&engine(&Session::new(Setup::default()))),
            functions: vec![("mine".into(), vec!["x".into(), "y".into()])],
            ..Known::default()
        };
        hint(&known, line, 80)
    }

    #[test]
    fn calls_say_what_is_still_to_come() {
        let cases = [
            (
                "train(",
                Some("model: Model, data: Dataset[, options: map])"),
            ),
            ("train(base, ", Some("data: Dataset[, options: map])")),
            ("train(ba", None),
            ("mine(", Some("x, y)")),
            ("mine(1,", Some("y)")),
            ("mine", Some("(x, y)")),
            (
                "dataset(\"films\").sample(",
                Some("n: int[, options: map])"),
            ),
            ("1 + ", None),
            ("// train(", None),
        ];
        for (line, expected) in cases {
            assert_eq!(shown(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn options_say_what_they_take() {
        assert_eq!(
            shown("train(b, d, #{ epo").as_deref(),
            Some("chs: 3  passes over the train split")
        );
        assert_eq!(
            shown("train(b, d, #{ epochs: ").as_deref(),
            Some("  a whole number from 1 to 10000; default 3: passes over the train split")
        );
        let all = shown("soup(x, #{ ").unwrap();
        assert!(all.contains("method"), "{all}");
        assert!(all.chars().count() <= 80);
    }

    #[test]
    fn a_hint_without_room_is_left_out() {
        assert_eq!(cut("0123456789", 4), None);
        assert_eq!(cut("0123456789", 9).as_deref(), Some("01234567…"));
    }
}
