//! What becomes of the members' heads in a soup.

use std::sync::Arc;

use candle_core::Tensor;

use crate::adapter::{Adapter, Head, Tensors, check_aligned, head_id};
use crate::{Result, bail};

/// What becomes of the members' heads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Heads {
    /// All are kept, one a dataset.
    #[default]
    Keep,
    /// One head, their weighted mean; an error unless all tell the same labels apart.
    Average,
    /// None is kept.
    Drop,
}

impl Heads {
    /// By its name.
    pub fn of(word: &str) -> Self {
        match word {
            "average" => Self::Average,
            "drop" => Self::Drop,
            _ => Self::Keep,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Average => "average",
            Self::Drop => "drop",
        }
    }

    /// The heads of a soup of `members`, which weigh so much where that is the same everywhere.
    pub(super) fn of_soup(
        self,
        members: &[Adapter],
        weights: Option<Vec<f64>>,
    ) -> Result<Vec<Arc<Head>>> {
        match self {
            Self::Keep => Ok(kept(members)),
            Self::Drop => Ok(Vec::new()),
            Self::Average => Ok(vec![Arc::new(average(members, weights)?)]),
        }
    }
}

/// The heads of all members, the first of each dataset.
fn kept(members: &[Adapter]) -> Vec<Arc<Head>> {
    let mut heads: Vec<Arc<Head>> = Vec::new();
    for head in members.iter().flat_map(|m| m.heads()) {
        let known = heads.iter().any(|h| {
            Arc::ptr_eq(h, head)
                || match (&h.dataset, &head.dataset) {
                    (Some(a), Some(b)) => a == b,
                    _ => head_id(h) == head_id(head),
                }
        });
        if !known {
            heads.push(head.clone());
        }
    }
    heads
}

/// These heads, with those of `more` that are for other datasets.
pub fn with_heads_of(mut heads: Vec<Arc<Head>>, more: &[Adapter]) -> Vec<Arc<Head>> {
    for head in more.iter().flat_map(Adapter::heads) {
        let known = |h: &Arc<Head>| h.dataset == head.dataset;
        if head.dataset.is_some() && !heads.iter().any(known) {
            heads.push(head.clone());
        }
    }
    heads
}

/// The mean of the members' heads by their weights, which are made to sum up to one.
fn average(members: &[Adapter], weights: Option<Vec<f64>>) -> Result<Head> {
    let mut heads: Vec<&Arc<Head>> = Vec::with_capacity(members.len());
    for member in members {
        match member.heads() {
            [head] => heads.push(head),
            [] => {
                bail!("{} has no head to average", member.name(); hint: "heads: \"keep\" or \"drop\"")
            }
            all => {
                bail!("{} has {} heads, which cannot be averaged", member.name(), all.len(); hint: "choose one: a.with_head(head)")
            }
        }
    }
    let first = heads[0];
    for (head, member) in heads.iter().zip(members).skip(1) {
        if head.labels != first.labels {
            bail!(
                "the heads of {} and {} tell different labels apart ({} and {}) and cannot be averaged",
                members[0].name(), member.name(),
                first.labels.names().join(", "), head.labels.names().join(", ");
                hint: "heads: \"keep\" keeps each for its own dataset"
            );
        }
        if head.form != first.form {
            bail!(
                "the heads of {} and {} are built differently and cannot be averaged",
                members[0].name(),
                member.name()
            );
        }
        let names = (members[0].name(), member.name());
        check_aligned(
            (names.0, &first.tensors),
            (names.1, &head.tensors),
            Tensor::dims,
        )?;
    }
    let total: f64 = weights.iter().flatten().sum();
    let weights = match weights {
        Some(w) if total.abs() > 1e-8 => w.iter().map(|w| w / total).collect(),
        _ => vec![1.0 / heads.len() as f64; heads.len()],
    };
    let mut tensors = Tensors::new();
    for name in first.tensors.keys() {
        let mut sum: Option<Tensor> = None;
        for (head, weight) in heads.iter().zip(&weights) {
            let term = (&head.tensors[name] * *weight)?;
            sum = Some(match sum {
                Some(before) => (before + term)?,
                None => term,
            });
        }
        tensors.extend(sum.map(|t| (name.clone(), t)));
    }
    let names: Vec<&str> = heads.iter().map(|h| h.name.as_str()).collect();
    let dataset = heads.iter().all(|h| h.dataset == first.dataset);
    Ok(Head {
        name: if dataset {
            first.name.clone()
        } else {
            names.join("+")
        },
        dataset: if dataset { first.dataset.clone() } else { None },
        labels: first.labels.clone(),
        form: first.form.clone(),
        tensors,
    })
}
