//! The model under attack, asked many texts at a time.

use candle_core::DType;

use super::text::Attacked;
use crate::adapter::{Adapter, Head, on_model};
use crate::evaluate::BATCH;
use crate::model::tokenize::Text;
use crate::model::{Encoding, Model, Noise, Sites};
use crate::{Context, Result};

/// A model with an adapter and its head.
pub(super) struct Victim<'a> {
    model: &'a Model,
    sites: Box<dyn Sites>,
    head: &'a Head,
    /// The head's output of each answer.
    outputs: Vec<usize>,
    max_length: usize,
}

impl<'a> Victim<'a> {
    /// The adapter in the model, whose head's `outputs` are the answers.
    pub(super) fn new(
        model: &'a Model,
        adapter: &Adapter,
        head: &'a Head,
        outputs: Vec<usize>,
        max_length: usize,
    ) -> Result<Self> {
        let tensors = on_model(&*adapter.tensors()?, model)?;
        Ok(Self {
            model,
            sites: adapter.kind().sites(&tensors, model.config())?,
            head,
            outputs,
            max_length,
        })
    }

    /// The probability of each answer, text by text.
    pub(super) fn ask(&self, texts: &[&Attacked], context: &Context) -> Result<Vec<Vec<f32>>> {
        let inputs: Vec<Text<'_>> = texts.iter().map(|text| text.as_input()).collect();
        let encodings = self.model.tokenize(&inputs, self.max_length)?;
        let lengths: Vec<usize> = encodings.iter().map(|e| e.ids.len()).collect();
        let mut answers = vec![Vec::new(); texts.len()];
        let sites = [self.sites.as_ref()];
        for batch in self.model.reading_batches(&lengths, BATCH, &sites) {
            context.check()?;
            let rows: Vec<&Encoding> = batch.iter().map(|&i| &encodings[i]).collect();
            let inputs = self.model.pad(&rows)?;
            let noise = Noise::default();
            let hidden = self
                .model
                .forward_summary(&inputs, self.sites.as_ref(), &noise)?;
            let logits = self.head.forward(self.model, &hidden, &noise)?;
            for (&i, logits) in batch
                .iter()
                .zip(logits.to_dtype(DType::F64)?.to_vec2::<f64>()?)
            {
                let ordered: Vec<f64> = self.outputs.iter().map(|&o| logits[o]).collect();
                answers[i] = softmax(&ordered);
            }
        }
        Ok(answers)
    }
}

fn softmax(logits: &[f64]) -> Vec<f32> {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = logits.iter().map(|x| libm::exp(x - top)).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| (share / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_however_large_the_logits() {
        assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
        let p = softmax(&[0.0, 3f64.ln(), f64::NEG_INFINITY]);
        assert_eq!(p, [0.25, 0.75, 0.0]);
    }
}
