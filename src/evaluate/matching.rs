//! Which of a head's outputs stands for which label of a dataset.

use std::collections::BTreeSet;

use crate::adapter::{Adapter, Head, Labels};
use crate::data::{Dataset, Numbering, Order, Task, made_up, plain_name};
use crate::{Context, Result, bail};

use super::encoded::labels_of;

/// How a head's outputs stand for a dataset's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// The head's output of each label, in the dataset's order.
    pub outputs: Vec<usize>,
    /// Whether the order of the classes decided, since the head has no names for them.
    pub by_position: bool,
}

/// The head of an adapter for a dataset, with the outputs of the dataset's labels. A notice says
/// once where the head was trained on another dataset, and where it is matched by position.
///
/// # Errors
/// Those of [`Adapter::head_for`] and of [`match_labels`].
pub fn head_of<'a>(
    adapter: &'a Adapter,
    data: &Dataset,
    context: &Context,
) -> Result<(&'a Head, Matched)> {
    let head = adapter.head_for(data)?;
    let matched = match_labels(data, &head.labels)?;
    let (name, dataset) = (&head.name, data.name());
    if is_of_another(head, data) {
        context.notice_once(format!(
            "{dataset}: the head that is used was trained on {name}; no head of the adapter was trained on {dataset}"
        ));
    }
    if matched.by_position {
        let pairs = data.labels().iter().zip(&matched.outputs);
        context.notice_once(format!(
            "{dataset}: the head {name} has no names for its classes, so they are taken in the order of the dataset: {}",
            shown(pairs)
        ));
    }
    Ok((head, matched))
}

/// Whether a head was trained on a dataset of another content and another name.
pub fn is_of_another(head: &Head, data: &Dataset) -> bool {
    let trained_on = head.dataset.as_deref();
    trained_on.is_some_and(|id| id != data.id()) && head.name != data.name()
}

/// Classes with their labels, as a notice has room for them.
fn shown<'a>(pairs: impl ExactSizeIterator<Item = (&'a String, &'a usize)>) -> String {
    const SHOWN: usize = 12;
    let more = pairs.len().saturating_sub(SHOWN);
    let first = pairs.take(SHOWN);
    let mut text: Vec<String> = first.map(|(label, at)| format!("{at} {label}")).collect();
    if more > 0 {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}

/// How a head's outputs stand for the labels of a dataset: by name, where names that differ in form
/// only are equal (`LABEL_2` and `2`, `Positive` and `positive`). A head that has no names for its
/// classes is matched by position if the dataset declares the order of as many classes.
///
/// # Errors
/// A label that the head does not have; a head without names for a dataset of another number of
/// classes or whose order is not declared; numbers on one side only.
pub fn match_labels(data: &Dataset, head: &Labels) -> Result<Matched> {
    let order = match data.task() {
        Task::Classification { order, .. } => order,
        Task::Regression => &Order::Sorted,
    };
    matched(data.name(), (&labels_of(data), order), head)
}

fn matched(dataset: &str, (data, order): (&Labels, &Order), head: &Labels) -> Result<Matched> {
    match (data, head) {
        (Labels::Number, Labels::Number) => Ok(by_name(vec![0])),
        (Labels::Named(names), Labels::Named(known)) => named(dataset, names, known).map(by_name),
        (Labels::Named(names), Labels::Counted(n)) => {
            if names.iter().all(|name| made_up(name).is_some()) {
                return named(dataset, names, &head.names()).map(by_name);
            }
            let outputs = match order {
                Order::Declared(Numbering { numbers, classes }) if classes == n => numbers.to_vec(),
                Order::Declared(numbering) if !numbering.is_full() => bail!(
                    "the head tells {n} labels apart, but {dataset} declares {} classes, of which {} have rows ({})",
                    numbering.classes,
                    names.len(),
                    names.join(", ")
                ),
                _ if names.len() == *n => (0..*n).collect(),
                _ => bail!(
                    "the head tells {n} labels apart, but {dataset} has {}",
                    describe(data)
                ),
            };
            if *order == Order::Sorted {
                bail!(
                    "the head has no names for its {n} classes, and {dataset} declares no order of its labels: {}",
                    names.join(", ");
                    hint: "give the labels in the order of the head's classes: dataset(.., #{{ labels: [\"..\", \"..\"] }})"
                );
            }
            Ok(Matched {
                outputs,
                by_position: true,
            })
        }
        _ => bail!(
            "the head tells {} apart, but {dataset} has {}",
            describe(head),
            describe(data)
        ),
    }
}

/// All that a head tells apart, of a dataset that has a part of its classes: a class without a row
/// in the dataset is an answer, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// The dataset's labels, and the head's names of its other classes.
    pub labels: Labels,
    /// The head's output of each of them.
    pub outputs: Vec<usize>,
    /// The place of each of the dataset's labels among them.
    pub places: Vec<usize>,
}

impl Matched {
    /// The answers of a head with these labels to a dataset with labels `data`. They are in the
    /// dataset's order where it has all of the head's classes or another order, else in the head's.
    pub fn answers(&self, data: Labels, head: &Labels) -> Answers {
        let own = self.outputs.len();
        let others: Vec<usize> = match data {
            Labels::Named(_) => (0..head.outputs())
                .filter(|output| !self.outputs.contains(output))
                .collect(),
            _ => Vec::new(),
        };
        let names = match (&data, others.is_empty()) {
            (Labels::Named(names), false) => names,
            _ => {
                return Answers {
                    labels: data,
                    outputs: self.outputs.clone(),
                    places: (0..own).collect(),
                };
            }
        };
        let known = match head {
            // As the dataset writes the others.
            Labels::Counted(n) if names.iter().all(|name| name.parse::<usize>().is_ok()) => {
                (0..*n).map(|class| class.to_string()).collect()
            }
            _ => head.names(),
        };
        let mut all: Vec<(usize, String)> = Vec::new();
        all.extend(self.outputs.iter().copied().zip(names.iter().cloned()));
        all.extend(
            others
                .into_iter()
                .map(|output| (output, known[output].clone())),
        );
        if self.outputs.is_sorted() {
            all.sort();
        }
        let place = |output: &usize| all.iter().position(|(other, _)| other == output);
        Answers {
            places: self.outputs.iter().filter_map(place).collect(),
            outputs: all.iter().map(|(output, _)| *output).collect(),
            labels: Labels::Named(all.into_iter().map(|(_, name)| name).collect()),
        }
    }
}

fn by_name(outputs: Vec<usize>) -> Matched {
    Matched {
        outputs,
        by_position: false,
    }
}

/// The place of each name among those that the head has.
fn named(dataset: &str, names: &[String], known: &[String]) -> Result<Vec<usize>> {
    let forms: Vec<String> = known.iter().map(|name| form(name)).collect();
    let place = |name: &String| {
        if let Some(at) = known.iter().position(|k| k == name) {
            return Some(at);
        }
        let own = form(name);
        let mut alike = (0..forms.len()).filter(|at| forms[*at] == own);
        // Two names of one form are two classes.
        alike.next().filter(|_| alike.next().is_none())
    };
    let mut taken = BTreeSet::new();
    names
        .iter()
        .map(|name| match place(name).filter(|at| taken.insert(*at)) {
            Some(at) => Ok(at),
            None => bail!(
                "label {name:?} of {dataset} is not among the head's: {}",
                known.join(", ")
            ),
        })
        .collect()
}

/// A name without what makes no other class of it: `LABEL_2` is class 2, and capitals, hyphens and
/// spaces are spellings.
fn form(name: &str) -> String {
    match made_up(name) {
        Some(class) => class.to_string(),
        None => plain_name(name.trim())
            .to_lowercase()
            .replace(['-', ' '], "_"),
    }
}

fn describe(labels: &Labels) -> String {
    match labels {
        Labels::Named(names) => format!("{} labels ({})", names.len(), names.join(", ")),
        Labels::Counted(n) => format!("{n} labels"),
        Labels::Number => "numbers".into(),
        Labels::Tokens(_) => "tokens".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Labels {
        Labels::Named(names.iter().map(ToString::to_string).collect())
    }

    fn found(names: &[&str], order: &Order, head: &Labels) -> Result<(Vec<usize>, bool), String> {
        let found = matched("d", (&strings(names), order), head);
        found
            .map(|found| (found.outputs, found.by_position))
            .map_err(|e| e.to_string())
    }

    fn declared(numbers: &[usize], classes: usize) -> Order {
        Order::Declared(Numbering {
            numbers: numbers.into(),
            classes,
        })
    }

    #[test]
    fn classes_that_a_dataset_lacks_are_answers_too() {
        let head = strings(&["no", "maybe", "yes"]);
        let of = |names: &[&str]| {
            let matched = matched("d", (&strings(names), &Order::Sorted), &head).unwrap();
            let answers = matched.answers(strings(names), &head);
            (answers.labels.names(), answers.outputs, answers.places)
        };
        let three = ["no", "maybe", "yes"].map(String::from).to_vec();
        assert_eq!(of(&["yes"]), (three.clone(), vec![0, 1, 2], vec![2]));
        assert_eq!(of(&["no", "yes"]), (three, vec![0, 1, 2], vec![0, 2]));
        // An order of its own stays.
        let other = ["yes", "no", "maybe"].map(String::from).to_vec();
        assert_eq!(
            of(&["yes", "no"]),
            (other.clone(), vec![2, 0, 1], vec![0, 1])
        );
        let all = of(&["yes", "no", "maybe"]);
        assert_eq!(all, (other, vec![2, 0, 1], vec![0, 1, 2]));
        let counted = by_name(vec![1]).answers(strings(&["1"]), &Labels::Counted(3));
        assert_eq!(counted.labels.names(), ["0", "1", "2"]);
        let number = by_name(vec![0]).answers(Labels::Number, &Labels::Number);
        assert_eq!((number.labels, number.outputs), (Labels::Number, vec![0]));
    }

    #[test]
    fn labels_match_by_name_whatever_the_order() {
        let of = |names: &[&str], head: &[&str]| found(names, &Order::Sorted, &strings(head));
        assert_eq!(of(&["no", "yes"], &["yes", "no"]), Ok((vec![1, 0], false)));
        assert_eq!(of(&["no"], &["yes", "no"]), Ok((vec![1], false)));
        assert_eq!(
            of(&["no", "yes"], &["yes", "maybe"]),
            Err("label \"no\" of d is not among the head's: yes, maybe".into())
        );
    }

    #[test]
    fn names_that_differ_in_form_only_are_equal_where_that_is_safe() {
        let of = |names: &[&str], head: &[&str]| found(names, &Order::Sorted, &strings(head));
        assert_eq!(
            of(&["0", "2"], &["LABEL_2", "LABEL_0"]),
            Ok((vec![1, 0], false))
        );
        assert_eq!(
            of(&["LABEL_0", "LABEL_1"], &["1", "0"]),
            Ok((vec![1, 0], false))
        );
        assert_eq!(
            of(
                &["entailment", "not entailment"],
                &["NOT_ENTAILMENT", "Entailment"]
            ),
            Ok((vec![1, 0], false))
        );
        assert_eq!(
            of(&["Yes", "yes"], &["yes", "Yes"]),
            Ok((vec![1, 0], false))
        );
        assert!(of(&["YES"], &["yes", "Yes"]).is_err());
        assert!(of(&["Yes", "yes"], &["yes", "no"]).is_err());
        assert!(of(&["LABEL_x"], &["x"]).is_err());
    }

    #[test]
    fn a_head_without_names_asks_for_a_declared_order() {
        let (three, full) = (Labels::Counted(3), declared(&[0, 1, 2], 3));
        let names = ["entailment", "neutral", "contradiction"];
        assert_eq!(found(&names, &full, &three), Ok((vec![0, 1, 2], true)));
        assert_eq!(
            found(&names, &Order::Sorted, &three),
            Err("the head has no names for its 3 classes, and d declares no order of its labels: entailment, neutral, contradiction; give the labels in the order of the head's classes: dataset(.., #{ labels: [\"..\", \"..\"] })".into())
        );
        assert_eq!(
            found(&names[..2], &Order::Sorted, &three),
            Err("the head tells 3 labels apart, but d has 2 labels (entailment, neutral)".into())
        );
    }

    #[test]
    fn classes_without_rows_count_in_a_match_by_position() {
        let names = ["entailment", "contradiction"];
        let of = |classes, head| found(&names, &declared(&[0, 2], classes), &Labels::Counted(head));
        assert_eq!(of(3, 3), Ok((vec![0, 2], true)));
        // Which of three classes the two outputs stand for is not known.
        assert_eq!(
            of(3, 2),
            Err("the head tells 2 labels apart, but d declares 3 classes, of which 2 have rows (entailment, contradiction)".into())
        );
        assert!(of(3, 4).is_err());
    }

    #[test]
    fn made_up_names_are_the_heads_own() {
        let names = ["LABEL_0", "LABEL_2"];
        let of = |head| found(&names, &declared(&[0, 2], 3), &Labels::Counted(head));
        assert_eq!(of(3), Ok((vec![0, 2], false)));
        assert!(of(2).is_err());
    }

    #[test]
    fn classes_and_numbers_do_not_match() {
        assert!(matched("d", (&Labels::Number, &Order::Sorted), &Labels::Counted(1)).is_err());
        assert!(found(&["a"], &declared(&[0], 1), &Labels::Number).is_err());
        let numbers = matched("d", (&Labels::Number, &Order::Sorted), &Labels::Number);
        assert_eq!(numbers.unwrap(), by_name(vec![0]));
    }
}
