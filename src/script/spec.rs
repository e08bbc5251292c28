//! The options of natives, declared once as data: reading, docs and completion follow from it.

use rhai::Dynamic;

use super::acts::{self, Acts};
use super::values::describe;
use crate::{About, Error, Result, bail, nearest};

/// What others call the validation split.
const VALIDATION: &[&str] = &["dev", "val", "valid", "eval"];

/// The options of one native.
#[derive(Debug, Clone, Copy)]
pub struct NativeSpec {
    /// The native's name as users write it.
    pub name: &'static str,
    /// Its options, in the order of the docs.
    pub options: &'static [OptionSpec],
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// The key in the map.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What holds when it is not given.
    pub default: Absent,
    /// What a number counts ("rows", "epochs"); may be empty.
    pub unit: &'static str,
    /// What it does, one line.
    pub doc: &'static str,
    /// When it acts; always where this is empty. Where it cannot act, it is an error.
    pub acts: &'static [Acts],
}

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number in these bounds, both included.
    Int {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number in these bounds, both included; never NaN.
    Float {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// `true` or `false`.
    Bool,
    /// Text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An array.
    List,
    /// A map `#{...}`.
    Map,
    /// A closure or a function's name.
    Function,
    /// A value of another type, or of one of several, named here for the docs and errors.
    Value(&'static str),
}

/// What holds when an option is not given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Absent {
    /// The native must be given the option.
    Required,
    /// The native decides; the text says how ("the study's seed").
    Decided(&'static str),
    /// This value, as it would be written (texts without quotes).
    Value(&'static str),
}

impl OptionSpec {
    const fn of(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            default: Absent::Required,
            unit: "",
            doc,
            acts: &[],
        }
    }
    /// A whole number from `min` to `max`.
    pub const fn int(name: &'static str, min: i64, max: i64, doc: &'static str) -> Self {
        Self::of(name, Kind::Int { min, max }, doc)
    }
    /// A number from `min` to `max`.
    pub const fn float(name: &'static str, min: f64, max: f64, doc: &'static str) -> Self {
        Self::of(name, Kind::Float { min, max }, doc)
    }
    /// `true` or `false`.
    pub const fn bool(name: &'static str, doc: &'static str) -> Self {
        Self::of(name, Kind::Bool, doc)
    }
    /// Text.
    pub const fn text(name: &'static str, doc: &'static str) -> Self {
        Self::of(name, Kind::Text, doc)
    }
    /// One of `words`.
    pub const fn choice(
        name: &'static str,
        words: &'static [&'static str],
        doc: &'static str,
    ) -> Self {
        Self::of(name, Kind::Choice(words), doc)
    }
    /// An array.
    pub const fn list(name: &'static str, doc: &'static str) -> Self {
        Self::of(name, Kind::List, doc)
    }
    /// A map.
    pub const fn map(name: &'static str, doc: &'static str) -> Self {
        Self::of(name, Kind::Map, doc)
    }
    /// A closure or a function's name.
    pub const fn function(name: &'static str, doc: &'static str) -> Self {
        Self::of(name, Kind::Function, doc)
    }
    /// A value of the type(s) that `expected` names ("a Model", "text or a list").
    pub const fn value(name: &'static str, expected: &'static str, doc: &'static str) -> Self {
        Self::of(name, Kind::Value(expected), doc)
    }
    /// With this default, as it would be written (texts without quotes).
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.default = Absent::Value(default);
        self
    }
    /// Optional: when not given, the native does what `how` says ("the study's seed").
    #[must_use]
    pub const fn otherwise(mut self, how: &'static str) -> Self {
        self.default = Absent::Decided(how);
        self
    }
    /// Acts only under these conditions; elsewhere it is an error.
    #[must_use]
    pub const fn acts(mut self, conditions: &'static [Acts]) -> Self {
        self.acts = conditions;
        self
    }
    /// Counted in `unit`.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    /// What it does and when it acts.
    pub fn told(&self) -> String {
        match acts::told(self.acts) {
            when if when.is_empty() => self.doc.to_string(),
            when => format!("{} (acts only {when})", self.doc),
        }
    }

    /// A value of the option, given without quotes, as a script writes it.
    pub fn written(&self, text: &str) -> String {
        match self.kind {
            Kind::Text | Kind::Choice(_) => format!("\"{text}\""),
            Kind::Value(_) if serde_json::from_str::<serde_json::Value>(text).is_err() => {
                format!("\"{text}\"")
            }
            _ => text.to_string(),
        }
    }

    /// The default as a value; none where the option is required or the native decides.
    pub fn default_value(&self) -> Result<Option<Dynamic>> {
        let Absent::Value(text) = self.default else {
            return Ok(None);
        };
        let parsed = match self.kind {
            Kind::Text | Kind::Choice(_) => Some(text.into()),
            Kind::Value(_) => serde_json::from_str(text)
                .ok()
                .or_else(|| Some(text.into())),
            Kind::Float { .. } => text.parse::<f64>().ok().map(Dynamic::from),
            _ => serde_json::from_str(text).ok(),
        };
        match parsed {
            Some(value) => self.checked(value).map(Some),
            None => bail!("option {}: its default {text} cannot be read", self.name),
        }
    }

    /// `value` as the option keeps it: whole numbers become floats where the kind is a float.
    pub(super) fn checked(&self, value: Dynamic) -> Result<Dynamic> {
        let wrong = || {
            let error = Error::new(format!(
                "option {}: expected {}, got {}",
                self.name,
                self.expected(),
                describe(&value)
            ))
            .about(About::Value(self.name.into()));
            match self.meant(&value) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        };
        let fits = match self.kind {
            Kind::Int { min, max } => {
                let number = value.as_int().map_err(|_| wrong())?;
                (min..=max).contains(&number)
            }
            Kind::Float { min, max } => {
                let number = match value.as_int() {
                    Ok(whole) => whole as f64,
                    Err(_) => value.as_float().map_err(|_| wrong())?,
                };
                if !(min..=max).contains(&number) {
                    return Err(wrong());
                }
                return Ok(number.into());
            }
            Kind::Bool => value.is_bool(),
            Kind::Text => value.is_string(),
            Kind::Choice(words) => {
                let text = value.as_immutable_string_ref().map_err(|_| wrong())?;
                words.contains(&text.as_str())
            }
            Kind::List => value.is_array(),
            Kind::Map => value.is_map(),
            Kind::Function => value.is_fnptr(),
            Kind::Value(_) => true,
        };
        if fits { Ok(value) } else { Err(wrong()) }
    }

    /// What a value that does not fit may be meant as.
    fn meant(&self, value: &Dynamic) -> Option<String> {
        let text = value.as_immutable_string_ref().ok();
        match (self.kind, text) {
            (Kind::Choice(words), Some(text)) => {
                let alias = VALIDATION.contains(&text.as_str()) && words.contains(&"validation");
                let lower = text.to_lowercase();
                let same = words
                    .iter()
                    .copied()
                    .find(|word| word.to_lowercase() == lower);
                match same.or_else(|| nearest(&text, words.iter().copied())) {
                    _ if alias => Some(format!("{} is called \"validation\" here", *text)),
                    near => near.map(|near| format!("did you mean \"{near}\"?")),
                }
            }
            (Kind::Int { .. } | Kind::Float { .. }, Some(text)) => {
                let number = text.parse::<f64>().is_ok_and(f64::is_finite);
                number.then(|| format!("write it without quotes: {}", *text))
            }
            (Kind::Float { min: 0.0, max: 1.0 }, None) => {
                let percent = value
                    .as_float()
                    .or_else(|_| value.as_int().map(|n| n as f64));
                let percent = percent.ok().filter(|n| (1.0..=100.0).contains(n))?;
                Some(format!("{} means {percent} %", percent / 100.0))
            }
            _ => None,
        }
    }

    /// What the option takes, as a phrase: "a whole number from 1 to 100".
    pub fn expected(&self) -> String {
        let unit = if self.unit.is_empty() {
            String::new()
        } else {
            format!(" of {}", self.unit)
        };
        match self.kind {
            Kind::Int { min, max } => {
                let bounds = bounds(
                    (min > i64::MIN).then_some(min),
                    (max < i64::MAX).then_some(max),
                );
                format!("a whole number{unit}{bounds}")
            }
            Kind::Float { min, max } => {
                let bounds = bounds(
                    min.is_finite().then(|| number(min)),
                    max.is_finite().then(|| number(max)),
                );
                format!("a number{unit}{bounds}")
            }
            Kind::Bool => "true or false".into(),
            Kind::Text => "text".into(),
            Kind::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|w| format!("\"{w}\"")).collect();
                format!("one of {}", quoted.join(", "))
            }
            Kind::List => "a list".into(),
            Kind::Map => "a map".into(),
            Kind::Function => "a function".into(),
            Kind::Value(expected) => expected.into(),
        }
    }
}

/// A number in a few letters: 1e-12 for 0.000000000001.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 | 1e-4..1e15 => value.to_string(),
        _ => format!("{value:e}"),
    }
}

fn bounds<T: std::fmt::Display>(min: Option<T>, max: Option<T>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
        (Some(min), None) => format!(", at least {min}"),
        (None, Some(max)) => format!(", at most {max}"),
        (None, None) => String::new(),
    }
}

/// What other libraries call options, and what they are here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("batch_size", "batch"),
    ("learning_rate", "lr"),
    ("lora_alpha", "alpha"),
    ("max_grad_norm", "max_norm"),
    ("max_seq_length", "max_length"),
    ("num_epochs", "epochs"),
    ("num_train_epochs", "epochs"),
    ("per_device_train_batch_size", "batch"),
    ("rank", "r"),
    ("target_modules", "targets"),
    ("warmup_ratio", "warmup"),
];

impl NativeSpec {
    /// The option of this name.
    pub fn find(&self, name: &str) -> Option<&OptionSpec> {
        self.options.iter().find(|option| option.name == name)
    }

    pub(super) fn missing(&self, option: &OptionSpec) -> Error {
        Error::new(format!(
            "{}: option {} is required: {}",
            self.name,
            option.name,
            option.expected()
        ))
    }

    pub(super) fn unknown(&self, name: &str) -> Error {
        let known = || self.options.iter().map(|option| option.name);
        let error = Error::new(format!("{}: unknown option {name}", self.name))
            .about(About::Key(name.into()));
        let elsewhere = ELSEWHERE.iter().find(|(theirs, _)| *theirs == name);
        if let Some((_, ours)) = elsewhere.filter(|(_, ours)| self.find(ours).is_some()) {
            return error.hint(format!("here it is {ours}"));
        }
        match nearest(name, known()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(format!("it takes {}", super::session::listed(known()))),
        }
    }
}
