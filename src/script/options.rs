//! The options of natives: declared once as data, from which reading, docs and completion follow.
//!
//! A native that takes a map `#{...}` declares a [`NativeSpec`] and reads the map through
//! [`Options`]: names, types, ranges and defaults are checked before the native does anything.

use rhai::{Array, Dynamic, FnPtr, Map};

use super::values::{describe, type_name};
use crate::{Error, Result, bail, nearest};

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
    /// Counted in `unit`.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
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
    fn checked(&self, value: Dynamic) -> Result<Dynamic> {
        let wrong = || {
            Error::new(format!(
                "option {}: expected {}, got {}",
                self.name,
                self.expected(),
                describe(&value)
            ))
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
                if !words.contains(&text.as_str()) {
                    return Err(match nearest(&text, words.iter().copied()) {
                        Some(near) => wrong().hint(format!("did you mean \"{near}\"?")),
                        None => wrong(),
                    });
                }
                true
            }
            Kind::List => value.is_array(),
            Kind::Map => value.is_map(),
            Kind::Function => value.is_fnptr(),
            Kind::Value(_) => true,
        };
        if fits { Ok(value) } else { Err(wrong()) }
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
                    min.is_finite().then_some(min),
                    max.is_finite().then_some(max),
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

fn bounds<T: std::fmt::Display>(min: Option<T>, max: Option<T>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
        (Some(min), None) => format!(", at least {min}"),
        (None, Some(max)) => format!(", at most {max}"),
        (None, None) => String::new(),
    }
}

/// The options of one call: names, types and ranges are right, defaults filled in.
#[derive(Debug)]
pub struct Options {
    spec: &'static NativeSpec,
    given: Map,
    values: Map,
}

impl Options {
    /// Reads `map` as the options of `spec`. An unknown name, a wrong type, a value out of range
    /// and a missing required option are errors.
    pub fn read(spec: &'static NativeSpec, map: &Map) -> Result<Self> {
        for name in map.keys() {
            if spec.find(name).is_none() {
                return Err(spec.unknown(name));
            }
        }
        let mut given = Map::new();
        let mut values = Map::new();
        for option in spec.options {
            let checked = match map.get(option.name) {
                Some(value) => {
                    let value = option
                        .checked(value.flatten_clone())
                        .map_err(|e| e.within(spec.name))?;
                    given.insert(option.name.into(), value.clone());
                    Some(value)
                }
                None if option.default == Absent::Required => bail!(
                    "{}: option {} is required: {}",
                    spec.name,
                    option.name,
                    option.expected()
                ),
                None => option.default_value()?,
            };
            if let Some(value) = checked {
                values.insert(option.name.into(), value);
            }
        }
        Ok(Self {
            spec,
            given,
            values,
        })
    }

    /// Whether the caller gave the option.
    pub fn given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// What the caller gave, without defaults: for recipes and ids.
    pub fn as_given(&self) -> &Map {
        &self.given
    }

    /// The value, given or default; none where the native decides.
    pub fn get(&self, name: &str) -> Option<&Dynamic> {
        self.values.get(name)
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> Result<i64> {
        self.needed(name, self.maybe_int(name)?)
    }
    /// A whole number as a count; its spec's least is 0 or more.
    pub fn count(&self, name: &str) -> Result<usize> {
        let number = self.int(name)?;
        usize::try_from(number).map_err(|_| self.error(name, format!("{number} is negative")))
    }
    /// A number.
    pub fn float(&self, name: &str) -> Result<f64> {
        self.needed(name, self.maybe_float(name)?)
    }
    /// `true` or `false`.
    pub fn bool(&self, name: &str) -> Result<bool> {
        self.needed(name, self.value::<bool>(name)?)
    }
    /// Text, or the word of a choice.
    pub fn text(&self, name: &str) -> Result<String> {
        self.needed(name, self.maybe_text(name)?)
    }
    /// An array.
    pub fn list(&self, name: &str) -> Result<Array> {
        self.needed(name, self.value::<Array>(name)?)
    }
    /// A closure or a function's name.
    pub fn function(&self, name: &str) -> Result<FnPtr> {
        self.needed(name, self.value::<FnPtr>(name)?)
    }
    /// A whole number, none where the native decides.
    pub fn maybe_int(&self, name: &str) -> Result<Option<i64>> {
        self.value(name)
    }
    /// A number, none where the native decides.
    pub fn maybe_float(&self, name: &str) -> Result<Option<f64>> {
        self.value(name)
    }
    /// Text, none where the native decides.
    pub fn maybe_text(&self, name: &str) -> Result<Option<String>> {
        self.value(name)
    }

    /// A value of the type `T`; an error where another type was given.
    pub fn value<T: Clone + 'static>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.clone().try_cast::<T>() {
            Some(value) => Ok(Some(value)),
            None => {
                let expected = match self.spec.find(name) {
                    Some(option) => option.expected(),
                    None => type_name(std::any::type_name::<T>()),
                };
                Err(self.error(
                    name,
                    format!("expected {expected}, got {}", describe(value)),
                ))
            }
        }
    }

    /// An error about this option: `train: option epochs: message`.
    pub fn error(&self, name: &str, message: impl std::fmt::Display) -> Error {
        Error::new(format!("{}: option {name}: {message}", self.spec.name))
    }

    fn needed<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.error(name, "has no value"))
    }
}

impl NativeSpec {
    /// The option of this name.
    pub fn find(&self, name: &str) -> Option<&OptionSpec> {
        self.options.iter().find(|option| option.name == name)
    }

    fn unknown(&self, name: &str) -> Error {
        let known = || self.options.iter().map(|option| option.name);
        let error = Error::new(format!("{}: unknown option {name}", self.name));
        match nearest(name, known()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(format!("it takes {}", super::session::listed(known()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TRAIN: NativeSpec = NativeSpec {
        name: "train",
        options: &[
            OptionSpec::choice("adapter", &["pfeiffer", "lora"], "the kind").or("pfeiffer"),
            OptionSpec::int("epochs", 1, 1000, "passes over the data")
                .or("3")
                .unit("epochs"),
            OptionSpec::float("lr", 0.0, 1.0, "the learning rate").or("1e-3"),
            OptionSpec::int("seed", 0, i64::MAX, "the seed").otherwise("the study's seed"),
        ],
    };

    fn read(entries: &[(&str, Dynamic)]) -> Result<Options> {
        let map: Map = entries
            .iter()
            .map(|(k, v)| ((*k).into(), v.clone()))
            .collect();
        Options::read(&TRAIN, &map)
    }

    #[test]
    fn defaults_fill_in_and_ints_do_for_floats() {
        let options = read(&[("lr", 1.into())]).unwrap();
        assert_eq!(options.text("adapter").unwrap(), "pfeiffer");
        assert_eq!(options.count("epochs").unwrap(), 3);
        assert_eq!(options.float("lr").unwrap(), 1.0);
        assert_eq!(options.maybe_int("seed").unwrap(), None);
        assert!(options.given("lr") && !options.given("epochs"));
        assert!(options.int("seed").is_err());
    }

    #[test]
    fn what_is_wrong_is_one_line() {
        let cases: [(&str, Dynamic, &str); 6] = [
            (
                "epoch",
                3.into(),
                "train: unknown option epoch; did you mean epochs?",
            ),
            (
                "zzz",
                3.into(),
                "train: unknown option zzz; it takes adapter, epochs, lr, seed",
            ),
            (
                "epochs",
                0.into(),
                "train: option epochs: expected a whole number of epochs from 1 to 1000, got int 0",
            ),
            (
                "epochs",
                2.5.into(),
                "train: option epochs: expected a whole number of epochs from 1 to 1000, got float 2.5",
            ),
            (
                "lr",
                f64::NAN.into(),
                "train: option lr: expected a number from 0 to 1, got float NaN",
            ),
            (
                "adapter",
                "lorra".into(),
                "train: option adapter: expected one of \"pfeiffer\", \"lora\", got text \"lorra\"; did you mean \"lora\"?",
            ),
        ];
        for (name, value, expected) in cases {
            assert_eq!(read(&[(name, value)]).unwrap_err().to_string(), expected);
        }
    }
}
