//! What training moves, and the gradients that move it.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Var};
use rayon::prelude::*;

use crate::adapter::{Form, Name, Tensors, head_forward};
use crate::compute::{Dropout, random::Stream, threads};
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
        for turn in pieces.chunks(self.at_once()?) {
            let one = |piece: &Vec<usize>| self.piece(piece, batch, epoch);
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
        let within = micro_batches(batch, lengths, self.token_budget).into_iter();
        within
            .flat_map(|rows| self.model.cut(&rows, lengths))
            .collect()
    }

    /// How many pieces are under way at once.
    fn at_once(&self) -> Result<usize> {
        let sites = self.sites()?;
        let most = match self.model.cuts_itself(&[sites.as_ref()]) {
            true => usize::MAX,
            // A thread that waits inside a piece would begin another.
            false => threads::count_now(),
        };
        Ok(self.at_once.min(most).max(1))
    }

    /// What some rows of a batch add to its mean loss and gradients.
    fn piece(&self, rows: &[usize], batch: &[usize], epoch: usize) -> Result<(f64, Gradients)> {
        let share = rows.len() as f64 / batch.len() as f64;
        let members: Vec<&Encoding> = rows.iter().map(|&i| &self.rows.encodings[i]).collect();
        let noise = self.noise(rows, batch, epoch)?;
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

    fn noise(&self, rows: &[usize], batch: &[usize], epoch: usize) -> Result<Noise> {
        let config = self.model.config();
        let first = batch.first().map_or(0, |&row| row as u64);
        let rows: Arc<[u64]> = rows.iter().map(|&r| r as u64).collect();
        let stream = Stream::new(self.options.seed, "dropout", &epoch.to_string());
        let make = |own: f32| {
            let p = self.options.dropout.unwrap_or(f64::from(own));
            (p > 0.0)
                .then(|| Dropout::new(stream.clone(), p, rows.clone()))
                .transpose()
                .map(|made| made.map(|dropout| dropout.of_batch(first)))
        };
        Ok(Noise {
            hidden: make(config.hidden_dropout_prob)?,
            attention: make(config.attention_probs_dropout_prob)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::random;
    use super::*;
    use crate::adapter::Lora;
    use crate::model::Frozen;
    use crate::tensorfile;
    use candle_core::{Device, Tensor};
    use std::path::Path;

    /// A small model that is computed node by node, of the reference files.
    fn reference(name: &str) -> Model {
        let own = format!("tests/references/{name}.safetensors");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(own);
        let bytes = std::fs::read(&path).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let tensors: BTreeMap<String, Tensor> = tensorfile::read(&path)
            .unwrap()
            .into_iter()
            .filter_map(|(name, t)| Some((name.strip_prefix("model/")?.to_string(), t)))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        let config = &metadata.metadata().as_ref().unwrap()["config"];
        write("config.json", config.as_bytes());
        let encoded = tensorfile::encode(&tensors, None).unwrap();
        write("model.safetensors", &encoded);
        Model::from_folder(name, folder.path(), DType::F32, &Device::Cpu).unwrap()
    }

    fn options() -> TrainOptions {
        let mut options = TrainOptions::new(Arc::new(Lora::default()), 0);
        options.dropout = Some(0.1);
        options
    }

    #[test]
    fn pieces_sum_to_the_gradients_of_the_whole_batch() -> Result<()> {
        for name in ["modernbert", "deberta-v2"] {
            let (model, options) = (reference(name), options());
            let mut learner = random(&model, &options, (80, 16))?;
            let rows: Vec<usize> = (0..80).collect();
            assert!(
                learner.pieces(&rows, &learner.lengths()).len() > 2,
                "{name}"
            );
            let (loss, sums) = learner.gradients(&rows, 1)?;
            let (whole, all) = learner.piece(&rows, &rows, 1)?;
            assert!(
                (loss - whole).abs() < 1e-5 * whole,
                "{name}: {loss} {whole}"
            );
            for (own, sum) in &sums {
                let largest = all[own].iter().fold(0f64, |m, g| m.max(g.abs()));
                let off = sum.iter().zip(&all[own]).map(|(a, b)| (a - b).abs());
                let off = off.fold(0f64, f64::max);
                assert!(
                    off <= 1e-5 + 1e-4 * largest,
                    "{name} {own}: {off} of {largest}"
                );
            }
            learner.at_once = 1;
            assert_eq!((loss, sums), learner.gradients(&rows, 1)?, "{name}");
        }
        Ok(())
    }

    #[test]
    fn texts_are_read_alike_in_pieces() -> Result<()> {
        for name in ["modernbert", "deberta-v2"] {
            let (model, options) = (reference(name), options());
            let learner = random(&model, &options, (80, 32))?;
            let lengths = learner.lengths();
            let read = |batch: &[usize]| -> Result<Vec<Vec<f32>>> {
                let texts: Vec<&Encoding> = batch
                    .iter()
                    .map(|&row| &learner.rows.encodings[row])
                    .collect();
                let states = model.forward_summary(&model.pad(&texts)?, &Frozen, &Noise::default());
                Ok(states?.squeeze(1)?.to_vec2()?)
            };
            let batches = model.reading_batches(&lengths, 80, &[&Frozen]);
            assert!(batches.len() > 1, "{name}");
            let pieces: Result<Vec<_>> = batches.iter().map(|batch| read(batch)).collect();
            let whole = read(&batches.concat())?;
            for (piece, own) in pieces?.concat().iter().zip(&whole) {
                let off = piece.iter().zip(own).map(|(a, b)| (a - b).abs());
                assert!(off.fold(0f32, f32::max) < 1e-5, "{name}");
            }
        }
        Ok(())
    }
}
