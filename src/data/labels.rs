//! Labels as written become classes or numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::raw::{RawRow, RawRows};
use super::row::{Label, Order, Row, Task};
use crate::Result;

/// How benchmarks mark a label that is not told.
pub(super) const HIDDEN: &str = "-1";

/// Decides the task by the labels of `train`.
///
/// Numbers with a fraction anywhere mean regression. Everything else is a name: in the order that
/// the dataset declares, integers ("1.0" is "1") in ascending order, other names sorted as strings.
pub(super) fn task(train: &RawRows) -> Result<Task> {
    let missing = train.rows.iter().filter(|row| row.label.is_none()).count();
    if let (Some(order), 0) = (&train.order, missing) {
        return Ok(Task::Classification {
            labels: order.iter().cloned().collect(),
            order: Order::Declared,
        });
    }
    let mut fraction = None;
    let mut word = None;
    for row in &train.rows {
        let Some(label) = row.label.as_deref() else {
            return Err(train.error(row, format_args!("no label ({missing} such rows)")));
        };
        match label.parse::<f64>() {
            Ok(value) if value.fract() == 0.0 => {}
            Ok(_) => fraction = fraction.or(Some(label)),
            Err(_) => word = word.or(Some((row, label))),
        }
    }
    match (fraction, word) {
        (Some(number), Some((row, name))) => Err(train.error(
            row,
            format_args!(
                "\"{name}\" among numbers such as {number}; expected only names or only numbers"
            ),
        )),
        (Some(_), None) => Ok(Task::Regression),
        _ => {
            let names = train.rows.iter().filter_map(|row| row.label.as_deref());
            let names: BTreeSet<String> = names.map(name).collect();
            let (labels, order) = ordered(names);
            Ok(Task::Classification { labels, order })
        }
    }
}

/// Names in ascending order where all are integers, else sorted as strings.
fn ordered(names: BTreeSet<String>) -> (Arc<[String]>, Order) {
    let numbers: Option<Vec<(i64, &String)>> = names
        .iter()
        .map(|name| Some((name.parse().ok()?, name)))
        .collect();
    match numbers {
        Some(mut numbers) if !numbers.is_empty() => {
            numbers.sort();
            let names = numbers.into_iter().map(|(_, name)| name.clone());
            (names.collect(), Order::Integers)
        }
        _ => (names.into_iter().collect(), Order::Sorted),
    }
}

/// Whether a split other than train tells no labels: all are absent, or all are -1 and -1 is no
/// label of `train`.
pub(super) fn are_hidden(split: &RawRows, train: &RawRows) -> bool {
    let told = |rows: &RawRows| {
        let mut labels = rows.rows.iter().filter_map(|row| row.label.as_deref());
        labels.any(|label| name(label) == HIDDEN)
    };
    are_absent(split) || (are_marked(split) && !told(train))
}

/// Whether no row has a label.
pub(super) fn are_absent(rows: &RawRows) -> bool {
    rows.rows.iter().all(|row| row.label.is_none())
}

/// Whether all labels are -1.
pub(super) fn are_marked(rows: &RawRows) -> bool {
    let mut labels = rows.rows.iter().map(|row| row.label.as_deref());
    labels.all(|label| label.map(name).as_deref() == Some(HIDDEN))
}

/// Gives labels the names that `names` has for them; each label must be there. Nothing changes
/// where there are no names, or where the labels are hidden.
pub(super) fn rename(raw: &mut RawRows, names: &BTreeMap<String, String>) -> Result<()> {
    let hidden = are_marked(raw) && !names.contains_key(HIDDEN);
    if names.is_empty() || hidden {
        return Ok(());
    }
    let renamed = raw.rows.iter().map(|row| {
        let Some(label) = &row.label else {
            return Ok(None);
        };
        match names.get(label).or_else(|| names.get(&name(label))) {
            Some(new) => Ok(Some(new.clone())),
            None => {
                let known: Vec<&str> = names.keys().map(String::as_str).collect();
                Err(raw.error(
                    row,
                    format_args!(
                        "\"{label}\" has no name in the option labels, which has {}",
                        known.join(", ")
                    ),
                ))
            }
        }
    });
    let renamed: Vec<Option<String>> = renamed.collect::<Result<_>>()?;
    for (row, label) in raw.rows.iter_mut().zip(renamed) {
        row.label = label;
    }
    let keys: Vec<String> = match raw.order.take() {
        Some(declared) => declared,
        None => ordered(names.keys().cloned().collect()).0.to_vec(),
    };
    let mut order: Vec<String> = Vec::new();
    for new in keys.iter().filter_map(|key| names.get(key)) {
        if !order.contains(new) {
            order.push(new.clone());
        }
    }
    raw.order = Some(order);
    Ok(())
}

/// Takes `order` as the order of the classes: of their names or, where all labels are integers from 0
/// on and no names, the names that stand for them.
pub(super) fn declare(raw: &mut RawRows, order: &[String]) -> Result<()> {
    if order.is_empty() {
        return Ok(());
    }
    let number = |label: &str| name(label).parse::<usize>().ok();
    let unknown = |label: &&str| !order.contains(&name(label));
    let labels = || raw.rows.iter().filter_map(|row| row.label.as_deref());
    let numbers = labels().all(|label| number(label).is_some() || name(label) == HIDDEN);
    if numbers && labels().any(|label| unknown(&label)) {
        for at in 0..raw.rows.len() {
            let row = &raw.rows[at];
            let Some(class) = row.label.as_deref().and_then(number) else {
                continue;
            };
            let Some(new) = order.get(class) else {
                let message = format!(
                    "class {class}, but the option labels has {} names, counted from 0",
                    order.len()
                );
                return Err(raw.error(row, message));
            };
            raw.rows[at].label = Some(new.clone());
        }
    } else if let Some(row) = raw.rows.iter().find(|row| {
        let label = row.label.as_deref();
        label
            .filter(unknown)
            .is_some_and(|label| name(label) != HIDDEN)
    }) {
        let label = row.label.as_deref().unwrap_or_default();
        let message = format!(
            "\"{label}\" is not among the option labels: {}",
            order.join(", ")
        );
        return Err(raw.error(row, message));
    }
    raw.order = Some(order.to_vec());
    Ok(())
}

/// The rows with their labels as the task reads them.
pub(super) fn rows(raw: &RawRows, task: &Task, hidden: bool) -> Result<Vec<Row>> {
    let classes: BTreeMap<&str, usize> = match task {
        Task::Classification { labels, .. } => labels
            .iter()
            .enumerate()
            .map(|(i, l)| (l.as_str(), i))
            .collect(),
        Task::Regression => BTreeMap::new(),
    };
    raw.rows
        .iter()
        .map(|row| {
            let label = match (&row.label, task) {
                _ if hidden => Label::Hidden,
                (None, _) => {
                    let count = raw.rows.iter().filter(|row| row.label.is_none()).count();
                    return Err(raw.error(row, format_args!("no label ({count} such rows)")));
                }
                (Some(label), Task::Regression) => Label::Value(number(raw, row, label)?),
                (Some(label), Task::Classification { labels, .. }) => {
                    let name = name(label);
                    Label::Class(*classes.get(name.as_str()).ok_or_else(|| {
                        raw.error(
                            row,
                            format_args!(
                                "\"{name}\" is not among the labels of train: {}",
                                labels.join(", ")
                            ),
                        )
                    })?)
                }
            };
            Ok(Row {
                text: row.text.as_str().into(),
                text_b: row.text_b.as_deref().map(Into::into),
                label,
            })
        })
        .collect()
}

fn number(raw: &RawRows, row: &RawRow, label: &str) -> Result<f64> {
    match label.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(raw.error(
            row,
            format_args!("\"{label}\" is not a finite number, as regression asks"),
        )),
    }
}

/// The name of a label: integers written as floats lose their ".0".
fn name(label: &str) -> String {
    match label.strip_suffix(".0") {
        Some(integer) if integer.parse::<i64>().is_ok() => integer.to_string(),
        _ => label.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(labels: &[&str]) -> RawRows {
        RawRows {
            sources: vec!["a.csv".into()],
            unit: "line",
            label: "label".into(),
            order: None,
            rows: labels
                .iter()
                .enumerate()
                .map(|(i, label)| RawRow {
                    file: 0,
                    at: i + 2,
                    text: "t".into(),
                    text_b: None,
                    untold: false,
                    label: (!label.is_empty()).then(|| label.to_string()),
                })
                .collect(),
        }
    }

    fn names(labels: &[&str]) -> Vec<String> {
        match task(&raw(labels)).unwrap() {
            Task::Classification { labels, .. } => labels.to_vec(),
            Task::Regression => panic!("regression"),
        }
    }

    #[test]
    fn names_are_sorted_as_strings() {
        assert_eq!(names(&["b", "a", "b"]), ["a", "b"]);
        assert_eq!(names(&["b", "10", "2"]), ["10", "2", "b"]);
    }

    #[test]
    fn integers_ascend_and_a_declared_order_stays() {
        assert_eq!(names(&["10", "9.0", "2", "-3"]), ["-3", "2", "9", "10"]);
        let mut train = raw(&["b", "a"]);
        train.order = Some(["c", "b", "a"].map(String::from).into());
        let Task::Classification { labels, order } = task(&train).unwrap() else {
            panic!("regression");
        };
        assert_eq!(
            (&labels[..], order),
            (&["c", "b", "a"].map(String::from)[..], Order::Declared)
        );
    }

    #[test]
    fn fractions_mean_regression() {
        let train = raw(&["1", "0.5"]);
        assert_eq!(task(&train).unwrap(), Task::Regression);
        let rows = rows(&train, &Task::Regression, false).unwrap();
        assert_eq!(rows[0].label, Label::Value(1.0));
        let error = task(&raw(&["0.5", "x"])).unwrap_err().to_string();
        assert!(
            error.starts_with("a.csv: line 3: column label: \"x\" among numbers"),
            "{error}"
        );
        let nan = raw(&["1", "NaN"]);
        let task = task(&nan).unwrap();
        let error = super::rows(&nan, &task, false).unwrap_err().to_string();
        assert!(
            error.starts_with("a.csv: line 3: column label: \"NaN\" is not a finite"),
            "{error}"
        );
    }

    #[test]
    fn missing_and_unseen_labels_are_named() {
        let error = task(&raw(&["a", "", ""])).unwrap_err().to_string();
        assert_eq!(error, "a.csv: line 3: column label: no label (2 such rows)");
        let task = task(&raw(&["a", "b"])).unwrap();
        let error = rows(&raw(&["a", "c"]), &task, false)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "a.csv: line 3: column label: \"c\" is not among the labels of train: a, b"
        );
    }

    #[test]
    fn labels_are_renamed_by_a_map() {
        let names =
            BTreeMap::from([("0", "bad"), ("1", "good")].map(|(a, b)| (a.into(), b.into())));
        let mut rows = raw(&["0", "1.0", ""]);
        rename(&mut rows, &names).unwrap();
        let labels: Vec<_> = rows.rows.iter().map(|row| row.label.as_deref()).collect();
        assert_eq!(labels, [Some("bad"), Some("good"), None]);
        let error = rename(&mut raw(&["0", "2"]), &names)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "a.csv: line 3: column label: \"2\" has no name in the option labels, which has 0, 1"
        );
        assert!(rename(&mut raw(&["-1", "-1"]), &names).is_ok());
        assert!(rename(&mut raw(&["-1", "1"]), &names).is_err());
    }

    #[test]
    fn minus_one_hides_a_split_unless_train_knows_it() {
        let train = raw(&["0", "1"]);
        assert!(are_hidden(&raw(&["-1", "-1"]), &train));
        assert!(are_hidden(&raw(&["", ""]), &train));
        assert!(!are_hidden(&raw(&["-1", "1"]), &train));
        assert!(!are_hidden(&raw(&["-1"]), &raw(&["-1", "1"])));
    }
}
