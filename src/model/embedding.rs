//! What enters the first block of BERT and its descendants.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::compute::{EmbeddingWeights, FrozenLinear, Order, Weight};

use super::config::Config;
use super::inputs::{Inputs, Noise, drop_hidden};
use super::norm::Norm;
use super::weights::Weights;

/// The tables that token ids are looked up in, and what follows before the first block.
#[derive(Clone)]
pub struct Embedding {
    words: Weight,
    positions: Tensor,
    types: Tensor,
    norm: Norm,
    order: Order,
    /// To the blocks' width, where the tables are narrower.
    pub projection: Option<FrozenLinear>,
}

impl Embedding {
    /// Words, positions and token types of this width, by the names BERT gives them.
    pub fn of_bert(config: &Config, weights: &Weights, width: usize) -> Result<Self> {
        let types = types(config, weights, width)?;
        let positions = positions(config, weights, width)?;
        Self::load(config, weights, positions, types)
    }

    /// Words and positions alone.
    pub fn without_types(config: &Config, weights: &Weights) -> Result<Self> {
        let d = config.hidden_size;
        let positions = positions(config, weights, d)?;
        let types = Tensor::zeros((1, d), weights.dtype(), weights.device())?;
        Self::load(config, weights, positions, types)
    }

    /// Words and, where the model has them, token types alone.
    pub fn without_positions(config: &Config, weights: &Weights) -> Result<Self> {
        let d = config.hidden_size;
        let zeros = Tensor::zeros((1, d), weights.dtype(), weights.device())?;
        let known = config.type_vocab_size > 1 || weights.has(TYPES);
        let types = match known {
            true => types(config, weights, d)?,
            false => zeros.clone(),
        };
        Self::load(config, weights, zeros, types)
    }

    fn load(config: &Config, weights: &Weights, positions: Tensor, types: Tensor) -> Result<Self> {
        let width = types.dim(1)?;
        Ok(Self {
            words: weights.matrix(
                "embeddings.word_embeddings.weight",
                (config.vocab_size, width),
            )?,
            positions,
            types,
            norm: weights.norm("embeddings.LayerNorm", width, config.layer_norm_eps)?,
            order: (config.architecture()?.order)(config.pad_token_id),
            projection: None,
        })
    }

    /// The table that token ids are looked up in.
    pub fn words(&self) -> &Weight {
        &self.words
    }

    /// The same in the terms of a [`Stack`](crate::compute::Stack).
    pub fn weights(&self) -> EmbeddingWeights<'_> {
        EmbeddingWeights {
            words: &self.words,
            positions: &self.positions,
            types: &self.types,
            norm: self.norm.weights(),
            projection: self.projection.as_ref(),
            order: self.order,
        }
    }

    /// The same of this type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        let projection = self.projection.as_ref().map(|m| m.to_dtype(dtype));
        Ok(Self {
            words: self.words.to_dtype(dtype)?,
            positions: self.positions.to_dtype(dtype)?,
            types: self.types.to_dtype(dtype)?,
            norm: self.norm.to_dtype(dtype)?,
            order: self.order,
            projection: projection.transpose()?,
        })
    }

    /// The states that enter the first block, [batch, seq, hidden].
    pub fn apply(&self, inputs: &Inputs, noise: &Noise) -> Result<Tensor> {
        let (rows, seq) = inputs.dims();
        let ids = inputs.ids.flatten_all()?;
        let places: Vec<u32> = ids
            .to_vec1::<u32>()?
            .chunks(seq.max(1))
            .flat_map(|ids| self.order.positions(ids))
            .collect();
        let places = Tensor::new(places, ids.device())?;
        let words = self.words.look_up(&ids)?;
        let types = self
            .types
            .index_select(&inputs.type_ids.flatten_all()?, 0)?;
        let positions = self.positions.index_select(&places, 0)?;
        let width = words.dim(1)?;
        let sum = ((words + types)? + positions)?.reshape((rows, seq, width))?;
        let states = drop_hidden(self.norm.apply(&sum)?, noise, 0)?;
        match &self.projection {
            Some(projection) => projection.forward(&states),
            None => Ok(states),
        }
    }
}

/// The name of the table of token types.
const TYPES: &str = "embeddings.token_type_embeddings.weight";

fn types(config: &Config, weights: &Weights, width: usize) -> Result<Tensor> {
    weights.get(TYPES, &[config.type_vocab_size, width])
}

fn positions(config: &Config, weights: &Weights, width: usize) -> Result<Tensor> {
    let shape = [config.max_position_embeddings, width];
    weights.get("embeddings.position_embeddings.weight", &shape)
}
