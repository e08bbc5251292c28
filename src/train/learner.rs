//! What training moves, and the gradients that move it.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Var};
use rayon::prelude::*;

use crate::adapter::{Form, Name, Tensors, head_forward};
use crate::compute::{Dropout, random::Stream};
use crate::data::batch::micro_batches;
use crate::evaluate::Encoded;
use crate::model::{Encoding, Model, Noise};
use crate::{Error, Result};

use super::loss::{loss, targets};
use super::optimizer::{AdamW, AdamWOptions, gradients};
use super::options::TrainOptions;
use super::vars::tracked;

/// An adapter and a head under training on encoded rows.
pub(super) struct Learner<'a> {
    pub model: &'a Model,
    pub options: &'a TrainOptions,
    pub rows: Encoded,
    pub adapter: BTreeMap<Name, Var>,
    /// What the head is made of.
    pub form: Form,
    pub head: BTreeMap<Name, Var>,
}

/// The gradients of all variables.
pub(super) type Gradients = BTreeMap<Name, Vec<f64>>;

impl Learner<'_> {
    /// The rows' lengths in tokens.
    pub fn lengths(&self) -> Vec<usize> {
        self.rows.encodings.iter().map(|e| e.ids.len()).collect()
    }

    /// The optimizer of adapter and head, with the mask of the adapter training started from.
    pub fn optimizer(&self) -> Result<AdamW> {
        let vars = self.adapter.iter().chain(&self.head);
        let vars: BTreeMap<Name, Var> = vars.map(|(n, v)| (n.clone(), v.clone())).collect();
        let kept = match self.options.from.as_ref().and_then(|a| a.mask()) {
            Some(mask) => mask.tensors()?,
            None => Tensors::new(),
        };
        let options = AdamWOptions {
            weight_decay: self.options.weight_decay,
            max_norm: Some(self.options.max_norm),
            ..AdamWOptions::default()
        };
        AdamW::new(&vars, &kept, options)
    }

    /// Mean loss and gradients over a batch of rows, in micro-batches within the token budget,
    /// each in pieces side by side.
    pub fn gradients(&self, batch: &[usize], epoch: usize) -> Result<(f64, Gradients)> {
        let lengths = self.lengths();
        let mut pieces = Vec::new();
        for rows in micro_batches(batch, &lengths, self.options.token_budget) {
            let lengths: Vec<usize> = rows.iter().map(|&row| lengths[row]).collect();
            let cuts = self.model.cut(&lengths);
            pieces.extend(cuts.into_iter().map(|cut| rows[cut].to_vec()));
        }
        let found = match &pieces[..] {
            [piece] => vec![self.piece(piece, batch.len(), epoch)?],
            _ => pieces
                .par_iter()
                .map(|piece| self.piece(piece, batch.len(), epoch))
                .collect::<Result<Vec<_>>>()?,
        };
        // Summed in the order of the pieces, whichever was done first.
        let total = found.iter().map(|(loss, _)| loss).sum();
        let names: Vec<&Name> = self.adapter.keys().chain(self.head.keys()).collect();
        let sums = names.into_par_iter().map(|name| {
            let mut parts = found
                .iter()
                .filter_map(|(_, gradients)| gradients.get(name));
            let mut sum = parts.next().cloned().unwrap_or_default();
            for part in parts {
                for (s, g) in sum.iter_mut().zip(part) {
                    *s += g;
                }
            }
            (name.clone(), sum)
        });
        Ok((total, sums.collect()))
    }

    /// What some rows of a batch of `size` add to its mean loss and gradients.
    fn piece(&self, rows: &[usize], size: usize, epoch: usize) -> Result<(f64, Gradients)> {
        let share = rows.len() as f64 / size as f64;
        let members: Vec<&Encoding> = rows.iter().map(|&i| &self.rows.encodings[i]).collect();
        let noise = self.noise(rows, epoch)?;
        let inputs = self.model.pad(&members)?;
        let sites = self
            .options
            .kind
            .sites(&tracked(&self.adapter), self.model.config())?;
        let hidden = self
            .model
            .forward_summary(&inputs, sites.as_ref(), &noise)?;
        let head = tracked(&self.head);
        let logits = head_forward(&self.form, &head, self.model, &hidden, &noise)?;
        let gold: Vec<f64> = rows.iter().map(|&i| self.rows.gold[i]).collect();
        let device = self.model.device();
        let targets = targets(&gold, &self.rows.labels, self.model.dtype(), device)?;
        let mean = (loss(&logits, &targets)? * share)?;
        let store = mean.backward()?;
        let mut all = gradients(&self.adapter, &store)?;
        all.extend(gradients(&self.head, &store)?);
        let mean = mean.to_dtype(DType::F64)?.to_scalar::<f64>();
        Ok((mean.map_err(Error::from)?, all))
    }

    fn noise(&self, rows: &[usize], epoch: usize) -> Result<Noise> {
        let config = self.model.config();
        let rows: Arc<[u64]> = rows.iter().map(|&r| r as u64).collect();
        let stream = Stream::new(self.options.seed, "dropout", &epoch.to_string());
        let make = |own: f32| {
            let p = self.options.dropout.unwrap_or(f64::from(own));
            (p > 0.0)
                .then(|| Dropout::new(stream.clone(), p, rows.clone()))
                .transpose()
        };
        Ok(Noise {
            hidden: make(config.hidden_dropout_prob)?,
            attention: make(config.attention_probs_dropout_prob)?,
        })
    }
}
