//! What training moves, and the gradients that move it.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Var};
use rayon::prelude::*;

use crate::adapter::{Form, Name, Tensors, head_forward};
use crate::compute::{Dropout, random::Stream};
use crate::data::batch::micro_batches;
use crate::evaluate::Encoded;
use crate::model::{Encoding, Model, Noise, Sites};
use crate::{Error, Result};

use super::loss::{loss, targets};
use super::optimizer::{AdamW, AdamWOptions, gradients};
use super::options::TrainOptions;
use super::vars::tracked;

/// An adapter and a head under training on encoded rows.
pub(super) struct Learner<'a> {
    pub model: Model,
    pub options: &'a TrainOptions,
    pub rows: Encoded,
    pub adapter: BTreeMap<Name, Var>,
    /// What the head is made of.
    pub form: Form,
    pub head: BTreeMap<Name, Var>,
    /// Pieces of a batch that may be under way at once.
    pub at_once: usize,
    /// The most tokens computed at once.
    pub token_budget: usize,
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
        let pieces = self.pieces(batch, &self.lengths());
        let names = self.adapter.keys().chain(self.head.keys());
        let mut sums: Vec<(&Name, Vec<f64>)> = names.map(|name| (name, Vec::new())).collect();
        let mut total = 0.0;
        for turn in pieces.chunks(self.at_once.max(1)) {
            let one = |piece: &Vec<usize>| self.piece(piece, batch.len(), epoch);
            let found = match turn {
                [piece] => vec![one(piece)?],
                _ => turn.par_iter().map(one).collect::<Result<Vec<_>>>()?,
            };
            // Summed in the order of the pieces, whichever was done first.
            total = found.iter().fold(total, |sum, (loss, _)| sum + loss);
            sums.par_iter_mut().for_each(|(name, sum)| {
                for part in found.iter().filter_map(|(_, all)| all.get(*name)) {
                    match sum.is_empty() {
                        true => sum.clone_from(part),
                        false => sum.iter_mut().zip(part).for_each(|(s, g)| *s += g),
                    }
                }
            });
        }
        let sums = sums.into_iter().map(|(name, sum)| (name.clone(), sum));
        Ok((total, sums.collect()))
    }

    /// What a batch of rows is computed in: pieces, by the rows' lengths alone.
    pub fn pieces(&self, batch: &[usize], lengths: &[usize]) -> Vec<Vec<usize>> {
        let mut pieces = Vec::new();
        for rows in micro_batches(batch, lengths, self.token_budget) {
            let lengths: Vec<usize> = rows.iter().map(|&row| lengths[row]).collect();
            let cuts = self.model.cut(&lengths);
            pieces.extend(cuts.into_iter().map(|cut| rows[cut].to_vec()));
        }
        pieces
    }

    /// What some rows of a batch of `size` add to its mean loss and gradients.
    fn piece(&self, rows: &[usize], size: usize, epoch: usize) -> Result<(f64, Gradients)> {
        let share = rows.len() as f64 / size as f64;
        let members: Vec<&Encoding> = rows.iter().map(|&i| &self.rows.encodings[i]).collect();
        let noise = self.noise(rows, epoch)?;
        let inputs = self.model.pad(&members)?;
        let sites = self.sites()?;
        let hidden = self
            .model
            .forward_summary(&inputs, sites.as_ref(), &noise)?;
        let head = tracked(&self.head);
        let logits = head_forward(&self.form, &head, &self.model, &hidden, &noise)?;
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

    /// What the adapter does in the model, with gradients to its variables.
    pub fn sites(&self) -> Result<Box<dyn Sites>> {
        let kind = &self.options.kind;
        kind.sites(&tracked(&self.adapter), self.model.config())
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
