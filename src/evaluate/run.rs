//! Evaluating an adapter on rows.

use candle_core::DType;

use crate::adapter::{Adapter, Head, Labels, check_base, on_model};
use crate::compute::threads;
use crate::data::{Dataset, Split};
use crate::model::{Encoding, Model, Noise, Sites};
use crate::study::{Extent, Id};
use crate::{Context, Error, Result, bail};

use super::encoded::Encoded;
use super::journal::tell;
use super::matching::head_of;
use super::score::Score;

/// Rows in a batch of evaluation, fixed: a grid's cell equals a separate evaluation to the bit.
pub const BATCH: usize = 32;

/// What to evaluate on.
#[derive(Debug, Clone, Default)]
pub struct EvaluateOptions {
    /// The split; by default `test`, or `validation` where the test labels are hidden.
    pub split: Option<Split>,
    /// The longest text in tokens; by default the adapter's own, else the model's.
    pub max_length: Option<usize>,
}

/// Evaluates an adapter with its head for `data`. Kept in the context's store.
pub fn evaluate(
    model: &Model,
    adapter: &Adapter,
    data: &Dataset,
    options: &EvaluateOptions,
    context: &Context,
) -> Result<Score> {
    check_base(adapter, model, context)?;
    let (head, _) = head_of(adapter, data, context)?;
    let split = choose_split(data, options.split, context);
    let max_length = max_length(model, adapter, head, options.max_length);
    let id = score_id(model, adapter, head, data, split, max_length);
    let parts = (model, adapter, head, data);
    if let Some(score) = kept(&id, head, data, context) {
        tell(context, &id, parts, max_length, &score, true);
        return Ok(score);
    }
    adapter.fits(model)?;
    let rows = Encoded::of(model, data, split, &head.labels, max_length)?;
    // One evaluation is not worth sharing out.
    if context.plan().extent() == Extent::Nothing {
        let cost = threads::in_pool(|| rows.cost(model, context))?;
        context.plan().leave(id, cost);
        return Err(Error::pending(format!(
            "{} on {} is not evaluated yet",
            adapter.name(),
            data.name()
        )));
    }
    let tensors = on_model(&*adapter.tensors()?, model)?;
    let sites = adapter.kind().sites(&tensors, model.config())?;
    let score =
        threads::in_pool(|| evaluate_rows(model, sites.as_ref(), head, &rows, context, true))?;
    context.keep_json(&id, &score)?;
    tell(context, &id, parts, max_length, &score, false);
    Ok(score)
}

/// The score that the store has; the names of the dataset and of the head are not part of the id.
pub(super) fn kept(id: &Id, head: &Head, data: &Dataset, context: &Context) -> Option<Score> {
    let mut score: Score = context.kept_json(id)?;
    score.dataset = data.name().to_string();
    score.head.clone_from(&head.name);
    Some(score)
}

/// The split an evaluation reads: the one asked for, else test, else validation with a notice
/// where the test labels are hidden or there is no test split.
pub fn choose_split(data: &Dataset, asked: Option<Split>, context: &Context) -> Split {
    if let Some(split) = asked {
        return split;
    }
    let why = match data.split(Split::Test).is_empty() {
        true => "there is no test split",
        false if data.is_hidden(Split::Test) => "the test labels are hidden",
        false => return Split::Test,
    };
    context.notice(format!("{}: {why}, so validation is used", data.name()));
    Split::Validation
}

/// The longest text in tokens: as asked, else as the adapter was trained for this head, else as
/// the model and its tokenizer allow.
pub fn max_length(model: &Model, adapter: &Adapter, head: &Head, asked: Option<usize>) -> usize {
    let trained = || {
        adapter
            .members()
            .iter()
            .chain([adapter])
            .filter_map(Adapter::training)
            .find(|t| head.dataset.as_deref() == Some(t.dataset_id.as_str()))
            .map(|t| t.max_length)
    };
    asked
        .or_else(trained)
        .unwrap_or_else(|| model.max_length())
        .min(model.config().positions())
}

/// The id of an evaluation.
pub fn score_id(
    model: &Model,
    adapter: &Adapter,
    head: &Head,
    data: &Dataset,
    split: Split,
    max_length: usize,
) -> Id {
    Id::of_recipe(
        "evaluate/4",
        &serde_json::json!({
            "base": model.key(),
            "adapter": adapter.id().as_str(),
            "head": crate::adapter::head_id(head),
            "data": data.id(),
            "split": split.name(),
            "max_length": max_length,
            "precision": model.precision(),
            "class": model.class(),
        }),
    )
}

/// Evaluates what acts at `sites` with `head` on encoded rows: sorted by length, ties by row, in
/// batches of [`BATCH`].
pub fn evaluate_rows(
    model: &Model,
    sites: &dyn Sites,
    head: &Head,
    rows: &Encoded,
    context: &Context,
    show: bool,
) -> Result<Score> {
    let mut scores = evaluate_each(model, &[(sites, head)], rows, context, show)?;
    match scores.pop() {
        Some(score) => Ok(score),
        None => bail!("{}: nothing was evaluated", rows.dataset),
    }
}

/// [`evaluate_rows`] of several adapters, each with its head: to the bit what each alone gives.
pub fn evaluate_each(
    model: &Model,
    members: &[(&dyn Sites, &Head)],
    rows: &Encoded,
    context: &Context,
    show: bool,
) -> Result<Vec<Score>> {
    let n = rows.encodings.len();
    if n == 0 {
        bail!(
            "{}: the {} split has no rows",
            rows.dataset,
            rows.split.name()
        );
    }
    if show {
        context
            .progress()
            .start(&format!("evaluate {}", rows.dataset), n as u64, "rows");
    }
    let lengths: Vec<usize> = rows.encodings.iter().map(|e| e.ids.len()).collect();
    let sites: Vec<&dyn Sites> = members.iter().map(|(sites, _)| *sites).collect();
    let mut answers = vec![Answers::new(n); members.len()];
    let mut done = 0;
    for batch in model.reading_batches(&lengths, BATCH, &sites) {
        context.check()?;
        let texts: Vec<&Encoding> = batch.iter().map(|&i| &rows.encodings[i]).collect();
        let hidden = model.forward_summary_each(&model.pad(&texts)?, &sites)?;
        for ((hidden, (_, head)), answers) in hidden.iter().zip(members).zip(&mut answers) {
            let logits = head.forward(model, hidden, &Noise::default())?;
            let logits = logits.to_dtype(DType::F64)?.to_vec2::<f64>()?;
            answers.take(&batch, &logits, rows);
        }
        done += batch.len();
        if show {
            context.progress().update(done as u64, "");
        }
    }
    if show {
        context.progress().finish();
    }
    let scores = answers.into_iter().zip(members);
    Ok(scores.map(|(a, (_, head))| a.score(rows, head)).collect())
}

/// What one adapter answers, by row.
#[derive(Clone)]
struct Answers {
    predicted: Vec<f64>,
    p: Vec<f32>,
    losses: Vec<f64>,
    entropies: Vec<f64>,
}

impl Answers {
    fn new(n: usize) -> Self {
        Self {
            predicted: vec![0.0; n],
            p: vec![0.0; n],
            losses: vec![0.0; n],
            entropies: vec![0.0; n],
        }
    }

    /// Takes the logits of a batch of rows.
    fn take(&mut self, batch: &[usize], logits: &[Vec<f64>], rows: &Encoded) {
        for (&row, outputs) in batch.iter().zip(logits) {
            let gold = rows.gold[row];
            if rows.labels == Labels::Number {
                self.predicted[row] = outputs[0];
                self.losses[row] = (outputs[0] - gold).powi(2);
                continue;
            }
            // Outputs in the order of the rows' labels.
            let ordered: Vec<f64> = rows.outputs.iter().map(|&o| outputs[o]).collect();
            let (best, probability, loss) = classify(&ordered, gold as usize);
            self.entropies[row] = entropy(&ordered);
            self.predicted[row] = best as f64;
            self.p[row] = probability as f32;
            self.losses[row] = loss;
        }
    }

    fn score(self, rows: &Encoded, head: &Head) -> Score {
        let n = self.losses.len();
        Score {
            dataset: rows.dataset.clone(),
            dataset_id: rows.dataset_id.clone(),
            split: rows.split.name().to_string(),
            head: head.name.clone(),
            labels: rows.labels.clone(),
            gold: rows.gold.clone(),
            predicted: self.predicted,
            p: self.p,
            loss: self.losses.iter().sum::<f64>() / n as f64,
            entropy: match rows.labels {
                Labels::Number => None,
                _ => Some(self.entropies.iter().sum::<f64>() / n as f64),
            },
        }
    }
}

/// The entropy of the distribution that outputs give.
fn entropy(outputs: &[f64]) -> f64 {
    let top = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = outputs.iter().map(|o| libm::exp(o - top)).collect();
    let sum: f64 = shares.iter().sum();
    let terms = shares.iter().zip(outputs).map(|(s, o)| s / sum * (o - top));
    libm::log(sum) - terms.sum::<f64>()
}

/// The largest output's index (the first of equals), its probability, and the cross-entropy of
/// the right one.
fn classify(outputs: &[f64], gold: usize) -> (usize, f64, f64) {
    let mut best = 0;
    for (i, o) in outputs.iter().enumerate() {
        if *o > outputs[best] {
            best = i;
        }
    }
    let top = outputs[best];
    let sum: f64 = outputs.iter().map(|o| libm::exp(o - top)).sum();
    let loss = libm::log(sum) - (outputs[gold] - top);
    (best, 1.0 / sum, loss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_distribution() {
        assert!((entropy(&[3.0, 3.0]) - 2f64.ln()).abs() < 1e-12);
        assert!(entropy(&[0.0, -800.0, 800.0]).abs() < 1e-12);
        let (p, q) = (0.25f64, 0.75f64);
        let expected = -(p * p.ln() + q * q.ln());
        assert!((entropy(&[p.ln(), q.ln()]) - expected).abs() < 1e-12);
    }

    #[test]
    fn classify_takes_the_first_of_equals_and_sums_to_one() {
        let (best, p, loss) = classify(&[1.0, 3.0, 3.0], 0);
        assert_eq!(best, 1);
        let e = 2f64.exp();
        assert!((p - e / (1.0 + 2.0 * e)).abs() < 1e-12);
        assert!((loss - -(1.0 / (1.0 + 2.0 * e)).ln()).abs() < 1e-12);
    }
}
