//! ModernBERT (Warner et al. 2024): pre-norm blocks with rotary positions, most of which see only
//! the neighbourhood of a token.

use std::collections::BTreeMap;

use candle_core::{D, DType, Tensor};
use serde::Deserialize;

use crate::compute::{
    Activation, Attention, FrozenLinear, LinearSite, Order, Sight, SublayerSite, Weight, dropout,
    rotate,
};
use crate::{Result, bail};

use super::architecture::{Architecture, Map};
use super::bert::BERT;
use super::config::Config;
use super::inputs::{Inputs, Noise, drop_hidden};
use super::norm::Norm;
use super::pooler::Pooler;
use super::sites::Sites;
use super::weights::Weights;
use super::{Encoder, Tokens};

const QKV: &[LinearSite] = &[LinearSite::Query, LinearSite::Key, LinearSite::Value];

/// ModernBERT.
pub const MODERNBERT: Architecture = Architecture {
    model_type: "modernbert",
    fields: &[
        ("hidden_activation", "hidden_act"),
        ("norm_eps", "layer_norm_eps"),
        ("mlp_dropout", "hidden_dropout_prob"),
        ("attention_dropout", "attention_probs_dropout_prob"),
    ],
    prefix: "model.",
    layers: "layers",
    maps: &[
        Map {
            path: "attn.Wqkv",
            sites: QKV,
            times: 1,
        },
        Map::one("attn.Wo", &[LinearSite::AttentionOutput]),
        Map {
            path: "mlp.Wi",
            sites: &[LinearSite::Intermediate],
            times: 2,
        },
        Map::one("mlp.Wo", &[LinearSite::Output]),
    ],
    hub: None,
    classifier_class: "ModernBertForSequenceClassification",
    order: |_| Order::Nowhere,
    load: |config, weights| Ok(Box::new(ModernBert::load(config, weights)?)),
    ..BERT
};

struct ModernBert {
    words: Weight,
    embedding_norm: Norm,
    layers: Vec<Layer>,
    norm: Norm,
    pooler: Option<Pooler>,
    heads: usize,
    /// Whether the mean of all tokens stands for a text rather than the first one.
    mean: bool,
}

struct Layer {
    /// The first layer has none.
    attention_norm: Option<Norm>,
    qkv: FrozenLinear,
    sight: Sight,
    /// Of its rotary positions.
    theta: f64,
    attention_output: FrozenLinear,
    norm: Norm,
    intermediate: FrozenLinear,
    activation: Activation,
    output: FrozenLinear,
}

/// The fields of its configuration that only it has.
#[derive(Deserialize)]
#[serde(default)]
struct Own {
    global_rope_theta: f64,
    local_rope_theta: Option<f64>,
    global_attn_every_n_layers: usize,
    local_attention: usize,
    /// What later versions of transformers write in the place of the fields above.
    layer_types: Option<Vec<String>>,
    rope_parameters: Option<BTreeMap<String, Rope>>,
    norm_bias: bool,
    attention_bias: bool,
    mlp_bias: bool,
    embedding_dropout: f32,
    classifier_bias: bool,
    classifier_activation: String,
    classifier_pooling: String,
}

#[derive(Deserialize)]
struct Rope {
    rope_theta: f64,
    #[serde(default)]
    rope_type: Option<String>,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            global_rope_theta: 160_000.0,
            local_rope_theta: Some(10_000.0),
            global_attn_every_n_layers: 3,
            local_attention: 128,
            layer_types: None,
            rope_parameters: None,
            norm_bias: false,
            attention_bias: false,
            mlp_bias: false,
            embedding_dropout: 0.0,
            classifier_bias: false,
            classifier_activation: "gelu".into(),
            classifier_pooling: "cls".into(),
        }
    }
}

/// The names of layers that see all and that see the neighbourhood.
const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];

impl Own {
    fn check(&self, config: &Config) -> Result<()> {
        let head = config.hidden_size / config.num_attention_heads;
        if !head.is_multiple_of(2) {
            bail!(
                "modernbert: rotary positions need heads of an even width, these are {head} wide"
            );
        }
        if self.global_attn_every_n_layers == 0 {
            bail!("modernbert: global_attn_every_n_layers is 0");
        }
        if self.embedding_dropout != config.hidden_dropout_prob {
            bail!(
                "modernbert: embedding_dropout {} beside mlp_dropout {} is not supported, only the same of both",
                self.embedding_dropout,
                config.hidden_dropout_prob
            );
        }
        if !["cls", "mean"].contains(&self.classifier_pooling.as_str()) {
            bail!(
                "modernbert: classifier_pooling {:?} is not supported, only cls and mean",
                self.classifier_pooling
            );
        }
        if let Some(scaling) = config.more.get("rope_scaling").filter(|v| !v.is_null()) {
            bail!("modernbert: rope_scaling {scaling} is not supported, only none");
        }
        Ok(())
    }

    /// What a layer sees, and its rotary positions' base.
    fn of_layer(&self, l: usize) -> Result<(Sight, f64)> {
        let kind = match self.layer_types.as_ref().map(|all| all.get(l)) {
            None => KINDS[usize::from(!l.is_multiple_of(self.global_attn_every_n_layers))],
            Some(Some(kind)) => kind,
            Some(None) => bail!("modernbert: layer_types has none of layer {l}"),
        };
        let (sight, mut theta) = match KINDS.iter().position(|k| *k == kind) {
            Some(0) => (Sight::All, self.global_rope_theta),
            Some(_) => (
                Sight::Near(self.local_attention / 2),
                self.local_rope_theta.unwrap_or(self.global_rope_theta),
            ),
            None => bail!(
                "modernbert: layer_types {kind:?} is not supported, only {}",
                KINDS.join(" and ")
            ),
        };
        if let Some(rope) = self.rope_parameters.as_ref().and_then(|all| all.get(kind)) {
            if let Some(other) = rope.rope_type.as_ref().filter(|t| *t != "default") {
                bail!("modernbert: rope_type {other:?} is not supported, only default");
            }
            theta = rope.rope_theta;
        }
        if !(theta > 0.0 && theta.is_finite()) {
            bail!("modernbert: rope_theta is {theta}");
        }
        Ok((sight, theta))
    }
}

impl ModernBert {
    fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let own: Own = config.own()?;
        own.check(config)?;
        let (d, eps) = (config.hidden_size, config.layer_norm_eps);
        let norm = |name: &str| weights.norm_with(name, d, eps, own.norm_bias);
        let layer = |l: usize| -> Result<Layer> {
            let map = |path: &str, bias: bool| {
                let Some(map) = MODERNBERT.map_at(path) else {
                    bail!("modernbert: no map {path}");
                };
                weights.linear_with(&MODERNBERT.path(l, path), map.widths(config), bias)
            };
            let (sight, theta) = own.of_layer(l)?;
            Ok(Layer {
                attention_norm: match l {
                    0 => None,
                    _ => Some(norm(&MODERNBERT.path(l, "attn_norm"))?),
                },
                qkv: map("attn.Wqkv", own.attention_bias)?,
                sight,
                theta,
                attention_output: map("attn.Wo", own.attention_bias)?,
                norm: norm(&MODERNBERT.path(l, "mlp_norm"))?,
                intermediate: map("mlp.Wi", own.mlp_bias)?,
                activation: config.hidden_act.parse()?,
                output: map("mlp.Wo", own.mlp_bias)?,
            })
        };
        let pooler = || -> Result<Pooler> {
            let map = weights.linear_with(".head.dense", (d, d), own.classifier_bias)?;
            let activation = own.classifier_activation.parse()?;
            Ok(Pooler::new(map, activation, Some(norm(".head.norm")?)))
        };
        Ok(Self {
            words: weights.matrix("embeddings.tok_embeddings.weight", (config.vocab_size, d))?,
            embedding_norm: norm("embeddings.norm")?,
            layers: (0..config.num_hidden_layers)
                .map(layer)
                .collect::<Result<_>>()?,
            norm: norm("final_norm")?,
            pooler: match weights.has(".head.dense.weight") {
                true => Some(pooler()?),
                false => None,
            },
            heads: config.num_attention_heads,
            mean: own.classifier_pooling == "mean",
        })
    }

    fn embed(&self, inputs: &Inputs, noise: &Noise) -> Result<Tensor> {
        let (rows, seq) = inputs.dims();
        let words = self.words.look_up(&inputs.ids.flatten_all()?)?;
        let words = self.embedding_norm.apply(&words)?;
        drop_hidden(words.reshape((rows, seq, ()))?, noise, 0)
    }
}

impl Encoder for ModernBert {
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
        if tokens == Tokens::Summary && !self.mean {
            x = x.narrow(1, 0, 1)?.contiguous()?;
        }
        let x = self.norm.apply(&x)?;
        if tokens != Tokens::Summary || !self.mean {
            return Ok(x);
        }
        let keep = inputs.mask.to_tensor(x.dtype(), x.device())?;
        let count = keep.sum_keepdim(1)?.unsqueeze(2)?;
        let sum = x.broadcast_mul(&keep.unsqueeze(2)?)?.sum_keepdim(1)?;
        Ok(sum.broadcast_div(&count.clamp(1.0, f64::MAX)?)?)
    }

    fn words(&self) -> &Weight {
        &self.words
    }

    fn pooler(&self) -> Option<&Pooler> {
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

    fn to_dtype(&self, dtype: DType) -> Result<Box<dyn Encoder>> {
        let layer = |layer: &Layer| -> Result<Layer> {
            let norm = layer.attention_norm.as_ref().map(|n| n.to_dtype(dtype));
            Ok(Layer {
                attention_norm: norm.transpose()?,
                qkv: layer.qkv.to_dtype(dtype)?,
                sight: layer.sight,
                theta: layer.theta,
                attention_output: layer.attention_output.to_dtype(dtype)?,
                norm: layer.norm.to_dtype(dtype)?,
                intermediate: layer.intermediate.to_dtype(dtype)?,
                activation: layer.activation,
                output: layer.output.to_dtype(dtype)?,
            })
        };
        let pooler = self.pooler.as_ref().map(|p| p.to_dtype(dtype));
        Ok(Box::new(Self {
            words: self.words.to_dtype(dtype)?,
            embedding_norm: self.embedding_norm.to_dtype(dtype)?,
            layers: self.layers.iter().map(layer).collect::<Result<_>>()?,
            norm: self.norm.to_dtype(dtype)?,
            pooler: pooler.transpose()?,
            heads: self.heads,
            mean: self.mean,
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
        let normed;
        let h = match &self.attention_norm {
            Some(norm) => {
                normed = norm.apply(x)?;
                &normed
            }
            None => x,
        };
        let qkv = sites.linear(l, QKV, &self.qkv, h)?;
        let attention = Attention {
            heads,
            mask: inputs.mask.clone(),
            sight: self.sight,
            bias: None,
            dropout: noise.attention.as_ref().map(|d| (d.clone(), site)),
        };
        let context = attention.apply(&rotate(&qkv, heads, self.theta)?)?;
        let map = &self.attention_output;
        let mut f = sites.linear(l, &[LinearSite::AttentionOutput], map, &context)?;
        if let Some(own) = &noise.attention {
            f = dropout(&f, own, site + 1)?;
        }
        let x = sites.sublayer(l, SublayerSite::Attention, &f, x, None)?;
        let h = self.norm.apply(&x)?;
        let inner = sites.linear(l, &[LinearSite::Intermediate], &self.intermediate, &h)?;
        let half = inner.dim(D::Minus1)? / 2;
        let value = inner.narrow(D::Minus1, 0, half)?.contiguous()?;
        let gate = inner.narrow(D::Minus1, half, half)?.contiguous()?;
        let inner = (self.activation.apply(&value)? * gate)?;
        let inner = drop_hidden(inner, noise, site + 2)?;
        let f = sites.linear(l, &[LinearSite::Output], &self.output, &inner)?;
        sites.sublayer(l, SublayerSite::FeedForward, &f, &x, None)
    }
}
