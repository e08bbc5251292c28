//! GPT-2 (Radford et al. 2019): pre-norm blocks, each token seeing only those before it.

use candle_core::{DType, IndexOp, Tensor};

use crate::compute::{
    Activation, Attention, FrozenLinear, LinearSite, Order, Sight, SublayerSite, Weight,
};
use crate::{Result, bail};

use super::architecture::{Architecture, Hub, Map};
use super::config::Config;
use super::inputs::{Inputs, Noise, drop_hidden};
use super::norm::Norm;
use super::sites::Sites;
use super::weights::Weights;
use super::{Encoder, Tokens};

const QKV: &[LinearSite] = &[LinearSite::Query, LinearSite::Key, LinearSite::Value];

/// GPT-2.
pub const GPT2: Architecture = Architecture {
    model_type: "gpt2",
    fields: &[
        ("n_embd", "hidden_size"),
        ("n_layer", "num_hidden_layers"),
        ("n_head", "num_attention_heads"),
        ("n_inner", "intermediate_size"),
        ("n_positions", "max_position_embeddings"),
        ("activation_function", "hidden_act"),
        ("resid_pdrop", "hidden_dropout_prob"),
        ("attn_pdrop", "attention_probs_dropout_prob"),
        ("layer_norm_epsilon", "layer_norm_eps"),
    ],
    prefix: "transformer.",
    layers: "h",
    maps: &[
        Map {
            path: "attn.c_attn",
            sites: QKV,
            times: 1,
        },
        Map::one("attn.c_proj", &[LinearSite::AttentionOutput]),
        Map::one("mlp.c_fc", &[LinearSite::Intermediate]),
        Map::one("mlp.c_proj", &[LinearSite::Output]),
    ],
    hub: Some(Hub {
        class: "GPT2AdapterModel",
        sublayers: ["attention_adapters", "output_adapters"],
        pooler: false,
    }),
    classifier_class: "GPT2ForSequenceClassification",
    causal: true,
    order: |_| Order::Place,
    load: |config, weights| Ok(Box::new(Gpt2::load(config, weights)?)),
};

struct Gpt2 {
    words: Weight,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
    heads: usize,
}

struct Layer {
    attention_norm: Norm,
    qkv: FrozenLinear,
    attention_output: FrozenLinear,
    norm: Norm,
    intermediate: FrozenLinear,
    activation: Activation,
    output: FrozenLinear,
}

impl Gpt2 {
    fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let (d, eps) = (config.hidden_size, config.layer_norm_eps);
        let layer = |l: usize| -> Result<Layer> {
            let map = |path: &str| {
                let Some(map) = GPT2.map_at(path) else {
                    bail!("gpt2: no map {path}");
                };
                let (input, output) = map.widths(config);
                weights.conv1d(&GPT2.path(l, path), input, output)
            };
            let norm = |own: &str| weights.norm(&GPT2.path(l, own), d, eps);
            Ok(Layer {
                attention_norm: norm("ln_1")?,
                qkv: map("attn.c_attn")?,
                attention_output: map("attn.c_proj")?,
                norm: norm("ln_2")?,
                intermediate: map("mlp.c_fc")?,
                activation: config.hidden_act.parse()?,
                output: map("mlp.c_proj")?,
            })
        };
        Ok(Self {
            words: weights.matrix("wte.weight", (config.vocab_size, d))?,
            positions: weights.get("wpe.weight", &[config.max_position_embeddings, d])?,
            layers: (0..config.num_hidden_layers)
                .map(layer)
                .collect::<Result<_>>()?,
            norm: weights.norm("ln_f", d, eps)?,
            heads: config.num_attention_heads,
        })
    }

    fn embed(&self, inputs: &Inputs, noise: &Noise) -> Result<Tensor> {
        let (rows, seq) = inputs.dims();
        let words = self.words.look_up(&inputs.ids.flatten_all()?)?;
        let words = words.reshape((rows, seq, ()))?;
        let positions = self.positions.i(..seq)?.unsqueeze(0)?;
        drop_hidden(words.broadcast_add(&positions)?, noise, 0)
    }
}

impl Encoder for Gpt2 {
    fn forward(
        &self,
        inputs: &Inputs,
        sites: &dyn Sites,
        noise: &Noise,
        tokens: Tokens,
    ) -> Result<Tensor> {
        let mut x = self.embed(inputs, noise)?;
        for (l, layer) in self.layers.iter().enumerate() {
            x = layer.forward(l, &x, inputs, self.heads, sites, noise)?;
        }
        if tokens == Tokens::Summary {
            x = last(&x, inputs)?;
        }
        self.norm.apply(&x)
    }

    fn words(&self) -> &Weight {
        &self.words
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

    fn to_dtype(&self, dtype: DType) -> Result<Box<dyn Encoder>> {
        let layer = |layer: &Layer| -> Result<Layer> {
            Ok(Layer {
                attention_norm: layer.attention_norm.to_dtype(dtype)?,
                qkv: layer.qkv.to_dtype(dtype)?,
                attention_output: layer.attention_output.to_dtype(dtype)?,
                norm: layer.norm.to_dtype(dtype)?,
                intermediate: layer.intermediate.to_dtype(dtype)?,
                activation: layer.activation,
                output: layer.output.to_dtype(dtype)?,
            })
        };
        Ok(Box::new(Self {
            words: self.words.to_dtype(dtype)?,
            positions: self.positions.to_dtype(dtype)?,
            layers: self.layers.iter().map(layer).collect::<Result<_>>()?,
            norm: self.norm.to_dtype(dtype)?,
            heads: self.heads,
        }))
    }

    fn dtype(&self) -> DType {
        self.words.dtype()
    }
}

impl Layer {
    fn forward(
        &self,
        l: usize,
        x: &Tensor,
        inputs: &Inputs,
        heads: usize,
        sites: &dyn Sites,
        noise: &Noise,
    ) -> Result<Tensor> {
        let site = 4 * l as u64 + 1;
        let h = self.attention_norm.apply(x)?;
        let qkv = sites.linear(l, QKV, &self.qkv, &h)?;
        let attention = Attention {
            heads,
            mask: inputs.mask.clone(),
            sight: Sight::Before,
            bias: None,
            dropout: noise.attention.as_ref().map(|d| (d.clone(), site)),
        };
        let context = attention.apply(&qkv)?;
        let map = &self.attention_output;
        let f = sites.linear(l, &[LinearSite::AttentionOutput], map, &context)?;
        let f = drop_hidden(f, noise, site + 1)?;
        let x = sites.sublayer(l, SublayerSite::Attention, &f, x, None)?;
        let h = self.norm.apply(&x)?;
        let inner = sites.linear(l, &[LinearSite::Intermediate], &self.intermediate, &h)?;
        let inner = self.activation.apply(&inner)?;
        let f = sites.linear(l, &[LinearSite::Output], &self.output, &inner)?;
        let f = drop_hidden(f, noise, site + 2)?;
        sites.sublayer(l, SublayerSite::FeedForward, &f, &x, None)
    }
}

/// The state of each row's last unmasked token, [batch, 1, hidden].
fn last(x: &Tensor, inputs: &Inputs) -> Result<Tensor> {
    let (rows, seq, width) = x.dims3()?;
    let places: Vec<u32> = (0..rows)
        .map(|row| (row * seq + inputs.mask.length(row).max(1) - 1) as u32)
        .collect();
    let places = Tensor::new(places, x.device())?;
    let flat = x.reshape((rows * seq, width))?;
    Ok(flat.index_select(&places, 0)?.unsqueeze(1)?)
}
