//! Labels as written become classes or numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::raw::{RawRow, RawRows};
use super::row::{Label, Numbering, Order, Row, Task};
use crate::Result;

/// How benchmarks mark a label that is not told.
pub(super) const HIDDEN: &str = "-1";

/// Decides the task by the labels of `train`. `declared` are the names of all classes in their order,
/// if that is known.
///
/// Without it, numbers with a fraction anywhere mean regression. Everything else is a name: integers
/// ("1.0" is "1") in ascending order, other names sorted as strings. A class without a row is no
/// label.
pub(super) fn task(train: &RawRows, declared: Option<&[String]>) -> Result<Task> {
    let missing = train.rows.iter().filter(|row| row.label.is_none()).count();
    let told = |row: &RawRow| match &row.label {
        Some(label) => Ok(label.clone()),
        None => Err(train.error(row, format_args!("no label ({missing} such rows)"))),
    };
    if let Some(declared) = declared {
        let mut used = BTreeSet::new();
        for row in &train.rows {
            let name = name(&told(row)?);
            if !declared.contains(&name) {
                let known = declared.join(", ");
                return Err(train.error(
                    row,
                    format_args!("\"{name}\" is not among the declared classes: {known}"),
                ));
            }
            used.insert(name);
        }
        return Ok(of_declared(declared, &used));
    }
    let mut fraction = None;
    let mut word = None;
    let mut names = BTreeSet::new();
    for row in &train.rows {
        let label = told(row)?;
        names.insert(name(&label));
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
        _ => Ok(of_names(names)),
    }
}

/// Those of the declared classes that are used.
fn of_declared(declared: &[String], used: &BTreeSet<String>) -> Task {
    let (mut labels, mut numbers) = (Vec::new(), Vec::new());
    for (number, name) in declared.iter().enumerate() {
        if used.contains(name) && !labels.contains(name) {
            labels.push(name.clone());
            numbers.push(number);
        }
    }
    Task::Classification {
        labels: labels.into(),
        order: Order::Declared(Numbering {
            numbers: numbers.into(),
            classes: declared.len(),
        }),
    }
}

/// Names in ascending order where all are integers, which are class numbers if they begin at 0; else
/// sorted as strings.
fn of_names(names: BTreeSet<String>) -> Task {
    let Some(integers) = integers(&names) else {
        return Task::Classification {
            labels: names.into_iter().collect(),
            order: Order::Sorted,
        };
    };
    let numbers: Option<Arc<[usize]>> = integers
        .iter()
        .map(|(integer, _)| usize::try_from(*integer).ok())
        .collect();
    let numbering = match numbers {
        Some(numbers) if numbers.first() == Some(&0) => Numbering {
            classes: numbers.last().map_or(0, |last| last.saturating_add(1)),
            numbers,
        },
        _ => Numbering::full(integers.len()),
    };
    Task::Classification {
        labels: integers.into_iter().map(|(_, name)| name.clone()).collect(),
        order: Order::Declared(numbering),
    }
}

/// Names with the integers that they are, in ascending order. `LABEL_2` is the name that libraries
/// make up for class 2. None unless all are integers, each another one.
fn integers(names: &BTreeSet<String>) -> Option<Vec<(i64, &String)>> {
    let plain = names.iter().map(|name| Some((name.parse().ok()?, name)));
    let made_up = names
        .iter()
        .map(|name| Some((made_up(name)?.try_into().ok()?, name)));
    let all: Option<Vec<(i64, &String)>> = plain.collect();
    let mut all = match all {
        Some(all) => all,
        None => made_up.collect::<Option<_>>()?,
    };
    all.sort();
    let distinct = all.windows(2).all(|pair| pair[0].0 != pair[1].0);
    (distinct && !all.is_empty()).then_some(all)
}

/// The class number in a name such as `LABEL_2`, which libraries make up for a class without a name.
pub fn made_up(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("LABEL_")?;
    let canonical = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| canonical)
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
    raw.order = match raw.order.take() {
        Some(declared) => {
            let new = |old: &String| names.get(old).unwrap_or(old).clone();
            Some(distinct(declared.iter().map(new)))
        }
        // The keys of a map come sorted as strings: only of integers is the order known.
        None => {
            let keys: BTreeSet<String> = names.keys().cloned().collect();
            let ascending = integers(&keys);
            ascending.map(|keys| distinct(keys.iter().map(|(_, key)| names[*key].clone())))
        }
    };
    Ok(())
}

/// The names as labels have them, each once.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for new in names.map(|new| name(&new)) {
        if !all.contains(&new) {
            all.push(new);
        }
    }
    all
}

/// Takes `order` as the names of the classes in their order. Labels that are other integers than these
/// names are class numbers, counted from 0, and get the names. Nothing changes where `order` is empty.
pub(super) fn declare(raw: &mut RawRows, order: &[String]) -> Result<()> {
    if order.is_empty() {
        return Ok(());
    }
    let order: Vec<String> = order.iter().map(|new| name(new)).collect();
    let labels = || raw.rows.iter().filter_map(|row| row.label.as_deref());
    let named = |label: &str| order.contains(&name(label)) || name(label) == HIDDEN;
    let number = |label: &str| name(label).parse::<usize>().ok();
    let numbered = |label: &str| number(label).is_some() || name(label) == HIDDEN;
    let by_number = labels().all(numbered) && !labels().all(named);
    let new = |row: &RawRow| -> Result<Option<String>> {
        let Some(label) = row.label.as_deref() else {
            return Ok(None);
        };
        match number(label).filter(|_| by_number) {
            Some(class) if class >= order.len() => {
                let count = order.len();
                Err(raw.error(
                    row,
                    format_args!(
                        "class {class}, but the option labels has {count} names, counted from 0"
                    ),
                ))
            }
            Some(class) => Ok(Some(order[class].clone())),
            None if named(label) => Ok(Some(label.to_string())),
            None => {
                let known = order.join(", ");
                Err(raw.error(
                    row,
                    format_args!("\"{label}\" is not among the option labels: {known}"),
                ))
            }
        }
    };
    let renamed: Vec<Option<String>> = raw.rows.iter().map(new).collect::<Result<_>>()?;
    for (row, label) in raw.rows.iter_mut().zip(renamed) {
        row.label = label;
    }
    raw.order = Some(order);
    Ok(())
}

/// Takes the sorted names as the order of the classes.
pub(super) fn declare_sorted(raw: &mut RawRows) {
    let labels = raw.rows.iter().filter_map(|row| row.label.as_deref());
    let names: BTreeSet<String> = labels.map(name).collect();
    raw.order = Some(names.into_iter().collect());
}

/// Whether these classes, which another split declares, have all labels of `train`.
pub(super) fn cover(order: &[String], train: &RawRows) -> bool {
    let mut labels = train.rows.iter().filter_map(|row| row.label.as_deref());
    labels.all(|label| order.contains(&name(label)))
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
pub fn name(label: &str) -> String {
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

    fn classes(task: Task) -> (Vec<String>, Order) {
        match task {
            Task::Classification { labels, order } => (labels.to_vec(), order),
            Task::Regression => panic!("regression"),
        }
    }

    fn names(labels: &[&str]) -> (Vec<String>, Order) {
        classes(task(&raw(labels), None).unwrap())
    }

    fn numbered(numbers: &[usize], classes: usize) -> Order {
        Order::Declared(Numbering {
            numbers: numbers.into(),
            classes,
        })
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_sorted_as_strings() {
        let of = |names: &[&str]| (strings(names), Order::Sorted);
        assert_eq!(names(&["b", "a", "b"]), of(&["a", "b"]));
        assert_eq!(names(&["b", "10", "2"]), of(&["10", "2", "b"]));
        assert_eq!(names(&["01", "1"]), of(&["01", "1"]));
    }

    #[test]
    fn integers_ascend_and_are_class_numbers_from_0_on() {
        let (labels, order) = names(&["10", "9.0", "2", "-3"]);
        assert_eq!(labels, ["-3", "2", "9", "10"]);
        assert_eq!(order, numbered(&[0, 1, 2, 3], 4));
        let twelve: Vec<String> = (0..12).map(|i| i.to_string()).collect();
        let reversed: Vec<&str> = twelve.iter().rev().map(String::as_str).collect();
        let all = numbered(&(0..12).collect::<Vec<_>>(), 12);
        assert_eq!(names(&reversed), (twelve, all));
        assert_eq!(
            names(&["4", "0"]),
            (strings(&["0", "4"]), numbered(&[0, 4], 5))
        );
        let made_up = strings(&["LABEL_2", "LABEL_10"]);
        assert_eq!(names(&["LABEL_10", "LABEL_2"]).0, made_up);
    }

    #[test]
    fn a_declared_order_stays_and_counts_classes_without_rows() {
        let declared = strings(&["c", "b", "a"]);
        let of = |labels: &[&str]| classes(task(&raw(labels), Some(&declared)).unwrap());
        assert_eq!(
            of(&["a", "b", "c"]),
            (declared.clone(), numbered(&[0, 1, 2], 3))
        );
        assert_eq!(
            of(&["a", "c"]),
            (strings(&["c", "a"]), numbered(&[0, 2], 3))
        );
        let error = task(&raw(&["a", "d"]), Some(&declared)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.csv: line 3: column label: \"d\" is not among the declared classes: c, b, a"
        );
        assert!(task(&raw(&["a", ""]), Some(&declared)).is_err());
    }

    #[test]
    fn a_list_of_names_gives_the_order() {
        let order = strings(&["neg", "neu", "pos"]);
        let of = |labels: &[&str]| {
            let mut rows = raw(labels);
            declare(&mut rows, &order).map(|()| {
                let labels = rows
                    .rows
                    .iter()
                    .map(|row| row.label.clone().unwrap_or_default());
                (labels.collect::<Vec<_>>(), rows.order)
            })
        };
        let declared = Some(order.clone());
        assert_eq!(
            of(&["pos", "neg"]).unwrap(),
            (strings(&["pos", "neg"]), declared.clone())
        );
        assert_eq!(
            of(&["2.0", "0"]).unwrap(),
            (strings(&["pos", "neg"]), declared.clone())
        );
        assert_eq!(
            of(&["-1", "-1"]).unwrap(),
            (strings(&["-1", "-1"]), declared)
        );
        let message = |labels: &[&str]| of(labels).unwrap_err().to_string();
        assert_eq!(
            message(&["1", "3"]),
            "a.csv: line 3: column label: class 3, but the option labels has 3 names, counted from 0"
        );
        assert_eq!(
            message(&["neg", "other"]),
            "a.csv: line 3: column label: \"other\" is not among the option labels: neg, neu, pos"
        );
        assert!(message(&["neg", "1"]).contains("\"1\" is not among"));
    }

    #[test]
    fn a_map_gives_the_order_where_that_is_known() {
        let order = |pairs: &[(&str, &str)], declared: Option<&[&str]>| {
            let names = pairs.iter().map(|(a, b)| (a.to_string(), b.to_string()));
            let written: Vec<&str> = pairs.iter().map(|(a, _)| *a).collect();
            let mut rows = raw(&written);
            rows.order = declared.map(strings);
            rename(&mut rows, &names.collect()).unwrap();
            rows.order
        };
        let of = |names: &[&str]| Some(strings(names));
        assert_eq!(
            order(&[("10", "ten"), ("2", "two")], None),
            of(&["two", "ten"])
        );
        assert_eq!(order(&[("b", "x"), ("a", "y")], None), None);
        assert_eq!(
            order(&[("b", "x"), ("a", "y")], Some(&["b", "c", "a"])),
            of(&["x", "c", "y"])
        );
        assert_eq!(
            order(&[("0", "no"), ("1", "no"), ("2", "yes")], None),
            of(&["no", "yes"])
        );
    }

    #[test]
    fn fractions_mean_regression() {
        let train = raw(&["1", "0.5"]);
        assert_eq!(task(&train, None).unwrap(), Task::Regression);
        let rows = rows(&train, &Task::Regression, false).unwrap();
        assert_eq!(rows[0].label, Label::Value(1.0));
        let error = task(&raw(&["0.5", "x"]), None).unwrap_err().to_string();
        assert!(
            error.starts_with("a.csv: line 3: column label: \"x\" among numbers"),
            "{error}"
        );
        let nan = raw(&["1", "NaN"]);
        let task = task(&nan, None).unwrap();
        let error = super::rows(&nan, &task, false).unwrap_err().to_string();
        assert!(
            error.starts_with("a.csv: line 3: column label: \"NaN\" is not a finite"),
            "{error}"
        );
    }

    #[test]
    fn missing_and_unseen_labels_are_named() {
        let error = task(&raw(&["a", "", ""]), None).unwrap_err().to_string();
        assert_eq!(error, "a.csv: line 3: column label: no label (2 such rows)");
        let task = task(&raw(&["a", "b"]), None).unwrap();
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
