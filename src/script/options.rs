//! Reading the map `#{...}` that a native takes.
//!
//! The native declares a [`NativeSpec`]; names, types, ranges and defaults are checked before it
//! does anything.

use rhai::{Array, Dynamic, FnPtr, Map};

use super::acts::{self, Said};
use super::spec::{Absent, NativeSpec};
use super::values::{describe, type_name};
use crate::{About, Error, Result};

/// The options of one call: names, types and ranges are right, defaults filled in.
#[derive(Debug)]
pub struct Options {
    spec: &'static NativeSpec,
    given: Map,
    values: Map,
}

/// What a value says to the conditions of other options.
pub(super) fn said_of(value: &Dynamic) -> Said {
    match value.as_immutable_string_ref() {
        Ok(word) => Said::Word(word.to_string()),
        Err(_) if value.as_bool() == Ok(false) || value.as_int() == Ok(0) => Said::Off,
        Err(_) => Said::Something,
    }
}

impl Options {
    /// Reads `map` as the options of `spec`. An unknown name, a wrong type, a value out of range,
    /// a missing required option and one that cannot act in the call are errors.
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
                None if option.default == Absent::Required => return Err(spec.missing(option)),
                None => option.default_value()?,
            };
            if let Some(value) = checked {
                values.insert(option.name.into(), value);
            }
        }
        let said = |name: &str| given.get(name).map_or(Said::Nothing, said_of);
        for name in given.keys() {
            if let Some(option) = spec.find(name) {
                acts::check(spec, name, option.acts, &said)?;
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
            .about(About::Value(name.into()))
    }

    fn needed<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.error(name, "has no value"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OptionSpec;
    use super::*;

    static TRAIN: NativeSpec = NativeSpec {
        name: "train",
        options: &[
            OptionSpec::choice("adapter", &["pfeiffer", "lora"], "the kind").or("pfeiffer"),
            OptionSpec::int("epochs", 1, 1000, "passes over the data")
                .or("3")
                .unit("epochs"),
            OptionSpec::float("lr", 0.0, 1.0, "the learning rate").or("1e-3"),
            OptionSpec::float("scale", 1e-12, 10.0, "the scale").or("1"),
            OptionSpec::choice("split", &["train", "validation"], "the rows").or("train"),
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
        let cases: [(&str, Dynamic, &str); 10] = [
            (
                "epochs",
                "3".into(),
                "train: option epochs: expected a whole number of epochs from 1 to 1000, got text \"3\"; write it without quotes: 3",
            ),
            (
                "lr",
                6.into(),
                "train: option lr: expected a number from 0 to 1, got int 6; 0.06 means 6 %",
            ),
            (
                "scale",
                0.into(),
                "train: option scale: expected a number from 1e-12 to 10, got int 0",
            ),
            (
                "split",
                "dev".into(),
                "train: option split: expected one of \"train\", \"validation\", got text \"dev\"; dev is called \"validation\" here",
            ),
            (
                "epoch",
                3.into(),
                "train: unknown option epoch; did you mean epochs?",
            ),
            (
                "zzz",
                3.into(),
                "train: unknown option zzz; it takes adapter, epochs, lr, scale, split, seed",
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
