//! Numbers of a recipe that may depend on the layer or on the tensor, as mergekit writes them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::adapter::{Name, Selection};
use crate::{Result, bail};

/// Which tensor a number is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its name.
    pub name: &'a str,
    /// How deep its layer lies, from 0 (the first) to 1 (the last).
    pub depth: f64,
}

/// A number for every tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// The same everywhere.
    Number(f64),
    /// Points evenly spaced over the depth, and straight lines between them.
    Gradient(Vec<f64>),
    /// The first that fits: a part of the tensor's name, or with `*` a pattern of all of it; `*`
    /// alone fits every tensor.
    Filters(Vec<(String, Setting)>),
}

impl Setting {
    /// Reads a number, a list of numbers, a list of `{filter, value}`, or an object of patterns,
    /// of which the longest that fits counts.
    pub fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Number(_) | Value::String(_) => number(value).map(Self::Number),
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let filters = items.iter().map(|item| {
                    let Some(value) = item.get("value") else {
                        bail!("expected {{filter, value}}, got {item}");
                    };
                    let filter = item.get("filter").and_then(Value::as_str).unwrap_or("*");
                    Ok((filter.to_string(), Self::read(value)?))
                });
                Ok(Self::Filters(filters.collect::<Result<_>>()?))
            }
            Value::Array(items) if !items.is_empty() => {
                let points = items.iter().map(number);
                Ok(Self::Gradient(points.collect::<Result<_>>()?))
            }
            Value::Object(map) if map.contains_key("value") => Self::read(&json!([value])),
            Value::Object(map) if !map.is_empty() => {
                let filters = map.iter().map(|(k, v)| Ok((k.clone(), Self::read(v)?)));
                let mut filters = filters.collect::<Result<Vec<_>>>()?;
                // The most particular first.
                filters.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then(a.cmp(b)));
                Ok(Self::Filters(filters))
            }
            other => {
                bail!("expected a number, a list of numbers or a map of patterns, got {other}")
            }
        }
    }

    /// How [`Self::read`] reads it.
    pub fn describe(&self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Gradient(points) => json!(points),
            Self::Filters(filters) => filters
                .iter()
                .map(|(filter, value)| json!({"filter": filter, "value": value.describe()}))
                .collect(),
        }
    }

    /// The number for a tensor; an error where no filter fits it.
    pub fn at(&self, place: Place<'_>) -> Result<f64> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Gradient(points) => Ok(interpolated(points, place.depth)),
            Self::Filters(filters) => {
                let fits = |(filter, _): &&(String, Self)| fits(filter, place.name);
                match filters.iter().find(fits) {
                    Some((_, value)) => value.at(place),
                    None => {
                        bail!("no pattern gives a number for {}", place.name; hint: "add \"*\" for the rest")
                    }
                }
            }
        }
    }

    /// The number, where it is the same everywhere.
    pub fn constant(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Gradient(points) => points.iter().all(|p| *p == points[0]).then(|| points[0]),
            Self::Filters(_) => None,
        }
    }

    /// All numbers it may give.
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Self::Number(number) => vec![*number],
            Self::Gradient(points) => points.clone(),
            Self::Filters(filters) => filters.iter().flat_map(|(_, s)| s.numbers()).collect(),
        }
    }
}

/// A number; also written as text, as YAML's `1e-3` is.
fn number(value: &Value) -> Result<f64> {
    let written = || value.as_str().and_then(|text| text.parse::<f64>().ok());
    match value.as_f64().or_else(written) {
        Some(number) if number.is_finite() => Ok(number),
        _ => bail!("expected a number, got {value}"),
    }
}

fn interpolated(points: &[f64], depth: f64) -> f64 {
    let last = points.len() - 1;
    let scaled = depth.clamp(0.0, 1.0) * last as f64;
    let low = (scaled as usize).min(last);
    let high = (low + 1).min(last);
    let share = scaled - low as f64;
    (1.0 - share) * points[low] + share * points[high]
}

fn fits(filter: &str, name: &str) -> bool {
    match filter.contains('*') {
        true => Selection::Pattern(filter.to_string()).matches(&Name::new(name)),
        false => name.contains(filter),
    }
}

/// A method's settings by name, each for all members or one a member.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Numbers.
    pub numbers: BTreeMap<&'static str, Vec<Setting>>,
    /// Words of a choice.
    pub words: BTreeMap<&'static str, &'static str>,
    /// Yes or no.
    pub flags: BTreeMap<&'static str, bool>,
    /// Moves random choices.
    pub seed: Option<u64>,
}

impl Settings {
    /// All that was set, as JSON.
    pub fn describe(&self) -> Map<String, Value> {
        let mut all = Map::new();
        for (name, settings) in &self.numbers {
            let value = match &settings[..] {
                [one] => one.describe(),
                many => json!({"each": many.iter().map(Setting::describe).collect::<Vec<_>>()}),
            };
            all.insert((*name).into(), value);
        }
        for (name, word) in &self.words {
            all.insert((*name).into(), json!(word));
        }
        for (name, flag) in &self.flags {
            all.insert((*name).into(), json!(flag));
        }
        if let Some(seed) = self.seed {
            all.insert("seed".into(), json!(seed));
        }
        all
    }

    /// The word of a choice; empty where it was not set.
    pub fn word(&self, name: &str) -> &'static str {
        self.words.get(name).copied().unwrap_or_default()
    }

    /// Whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        self.flags.get(name).copied().unwrap_or_default()
    }

    /// A number of a member at a tensor.
    pub fn number(&self, name: &str, member: usize, place: Place<'_>) -> Result<f64> {
        match self.numbers.get(name).map(|s| &s[..]) {
            Some([one]) => one.at(place),
            Some(many) if member < many.len() => many[member].at(place),
            _ => bail!("the setting {name} has no value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: Value, name: &str, depth: f64) -> f64 {
        let setting = Setting::read(&value).unwrap();
        assert_eq!(Setting::read(&setting.describe()).unwrap(), setting);
        setting.at(Place { name, depth }).unwrap()
    }

    #[test]
    fn gradients_and_filters_are_read_as_mergekit_does() {
        assert_eq!(at(json!(0.5), "x", 0.3), 0.5);
        assert_eq!(at(json!("1e-3"), "x", 0.3), 0.001);
        assert_eq!(at(json!([0.0, 1.0]), "x", 0.25), 0.25);
        assert_eq!(at(json!([0.0, 0.5, 1.0]), "x", 1.0), 1.0);
        assert_eq!(at(json!([0.0, 1.0, 0.0]), "x", 0.75), 0.5);
        let filters = json!([{"filter": "mlp", "value": [0.0, 1.0]}, {"value": 0.3}]);
        assert_eq!(at(filters.clone(), "layers.1.mlp.up", 0.5), 0.5);
        assert_eq!(at(filters, "layers.1.attn.q", 0.5), 0.3);
        let patterns = json!({"*": 1.0, "*layer.0.*": 2.0});
        assert_eq!(at(patterns.clone(), "encoder.layer.0.output", 0.0), 2.0);
        assert_eq!(at(patterns, "encoder.layer.1.output", 0.0), 1.0);
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for value in [
            json!([]),
            json!({}),
            json!(null),
            json!([1, "x"]),
            json!([{"filter": "a"}]),
        ] {
            assert!(Setting::read(&value).is_err(), "{value}");
        }
        let filters = Setting::read(&json!({"*query*": 1.0})).unwrap();
        let place = Place {
            name: "key",
            depth: 0.0,
        };
        assert!(
            filters
                .at(place)
                .unwrap_err()
                .to_string()
                .contains("add \"*\"")
        );
    }
}
