//! BERT (Devlin et al. 2019): post-norm encoder blocks over learned positions.

use candle_core::{DType, IndexOp, Tensor};

use crate::Result;
use crate::compute::{
    Activation, Attention, BlockWeights, EmbeddingWeights, FrozenLinear, Precision, Stack, Texts,
    dropout,
};

use super::config::Config;
use super::inputs::{Inputs, Noise};
use super::norm::Norm;
use super::sites::{LinearSite, Sites, SublayerSite};
use super::weights::Weights;
use super::{Encoder, Tokens};
use std::ops::Range;
use std::sync::OnceLock;

/// The prefix of the weights' names in task models.
pub const PREFIX: &str = "bert.";

/// A frozen BERT encoder.
#[derive(Clone)]
pub struct Bert {
    words: Tensor,
    positions: Tensor,
    types: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    /// The same weights laid out for whole passes, where there is a kernel for that.
    stack: OnceLock<Option<Stack>>,
    precision: Precision,
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

impl Bert {
    /// Takes its weights by the names transformers gives them.
    pub fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let (d, eps) = (config.hidden_size, config.layer_norm_eps);
        let layers = (0..config.num_hidden_layers)
            .map(|l| Layer::load(config, weights, &format!("encoder.layer.{l}")))
            .collect::<Result<_>>()?;
        Ok(Self {
            words: weights.get("embeddings.word_embeddings.weight", &[config.vocab_size, d])?,
            positions: weights.get(
                "embeddings.position_embeddings.weight",
                &[config.max_position_embeddings, d],
            )?,
            types: weights.get(
                "embeddings.token_type_embeddings.weight",
                &[config.type_vocab_size, d],
            )?,
            norm: weights.norm("embeddings.LayerNorm", d, eps)?,
            layers,
            heads: config.num_attention_heads,
            stack: OnceLock::new(),
            precision: Precision::F32,
        })
    }

    fn stack(&self) -> Result<Option<&Stack>> {
        if let Some(stack) = self.stack.get() {
            return Ok(stack.as_ref());
        }
        let embeddings = EmbeddingWeights {
            words: &self.words,
            positions: &self.positions,
            types: &self.types,
            norm: self.norm.weights(),
        };
        let blocks: Vec<BlockWeights<'_>> = self.layers.iter().map(Layer::weights).collect();
        let stack = Stack::new(&embeddings, &blocks, self.heads, self.precision)?;
        Ok(self.stack.get_or_init(|| stack).as_ref())
    }

    fn embed(&self, inputs: &Inputs, noise: &Noise) -> Result<Tensor> {
        let (rows, seq) = inputs.dims();
        let words = self.words.index_select(&inputs.ids.flatten_all()?, 0)?;
        let types = self
            .types
            .index_select(&inputs.type_ids.flatten_all()?, 0)?;
        let positions = self.positions.i(..seq)?.unsqueeze(0)?;
        let d = words.dim(1)?;
        let sum = (words + types)?.reshape((rows, seq, d))?;
        let sum = sum.broadcast_add(&positions)?;
        drop_hidden(self.norm.apply(&sum)?, noise, 0)
    }
}

impl Encoder for Bert {
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
        let mut x = self.embed(inputs, noise)?;
        for (l, layer) in self.layers.iter().enumerate() {
            let mut context = layer.attend(l, &x, inputs, self.heads, sites, noise)?;
            // After the last attention no token needs another.
            if tokens == Tokens::First && l + 1 == self.layers.len() {
                context = context.narrow(1, 0, 1)?.contiguous()?;
                x = x.narrow(1, 0, 1)?.contiguous()?;
            }
            x = layer.transform(l, &x, &context, sites, noise)?;
        }
        match (tokens, self.layers.is_empty()) {
            (Tokens::First, true) => Ok(x.narrow(1, 0, 1)?),
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

    fn dtype(&self) -> DType {
        self.words.dtype()
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
    fn load(config: &Config, weights: &Weights, path: &str) -> Result<Self> {
        let linear = |site: LinearSite| {
            let (input, output) = site.widths(config.hidden_size, config.intermediate_size);
            weights.linear(&format!("{path}.{}", site.path()), input, output)
        };
        let norm = |site: SublayerSite| {
            weights.norm(
                &format!("{path}.{}.LayerNorm", site.path()),
                config.hidden_size,
                config.layer_norm_eps,
            )
        };
        let (q, k, v) = (
            linear(LinearSite::Query)?,
            linear(LinearSite::Key)?,
            linear(LinearSite::Value)?,
        );
        Ok(Self {
            qkv: FrozenLinear::concat(&[&q, &k, &v])?,
            attention_output: linear(LinearSite::AttentionOutput)?,
            attention_norm: norm(SublayerSite::Attention)?,
            intermediate: linear(LinearSite::Intermediate)?,
            activation: config.hidden_act.parse()?,
            output: linear(LinearSite::Output)?,
            output_norm: norm(SublayerSite::FeedForward)?,
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
        let qkv = sites.linear(
            l,
            &[Lin::Query, Lin::Key, Lin::Value],
            x,
            self.qkv.forward(x)?,
        )?;
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
        let f = self.attention_output.forward(context)?;
        let f = sites.linear(l, &[Lin::AttentionOutput], context, f)?;
        let f = drop_hidden(f, noise, draws(l) + 1)?;
        let h = sites.sublayer(l, SublayerSite::Attention, &f, x, &self.attention_norm)?;

        let inner = self.intermediate.forward(&h)?;
        let inner = sites.linear(l, &[Lin::Intermediate], &h, inner)?;
        let inner = self.activation.apply(&inner)?;
        let f = self.output.forward(&inner)?;
        let f = sites.linear(l, &[Lin::Output], &inner, f)?;
        let f = drop_hidden(f, noise, draws(l) + 2)?;
        sites.sublayer(l, SublayerSite::FeedForward, &f, &h, &self.output_norm)
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
