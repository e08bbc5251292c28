//! Encoders of post-norm blocks over learned positions: BERT and its descendants.

use candle_core::{DType, Tensor};

use crate::compute::{
    Activation, Attention, BlockWeights, EmbeddingWeights, FrozenLinear, Order, Precision, Stack,
    Texts, dropout,
};
use crate::{Result, bail};

use super::architecture::Architecture;
use super::config::Config;
use super::inputs::{Inputs, Noise};
use super::norm::Norm;
use super::sites::{LinearSite, Sites, SublayerSite};
use super::weights::Weights;
use super::{Encoder, Tokens};
use std::ops::Range;
use std::sync::OnceLock;

/// A frozen encoder of post-norm blocks.
#[derive(Clone)]
pub struct PostNorm {
    embedding: Embedding,
    layers: Vec<Layer>,
    /// What BERT's own classifiers put between the first token's state and their output.
    pooler: Option<FrozenLinear>,
    heads: usize,
    /// The same weights laid out for whole passes, where there is a kernel for that.
    stack: OnceLock<Option<Stack>>,
    precision: Precision,
}

/// The tables that token ids are looked up in, and what follows before the first block.
#[derive(Clone)]
pub struct Embedding {
    words: Tensor,
    positions: Tensor,
    types: Tensor,
    norm: Norm,
    order: Order,
    /// To the blocks' width, where the tables are narrower.
    pub projection: Option<FrozenLinear>,
}

#[derive(Clone)]
struct Layer {
    qkv: FrozenLinear,
    attention_output: FrozenLinear,
    attention_norm: Norm,
    intermediate: FrozenLinear,
    activation: Activation,
    output: FrozenLinear,
    output_norm: Norm,
}

impl Embedding {
    /// Words, positions and token types of this width, by the names BERT gives them.
    pub fn of_bert(config: &Config, weights: &Weights, width: usize) -> Result<Self> {
        let types = weights.get(
            "embeddings.token_type_embeddings.weight",
            &[config.type_vocab_size, width],
        )?;
        Self::load(config, weights, width, types)
    }

    /// Words and positions alone.
    pub fn without_types(config: &Config, weights: &Weights) -> Result<Self> {
        let d = config.hidden_size;
        let types = Tensor::zeros((1, d), weights.dtype(), weights.device())?;
        Self::load(config, weights, d, types)
    }

    fn load(config: &Config, weights: &Weights, width: usize, types: Tensor) -> Result<Self> {
        let positions = [config.max_position_embeddings, width];
        Ok(Self {
            words: weights.get(
                "embeddings.word_embeddings.weight",
                &[config.vocab_size, width],
            )?,
            positions: weights.get("embeddings.position_embeddings.weight", &positions)?,
            types,
            norm: weights.norm("embeddings.LayerNorm", width, config.layer_norm_eps)?,
            order: (config.architecture()?.order)(config.pad_token_id),
            projection: None,
        })
    }

    fn apply(&self, inputs: &Inputs, noise: &Noise) -> Result<Tensor> {
        let (rows, seq) = inputs.dims();
        let ids = inputs.ids.flatten_all()?;
        let places: Vec<u32> = ids
            .to_vec1::<u32>()?
            .chunks(seq.max(1))
            .flat_map(|ids| self.order.positions(ids))
            .collect();
        let places = Tensor::new(places, ids.device())?;
        let words = self.words.index_select(&ids, 0)?;
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

impl PostNorm {
    /// The blocks by their architecture's names, with their norms' paths within a layer.
    pub fn load(
        config: &Config,
        weights: &Weights,
        embedding: Embedding,
        norms: [&str; 2],
    ) -> Result<Box<dyn Encoder>> {
        let architecture = config.architecture()?;
        let layers = (0..config.num_hidden_layers)
            .map(|l| Layer::load(config, weights, architecture, l, norms))
            .collect::<Result<_>>()?;
        Ok(Box::new(Self {
            embedding,
            layers,
            pooler: match weights.has("pooler.dense.weight") {
                true => {
                    Some(weights.linear("pooler.dense", config.hidden_size, config.hidden_size)?)
                }
                false => None,
            },
            heads: config.num_attention_heads,
            stack: OnceLock::new(),
            precision: Precision::F32,
        }))
    }

    fn stack(&self) -> Result<Option<&Stack>> {
        if let Some(stack) = self.stack.get() {
            return Ok(stack.as_ref());
        }
        let embeddings = EmbeddingWeights {
            words: &self.embedding.words,
            positions: &self.embedding.positions,
            types: &self.embedding.types,
            norm: self.embedding.norm.weights(),
            projection: self.embedding.projection.as_ref(),
            order: self.embedding.order,
        };
        let blocks: Vec<BlockWeights<'_>> = self.layers.iter().map(Layer::weights).collect();
        let stack = Stack::new(&embeddings, &blocks, self.heads, self.precision)?;
        Ok(self.stack.get_or_init(|| stack).as_ref())
    }
}

impl Encoder for PostNorm {
    fn forward(
        &self,
        inputs: &Inputs,
        sites: &dyn Sites,
        noise: &Noise,
        tokens: Tokens,
    ) -> Result<Tensor> {
        if let (Some(stack), Some(parts)) = (self.stack()?, sites.parts()) {
            return stack.forward(texts(inputs, noise)?, parts, tokens);
        }
        let mut x = self.embedding.apply(inputs, noise)?;
        for (l, layer) in self.layers.iter().enumerate() {
            let mut context = layer.attend(l, &x, inputs, self.heads, sites, noise)?;
            // After the last attention no token needs another.
            if tokens == Tokens::Summary && l + 1 == self.layers.len() {
                context = context.narrow(1, 0, 1)?.contiguous()?;
                x = x.narrow(1, 0, 1)?.contiguous()?;
            }
            x = layer.transform(l, &x, &context, sites, noise)?;
        }
        match (tokens, self.layers.is_empty()) {
            (Tokens::Summary, true) => Ok(x.narrow(1, 0, 1)?),
            _ => Ok(x),
        }
    }

    fn forward_each(
        &self,
        inputs: &Inputs,
        sites: &[&dyn Sites],
        tokens: Tokens,
    ) -> Result<Vec<Tensor>> {
        let noise = Noise::default();
        let parts: Option<Vec<_>> = sites.iter().map(|sites| sites.parts()).collect();
        if let (Some(stack), Some(parts)) = (self.stack()?, parts) {
            return stack.forward_each(&texts(inputs, &noise)?, parts, tokens);
        }
        let each = sites
            .iter()
            .map(|sites| self.forward(inputs, *sites, &noise, tokens));
        each.collect()
    }

    fn words(&self) -> &Tensor {
        &self.embedding.words
    }

    fn pooler(&self) -> Option<&FrozenLinear> {
        self.pooler.as_ref()
    }

    fn map(&self, layer: usize, site: LinearSite) -> Option<&FrozenLinear> {
        let layer = self.layers.get(layer)?;
        Some(match site {
            LinearSite::Query | LinearSite::Key | LinearSite::Value => &layer.qkv,
            LinearSite::AttentionOutput => &layer.attention_output,
            LinearSite::Intermediate => &layer.intermediate,
            LinearSite::Output => &layer.output,
        })
    }

    fn dtype(&self) -> DType {
        self.embedding.words.dtype()
    }

    fn in_bf16(&self) -> Result<Option<Box<dyn Encoder>>> {
        let other = Self {
            stack: OnceLock::new(),
            precision: Precision::Bf16,
            ..self.clone()
        };
        let known = self.dtype() == DType::F32 && other.stack()?.is_some();
        Ok(known.then(|| Box::new(other) as Box<dyn Encoder>))
    }

    fn to_dtype(&self, dtype: DType) -> Result<Box<dyn Encoder>> {
        let e = &self.embedding;
        let cast = |map: &Option<FrozenLinear>| map.as_ref().map(|m| m.to_dtype(dtype)).transpose();
        let embedding = Embedding {
            words: e.words.to_dtype(dtype)?,
            positions: e.positions.to_dtype(dtype)?,
            types: e.types.to_dtype(dtype)?,
            norm: e.norm.to_dtype(dtype)?,
            order: e.order,
            projection: cast(&e.projection)?,
        };
        let layer = |layer: &Layer| -> Result<Layer> {
            Ok(Layer {
                qkv: layer.qkv.to_dtype(dtype)?,
                attention_output: layer.attention_output.to_dtype(dtype)?,
                attention_norm: layer.attention_norm.to_dtype(dtype)?,
                intermediate: layer.intermediate.to_dtype(dtype)?,
                activation: layer.activation,
                output: layer.output.to_dtype(dtype)?,
                output_norm: layer.output_norm.to_dtype(dtype)?,
            })
        };
        Ok(Box::new(Self {
            embedding,
            layers: self.layers.iter().map(layer).collect::<Result<_>>()?,
            pooler: cast(&self.pooler)?,
            heads: self.heads,
            stack: OnceLock::new(),
            precision: Precision::F32,
        }))
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn cut(&self, lengths: &[usize]) -> Vec<Range<usize>> {
        match self.stack() {
            Ok(Some(_)) => Stack::cut(lengths),
            _ => std::iter::once(0..lengths.len()).collect(),
        }
    }
}

impl Layer {
    fn load(
        config: &Config,
        weights: &Weights,
        architecture: &Architecture,
        layer: usize,
        norms: [&str; 2],
    ) -> Result<Self> {
        let linear = |site: LinearSite| {
            let Some(map) = architecture.map_of(site) else {
                bail!("{}: no map for {site:?}", architecture.model_type);
            };
            let (input, output) = map.widths(config);
            weights.linear(&architecture.path(layer, map.path), input, output)
        };
        let norm = |path: &str| {
            let (d, eps) = (config.hidden_size, config.layer_norm_eps);
            weights.norm(&architecture.path(layer, path), d, eps)
        };
        let (q, k, v) = (
            linear(LinearSite::Query)?,
            linear(LinearSite::Key)?,
            linear(LinearSite::Value)?,
        );
        Ok(Self {
            qkv: FrozenLinear::concat(&[&q, &k, &v])?,
            attention_output: linear(LinearSite::AttentionOutput)?,
            attention_norm: norm(norms[0])?,
            intermediate: linear(LinearSite::Intermediate)?,
            activation: config.hidden_act.parse()?,
            output: linear(LinearSite::Output)?,
            output_norm: norm(norms[1])?,
        })
    }

    fn weights(&self) -> BlockWeights<'_> {
        BlockWeights {
            qkv: &self.qkv,
            attention_output: &self.attention_output,
            attention_norm: self.attention_norm.weights(),
            intermediate: &self.intermediate,
            activation: self.activation,
            output: &self.output,
            output_norm: self.output_norm.weights(),
        }
    }

    /// What every token of `x` gathers from the others.
    fn attend(
        &self,
        l: usize,
        x: &Tensor,
        inputs: &Inputs,
        heads: usize,
        sites: &dyn Sites,
        noise: &Noise,
    ) -> Result<Tensor> {
        use LinearSite as Lin;
        let qkv = sites.linear(l, &[Lin::Query, Lin::Key, Lin::Value], &self.qkv, x)?;
        let attention = Attention {
            heads,
            mask: inputs.mask.clone(),
            causal: false,
            dropout: noise.attention.as_ref().map(|d| (d.clone(), draws(l))),
        };
        attention.apply(&qkv)
    }

    /// The rest of the layer, token by token.
    fn transform(
        &self,
        l: usize,
        x: &Tensor,
        context: &Tensor,
        sites: &dyn Sites,
        noise: &Noise,
    ) -> Result<Tensor> {
        use LinearSite as Lin;
        let map = &self.attention_output;
        let f = sites.linear(l, &[Lin::AttentionOutput], map, context)?;
        let f = drop_hidden(f, noise, draws(l) + 1)?;
        let h = sites.sublayer(
            l,
            SublayerSite::Attention,
            &f,
            x,
            Some(&self.attention_norm),
        )?;

        let inner = sites.linear(l, &[Lin::Intermediate], &self.intermediate, &h)?;
        let inner = self.activation.apply(&inner)?;
        let f = sites.linear(l, &[Lin::Output], &self.output, &inner)?;
        let f = drop_hidden(f, noise, draws(l) + 2)?;
        sites.sublayer(
            l,
            SublayerSite::FeedForward,
            &f,
            &h,
            Some(&self.output_norm),
        )
    }
}

fn texts(inputs: &Inputs, noise: &Noise) -> Result<Texts> {
    Ok(Texts {
        ids: inputs.ids.flatten_all()?.to_vec1()?,
        types: inputs.type_ids.flatten_all()?.to_vec1()?,
        mask: inputs.mask.clone(),
        hidden: noise.hidden.clone(),
        attention: noise.attention.clone(),
    })
}

/// The first of a layer's own dropout sites; 0 is the embeddings'.
fn draws(l: usize) -> u64 {
    4 * l as u64 + 1
}

fn drop_hidden(x: Tensor, noise: &Noise, site: u64) -> Result<Tensor> {
    match &noise.hidden {
        Some(d) => dropout(&x, d, site),
        None => Ok(x),
    }
}
