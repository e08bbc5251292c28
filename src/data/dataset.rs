//! The Dataset value.

use std::fmt;
use std::sync::Arc;

use super::id;
use super::row::{Label, Order, Row, Rows, Split, Task};
use crate::compute::random::Stream;
use crate::{Error, Result};

/// Labelled texts in three splits. Immutable, cheap to clone.
#[derive(Debug, Clone)]
pub struct Dataset {
    parts: Arc<Parts>,
    id: Arc<str>,
}

/// What a dataset is made of.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub name: String,
    pub task: Task,
    /// By [`Split`]; a split that is not there is empty.
    pub splits: [Rows; 3],
    /// Which splits tell no labels.
    pub hidden: [bool; 3],
    /// Whether the three splits are the same rows.
    pub shared: bool,
}

impl Dataset {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            id: id::of(&parts).into(),
            parts: Arc::new(parts),
        }
    }

    /// The same rows in every role.
    pub(super) fn shared(name: String, task: Task, rows: Rows) -> Self {
        Self::new(Parts {
            name,
            task,
            splits: [rows.clone(), rows.clone(), rows],
            hidden: [false; 3],
            shared: true,
        })
    }

    /// Texts in every role, none with a label.
    pub(super) fn unlabeled(name: String, rows: Rows) -> Self {
        Self::new(Parts {
            name,
            task: Task::Classification {
                labels: Arc::new([]),
                order: Order::Sorted,
            },
            splits: [rows.clone(), rows.clone(), rows],
            hidden: [true; 3],
            shared: true,
        })
    }

    /// The name it goes by.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// The hash of its content (labels, texts, splits): 32 hexadecimal digits, the same whatever
    /// the file format and the name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it asks for.
    pub fn task(&self) -> &Task {
        &self.parts.task
    }

    /// The label names in the dataset's order; none for regression.
    pub fn labels(&self) -> &[String] {
        match &self.parts.task {
            Task::Classification { labels, .. } => labels,
            Task::Regression => &[],
        }
    }

    /// The rows of a split; empty where the dataset has no such split.
    pub fn split(&self, split: Split) -> &Rows {
        &self.parts.splits[split as usize]
    }

    /// Whether the labels of a split are not told; such a split cannot be evaluated on.
    pub fn is_hidden(&self, split: Split) -> bool {
        self.parts.hidden[split as usize]
    }

    /// Whether all rows are in every role, so that what is evaluated was trained on.
    pub fn shared_roles(&self) -> bool {
        self.parts.shared
    }

    /// Whether its rows are pairs of texts.
    pub fn is_paired(&self) -> bool {
        self.rows().next().is_some_and(|row| row.text_b.is_some())
    }

    /// All rows: train, validation, test, those in every role once.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        let splits = if self.parts.shared { 1 } else { 3 };
        self.parts.splits[..splits]
            .iter()
            .flat_map(|rows| rows.iter())
    }

    /// The number of [`Self::rows`], at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a dataset is never empty")]
    pub fn len(&self) -> usize {
        let splits = if self.parts.shared { 1 } else { 3 };
        self.parts.splits[..splits]
            .iter()
            .map(|rows| rows.len())
            .sum()
    }

    /// The `i`-th of [`Self::rows`].
    pub fn row(&self, i: usize) -> Result<&Row> {
        self.rows().nth(i).ok_or_else(|| {
            Error::new(format!(
                "row {i} of dataset {}, which has {} rows, counted from 0",
                self.name(),
                self.len()
            ))
        })
    }

    /// The texts of [`Self::rows`]; the first ones of pairs.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.rows().map(|row| &*row.text)
    }

    /// The label as text: its name, its number, none where hidden.
    pub fn label_text(&self, label: Label) -> Option<String> {
        match label {
            Label::Class(class) => self.labels().get(class).cloned(),
            Label::Value(value) => Some(value.to_string()),
            Label::Hidden => None,
        }
    }

    /// The same content under another name.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Self {
        Self {
            parts: Arc::new(Parts {
                name: name.into(),
                ..(*self.parts).clone()
            }),
            id: self.id.clone(),
        }
    }

    /// At most `n` rows of each split, or of these `only`, drawn by the stream
    /// `(seed, "sample", split)`, in their order; the other splits stay whole. Not stratified; the labels stay. A smaller sample of a seed is part of a larger one.
    pub fn sample(&self, n: usize, seed: u64, only: Option<&[Split]>) -> Result<Self> {
        if n == 0 {
            return Err(Error::new("a sample of 0 rows, expected at least 1"));
        }
        if self.parts.shared && only.is_some() {
            return Err(Error::new(format!(
                "dataset {} is one file in every role: its splits cannot be drawn from one by one",
                self.name()
            ))
            .hint("cut it first: dataset(path, #{ split: [0.8, 0.1, 0.1] })"));
        }
        let draw = |split: Split| -> Rows {
            let rows = self.split(split);
            if only.is_some_and(|only| !only.contains(&split)) {
                return rows.to_vec().into();
            }
            let chosen = self.drawn(split, n, seed).into_iter();
            chosen.map(|i| rows[i].clone()).collect::<Vec<_>>().into()
        };
        Ok(self.with_splits(self.parts.task.clone(), draw))
    }

    /// Which rows of a split [`Self::sample`] draws, in their order.
    pub fn drawn(&self, split: Split, n: usize, seed: u64) -> Vec<usize> {
        let mut chosen: Vec<usize> = (0..self.split(split).len()).collect();
        Stream::new(seed, "sample", split.name()).shuffle(&mut chosen);
        chosen.truncate(n);
        chosen.sort_unstable();
        chosen
    }

    /// The rows that `keep` says true to, in every split. A label that no row has any more is
    /// gone. Nothing left in train is an error.
    pub fn filter(&self, mut keep: impl FnMut(&Row) -> Result<bool>) -> Result<Self> {
        let mut kept: [Vec<Row>; 3] = Default::default();
        let splits = if self.parts.shared { 1 } else { 3 };
        for (kept, rows) in kept.iter_mut().zip(&self.parts.splits[..splits]) {
            for row in rows.iter() {
                if keep(row)? {
                    kept.push(row.clone());
                }
            }
        }
        if kept[0].is_empty() {
            return Err(Error::new(format!(
                "filter leaves no row of train in dataset {}",
                self.name()
            )));
        }
        let task = self.drop_unused(&mut kept);
        let kept = kept.map(Rows::from);
        Ok(self.with_splits(task, |split| kept[split as usize].clone()))
    }

    /// The task without the labels that no row has, its classes renumbered.
    fn drop_unused(&self, splits: &mut [Vec<Row>; 3]) -> Task {
        let Task::Classification { labels, order } = &self.parts.task else {
            return Task::Regression;
        };
        let mut used = vec![false; labels.len()];
        for row in splits.iter().flatten() {
            if let Label::Class(class) = row.label {
                used[class] = true;
            }
        }
        let renumbered: Vec<usize> = used
            .iter()
            .scan(0, |next, &used| {
                let class = *next;
                *next += usize::from(used);
                Some(class)
            })
            .collect();
        for row in splits.iter_mut().flatten() {
            if let Label::Class(class) = &mut row.label {
                *class = renumbered[*class];
            }
        }
        let order = match order {
            Order::Declared(numbering) => Order::Declared(numbering.of_used(&used)),
            Order::Sorted => Order::Sorted,
        };
        let labels = labels.iter().zip(used).filter(|(_, used)| *used);
        Task::Classification {
            labels: labels.map(|(label, _)| label.clone()).collect(),
            order,
        }
    }

    fn with_splits(&self, task: Task, rows: impl Fn(Split) -> Rows) -> Self {
        let splits = if self.parts.shared {
            let rows = rows(Split::Train);
            [rows.clone(), rows.clone(), rows]
        } else {
            Split::ALL.map(rows)
        };
        Self::new(Parts {
            name: self.parts.name.clone(),
            task,
            splits,
            ..*self.parts
        })
    }
}

impl PartialEq for Dataset {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// A card: `Dataset films: 1400 train, 200 validation, 400 test; 2 labels: negative, positive`.
impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More label names than this make a card hard to read.
        const SHOWN: usize = 8;
        write!(f, "Dataset {}: ", self.name())?;
        if self.parts.shared {
            write!(f, "{} rows in every role", self.len())?;
        } else {
            let mut separator = "";
            for split in Split::ALL {
                let hidden = if self.is_hidden(split) {
                    " (hidden labels)"
                } else {
                    ""
                };
                write!(f, "{separator}{} {split}{hidden}", self.split(split).len())?;
                separator = ", ";
            }
        }
        match &self.parts.task {
            Task::Regression => f.write_str("; regression"),
            Task::Classification { labels, .. } if labels.is_empty() => f.write_str("; no labels"),
            Task::Classification { labels, .. } => {
                let plural = if labels.len() == 1 { "" } else { "s" };
                let shown = &labels[..labels.len().min(SHOWN)];
                write!(f, "; {} label{plural}: {}", labels.len(), shown.join(", "))?;
                match labels.len().checked_sub(SHOWN) {
                    Some(more @ 1..) => write!(f, " and {more} more"),
                    _ => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str, class: usize) -> Row {
        Row {
            text: text.into(),
            text_b: None,
            label: Label::Class(class),
        }
    }

    fn data() -> Dataset {
        let rows = |from: usize, n| {
            (from..from + n)
                .map(|i| row(&format!("t{i}"), i % 3))
                .collect::<Vec<_>>()
        };
        Dataset::new(Parts {
            name: "films".into(),
            task: Task::Classification {
                labels: ["a", "b", "c"].map(String::from).into(),
                order: Order::Sorted,
            },
            splits: [rows(0, 30).into(), rows(30, 6).into(), rows(36, 9).into()],
            hidden: [false; 3],
            shared: false,
        })
    }

    #[test]
    fn the_card_tells_splits_and_labels() {
        let card = data().to_string();
        assert_eq!(
            card,
            "Dataset films: 30 train, 6 validation, 9 test; 3 labels: a, b, c"
        );
        let labels: Arc<[String]> = (0..10).map(|i| format!("l{i}")).collect();
        let task = Task::Classification {
            labels,
            order: Order::Sorted,
        };
        let shared = Dataset::shared("x".into(), task, vec![row("t", 0)].into());
        assert_eq!(
            shared.to_string(),
            "Dataset x: 1 rows in every role; 10 labels: l0, l1, l2, l3, l4, l5, l6, l7 and 2 more"
        );
    }

    #[test]
    fn rows_run_through_the_splits() {
        let data = data();
        assert_eq!(data.len(), 45);
        assert_eq!(&*data.row(36).unwrap().text, "t36");
        assert_eq!(
            data.row(45).unwrap_err().to_string(),
            "row 45 of dataset films, which has 45 rows, counted from 0"
        );
    }

    #[test]
    fn samples_are_nested_and_fixed() {
        let data = data();
        let small = data.sample(5, 1, None).unwrap();
        let large = data.sample(10, 1, None).unwrap();
        assert_eq!(Split::ALL.map(|s| large.split(s).len()), [10, 6, 9]);
        assert!(
            small
                .texts()
                .all(|text| large.texts().any(|other| other == text))
        );
        assert_eq!(small.id(), data.sample(5, 1, None).unwrap().id());
        assert_ne!(small.id(), data.sample(5, 2, None).unwrap().id());
        assert_eq!(small.labels(), data.labels());
        assert!(data.sample(0, 1, None).is_err());
        let part = data.sample(5, 1, Some(&[Split::Test])).unwrap();
        assert_eq!(part.split(Split::Test), small.split(Split::Test));
        assert_eq!(part.split(Split::Train), data.split(Split::Train));
    }

    #[test]
    fn filtering_a_label_out_renumbers_the_others() {
        let data = data();
        let kept = data.filter(|row| Ok(row.label != Label::Class(1))).unwrap();
        assert_eq!(kept.labels(), ["a", "c"]);
        assert_eq!(Split::ALL.map(|s| kept.split(s).len()), [20, 4, 6]);
        assert_eq!(kept.split(Split::Train)[1].label, Label::Class(1));
        assert_eq!(&*kept.split(Split::Train)[1].text, "t2");
        assert_eq!(
            data.filter(|_| Ok(false)).unwrap_err().to_string(),
            "filter leaves no row of train in dataset films"
        );
        assert!(data.filter(|_| Err(Error::new("in the closure"))).is_err());
    }

    #[test]
    fn the_id_depends_on_content_and_not_on_the_name() {
        let data = data();
        assert_eq!(data.renamed("other").id(), data.id());
        assert_eq!(data.renamed("other").name(), "other");
        assert_ne!(
            data.filter(|row| Ok(&*row.text != "t44")).unwrap().id(),
            data.id()
        );
    }
}
