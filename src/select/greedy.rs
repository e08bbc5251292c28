//! Greedy soups: adapters join one after the other while that helps.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::adapter::{Adapter, Head};
use crate::data::{Dataset, Split};
use crate::model::Model;
use crate::sign::{Denominator, MixtureIndex, View, planes_of};
use crate::{Context, Result, bail, soup};

use super::metric::Metric;

/// How to choose by score.
#[derive(Debug, Clone)]
pub struct GreedyOptions {
    /// What is compared.
    pub by: Metric,
    /// On which split.
    pub split: Split,
    /// The most members.
    pub budget: usize,
    /// How each soup is mixed.
    pub soup: soup::Options,
}

/// The greedy soup of Model Soups (Wortsman et al. 2022, the official code): adapters ordered by
/// their own held-out value, best first; the next joins iff the soup's value gets strictly better.
/// With several datasets the mean counts. Of equals the first comes first.
pub fn by_score(
    model: &Model,
    adapters: &[Adapter],
    data: &[Dataset],
    options: &GreedyOptions,
    context: &Context,
) -> Result<Adapter> {
    let by = options.by;
    let value = |adapter: &Adapter| by.mean(model, adapter, data, options.split, context);
    // A single adapter is judged as it will be served: as a soup, whose heads are what was asked.
    let mixed = |members: &[Adapter]| soup::soup(members, &options.soup, context);
    if adapters.is_empty() {
        bail!("there are no adapters to choose from");
    }
    let mut order = Vec::with_capacity(adapters.len());
    for adapter in adapters {
        let own = heads_of_all(&mixed(std::slice::from_ref(adapter))?, adapters);
        order.push((value(&own)?, adapter.clone()));
    }
    order.sort_by(|a, b| by.gain(b.0).total_cmp(&by.gain(a.0)));
    let mut steps: Vec<Value> = Vec::new();
    let mut chosen: Vec<Adapter> = Vec::new();
    let mut best = f64::NEG_INFINITY;
    let mut reached = 0.0;
    for (alone, candidate) in &order {
        if chosen.len() == options.budget {
            break;
        }
        let mut next = chosen.clone();
        next.push(candidate.clone());
        let found = match chosen.is_empty() {
            true => *alone,
            false => value(&heads_of_all(&mixed(&next)?, adapters))?,
        };
        let kept = by.gain(found) > best;
        steps.push(json!({
            "adapter": candidate.name(), "id": candidate.id(), "alone": alone, "soup": found, "kept": kept,
        }));
        if kept {
            (chosen, best, reached) = (next, by.gain(found), found);
        }
    }
    let record = json!({
        "by": by.name(),
        "split": options.split.name(),
        "data": data.iter().map(Dataset::id).collect::<Vec<_>>(),
        "value": reached,
        "steps": steps,
    });
    let last = soup::Options {
        chosen: Some(record),
        heads_of: owners(&mixed(&chosen)?, adapters, data)?,
        ..options.soup.clone()
    };
    soup::soup(&chosen, &last, context)
}

/// The adapter with the heads of all, so that it can be judged on data whose own adapter is not
/// in it.
fn heads_of_all(adapter: &Adapter, all: &[Adapter]) -> Adapter {
    let mut parts = adapter.parts().clone();
    parts.heads = soup::with_heads_of(parts.heads, all);
    adapter.with_parts(parts)
}

/// The adapters beside a soup's own members whose heads it was judged with on these datasets.
fn owners(soup: &Adapter, all: &[Adapter], data: &[Dataset]) -> Result<Vec<Adapter>> {
    let judged = heads_of_all(soup, all);
    let mut owners: Vec<Adapter> = Vec::new();
    for data in data {
        let head = judged.head_for(data)?;
        let is = |own: &Arc<Head>| std::ptr::eq(&**own, head);
        let has = |adapter: &Adapter| adapter.heads().iter().any(is);
        if !has(soup) && !owners.iter().any(has) {
            owners.extend(all.iter().find(|adapter| has(adapter)).cloned());
        }
    }
    Ok(owners)
}

/// How to choose by signs.
#[derive(Debug, Clone)]
pub struct SignOptions {
    /// The most members.
    pub budget: usize,
    /// The most sign difference of the whole mixture.
    pub threshold: f64,
    /// How the soup is mixed.
    pub soup: soup::Options,
}

/// The greedy soup by signs: starts from the first adapter, the target; adds the candidate with
/// which the mixture has the least sign difference (share of entries on which the members do not
/// all agree; ties: the least mean over pairs, then the name) until the budget is used or the
/// threshold would be passed. No model is run. Source: the idea of Nguyen & Le 2024.
pub fn by_signs(adapters: &[Adapter], options: &SignOptions, context: &Context) -> Result<Adapter> {
    let planes = adapters
        .iter()
        .map(|a| {
            context.check()?;
            planes_of(a, &View::default())
        })
        .collect::<Result<Vec<_>>>()?;
    let named: Vec<_> = adapters.iter().map(Adapter::name).zip(&planes).collect();
    if named.is_empty() {
        bail!("there are no adapters to choose from");
    }
    let index = MixtureIndex::new(&named)?;
    let mut chosen = vec![0usize];
    let mut reached = 0.0;
    let mut steps: Vec<Value> = Vec::new();
    while chosen.len() < options.budget.min(adapters.len()) {
        context.check()?;
        let mut best: Option<(f64, f64, &str, usize)> = None;
        for i in (0..adapters.len()).filter(|i| !chosen.contains(i)) {
            let mut subset = chosen.clone();
            subset.push(i);
            subset.sort_unstable();
            let rate = index.non_unanimous(&subset)?;
            let mut pairs = 0.0;
            for j in &chosen {
                let pair = [(*j).min(i), (*j).max(i)];
                pairs += index.counts(&pair)?.rate(Denominator::All);
            }
            let own = (rate, pairs / chosen.len() as f64, adapters[i].name(), i);
            let less = |a: &(f64, f64, &str, usize), b: &(f64, f64, &str, usize)| {
                a.0.total_cmp(&b.0)
                    .then(a.1.total_cmp(&b.1))
                    .then(a.2.cmp(b.2))
                    .then(a.3.cmp(&b.3))
                    .is_lt()
            };
            if best.as_ref().is_none_or(|b| less(&own, b)) {
                best = Some(own);
            }
        }
        let Some((rate, _, name, i)) = best else {
            break;
        };
        let kept = rate <= options.threshold;
        steps.push(
            json!({"adapter": name, "id": adapters[i].id(), "sign_diff": rate, "kept": kept}),
        );
        if !kept {
            break;
        }
        chosen.push(i);
        reached = rate;
    }
    let record = json!({
        "by": "sign_diff",
        "threshold": options.threshold,
        "value": reached,
        "steps": steps,
    });
    let members: Vec<Adapter> = chosen.iter().map(|i| adapters[*i].clone()).collect();
    let last = soup::Options {
        chosen: Some(record),
        ..options.soup.clone()
    };
    soup::soup(&members, &last, context)
}
