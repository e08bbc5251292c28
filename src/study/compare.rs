//! Two runs side by side: what went in, what came out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Record;

/// How a value of one run stands to that of another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Equal, numbers to the last bit.
    Same,
    /// Numbers within the tolerance; the second less the first.
    Near(f64),
    /// Unlike; for numbers the second less the first.
    Differs(Option<f64>),
    /// Only one of the runs has it.
    Missing,
}

/// One thing in which runs are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What: `parameter epochs`, `dataset films`, `headline.r`.
    pub what: String,
    /// The first run's, as text; none where it has none.
    pub first: Option<String>,
    /// The second run's.
    pub second: Option<String>,
    /// How they stand to each other.
    pub verdict: Verdict,
}

/// Two runs side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What went in and how it was computed.
    pub given: Vec<Difference>,
    /// What was recorded, number by number.
    pub found: Vec<Difference>,
}

impl Comparison {
    /// Compares two records. Recorded numbers whose difference is at most `tolerance` times the
    /// larger of their sizes and 1 are near.
    pub fn of(first: &Record, second: &Record, tolerance: f64) -> Self {
        let pair = |of: fn(&Record) -> BTreeMap<String, Value>| {
            compared(&of(first), &of(second), tolerance)
        };
        Self {
            given: pair(given),
            found: pair(found),
        }
    }

    /// Whether everything recorded is the same or near.
    pub fn agrees(&self) -> bool {
        let agree = |d: &Difference| matches!(d.verdict, Verdict::Same | Verdict::Near(_));
        self.found.iter().all(agree)
    }
}

fn compared(
    first: &BTreeMap<String, Value>,
    second: &BTreeMap<String, Value>,
    tolerance: f64,
) -> Vec<Difference> {
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    names
        .into_iter()
        .map(|name| {
            let (a, b) = (first.get(name), second.get(name));
            Difference {
                what: name.clone(),
                first: a.map(text),
                second: b.map(text),
                verdict: verdict(a, b, tolerance),
            }
        })
        .collect()
}

fn verdict(a: Option<&Value>, b: Option<&Value>, tolerance: f64) -> Verdict {
    let (Some(a), Some(b)) = (a, b) else {
        return Verdict::Missing;
    };
    if a == b {
        return Verdict::Same;
    }
    let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else {
        return Verdict::Differs(None);
    };
    let by = b - a;
    match by.abs() <= tolerance * a.abs().max(b.abs()).max(1.0) {
        true => Verdict::Near(by),
        false => Verdict::Differs(Some(by)),
    }
}

/// What went into a run.
fn given(record: &Record) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::from([
        (
            "script".to_string(),
            Value::from(short(&record.script_hash)),
        ),
        ("seed".to_string(), record.seed.into()),
        ("program".to_string(), record.version.clone().into()),
        ("computed by".to_string(), record.class.clone().into()),
        ("threads".to_string(), record.threads.into()),
    ]);
    for (name, value) in &record.parameters {
        all.insert(format!("parameter {name}"), value.clone().into());
    }
    for (path, hash) in &record.imports {
        all.insert(format!("module {path}"), short(hash).into());
    }
    for (input, id) in &record.inputs {
        all.insert(input.clone(), short(id).into());
    }
    all
}

fn short(hash: &str) -> String {
    hash.chars().take(8).collect()
}

/// What a run recorded, taken apart to numbers and texts.
fn found(record: &Record) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (name, value) in &record.recorded {
        take_apart(name.clone(), value, &mut all);
    }
    all
}

fn take_apart(name: String, value: &Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                take_apart(format!("{name}.{key}"), value, all);
            }
        }
        Value::Array(list) => {
            let digits = list.len().saturating_sub(1).to_string().len();
            for (at, value) in list.iter().enumerate() {
                take_apart(format!("{name}[{at:0digits$}]"), value, all);
            }
        }
        plain => {
            all.insert(name, plain.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn record(recorded: Value) -> Record {
        let mut record = Record::begin(Path::new("s.rhai"), "1", BTreeMap::new());
        let Value::Object(map) = recorded else {
            unreachable!()
        };
        record.recorded = map.into_iter().collect();
        record
    }

    #[test]
    fn results_are_compared_number_by_number() {
        let a = record(json!({"headline": {"r": 0.5, "n": 3}, "rows": [1.0, "x"], "gone": 1}));
        let b = record(json!({"headline": {"r": 0.5001, "n": 3}, "rows": [2.0, "x"]}));
        let both = Comparison::of(&a, &b, 1e-3);
        let told: Vec<(&str, Verdict)> = both
            .found
            .iter()
            .map(|d| (d.what.as_str(), d.verdict))
            .collect();
        assert_eq!(told[0], ("gone", Verdict::Missing));
        assert_eq!(told[1], ("headline.n", Verdict::Same));
        assert!(matches!(told[2], ("headline.r", Verdict::Near(by)) if (by - 1e-4).abs() < 1e-9));
        assert_eq!(told[3], ("rows[0]", Verdict::Differs(Some(1.0))));
        assert_eq!(told[4], ("rows[1]", Verdict::Same));
        assert!(!both.agrees());
        assert!(Comparison::of(&a, &a, 0.0).agrees());
    }

    #[test]
    fn what_went_in_is_compared() {
        let (a, mut b) = (record(json!({})), record(json!({})));
        b.parameters.insert("epochs".into(), "3".into());
        b.inputs.insert("dataset films".into(), "abc".into());
        let both = Comparison::of(&a, &b, 0.0);
        let unlike: Vec<&str> = both
            .given
            .iter()
            .filter(|d| d.verdict != Verdict::Same)
            .map(|d| d.what.as_str())
            .collect();
        assert_eq!(unlike, ["dataset films", "parameter epochs"]);
    }
}
