//! Encoders of post-norm blocks: BERT and its descendants.

use candle_core::{DType, Tensor};
use once_cell::sync::OnceCell;

use crate::compute::{
    Activation, Attention, BlockWeights, Disentangled, FrozenLinear, Keeping, Precision, Sight,
    Stack, Texts, Weight,
};
use crate::{Result, bail};

use super::architecture::Architecture;
use super::config::Config;
use super::embedding::Embedding;
use super::inputs::{Inputs, Noise, drop_hidden};
use super::norm::Norm;
use super::pooler::Pooler;
use super::relative::Relative;
use super::sites::{LinearSite, Sites, SublayerSite};
use super::weights::Weights;
use super::{Encoder, Tokens};

const QKV: &[LinearSite] = &[LinearSite::Query, LinearSite::Key, LinearSite::Value];

/// A frozen encoder of post-norm blocks.
#[derive(Clone)]
pub struct PostNorm {
    embedding: Embedding,
    /// What attention knows of distances.
    relative: Relative,
    layers: Vec<Layer>,
    /// What its own classifiers put between the first token's state and their output.
    pub pooler: Option<Pooler>,
    heads: usize,
    /// The same weights laid out for whole passes, where there is a kernel for that.
    stack: OnceCell<Option<Stack>>,
    precision: Precision,
    keeping: Keeping,
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

impl PostNorm {
    /// The blocks by their architecture's names, with their norms' paths within a layer.
    pub fn load(
        config: &Config,
        weights: &Weights,
        (embedding, relative): (Embedding, Relative),
        norms: [&str; 2],
    ) -> Result<Self> {
        let architecture = config.architecture()?;
        let layers = (0..config.num_hidden_layers)
            .map(|l| Layer::load(config, weights, architecture, l, norms))
            .collect::<Result<_>>()?;
        let d = config.hidden_size;
        let pooler = |name| -> Result<Pooler> {
            let map = weights.linear(name, d, d)?;
            Ok(Pooler::new(map, Activation::Tanh, None))
        };
        Ok(Self {
            embedding,
            relative,
            layers,
            pooler: match weights.has("pooler.dense.weight") {
                true => Some(pooler("pooler.dense")?),
                false => None,
            },
            heads: config.num_attention_heads,
            stack: OnceCell::new(),
            precision: Precision::F32,
            keeping: Keeping::default(),
        })
    }

    fn stack(&self) -> Result<Option<&Stack>> {
        let made = self.stack.get_or_try_init(|| self.make_stack());
        Ok(made?.as_ref())
    }

    fn make_stack(&self) -> Result<Option<Stack>> {
        let bias = match &self.relative {
            Relative::Nothing => None,
            Relative::Bias(bias) => Some(bias),
            Relative::Positions(_) => return Ok(None),
        };
        let embeddings = self.embedding.weights();
        let blocks: Vec<BlockWeights<'_>> = self.layers.iter().map(Layer::weights).collect();
        Stack::new(&embeddings, &blocks, (self.heads, bias), self.precision)
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
            let mut texts = texts(inputs, noise)?;
            texts.keeping = self.keeping;
            return stack.forward(texts, parts, tokens);
        }
        let mut x = self.embedding.apply(inputs, noise)?;
        for (l, layer) in self.layers.iter().enumerate() {
            let mut context = self.attend(l, layer, &x, inputs, sites, noise)?;
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

    fn has_rows_apart(&self) -> bool {
        !matches!(self.relative, Relative::Positions(_))
    }

    fn words(&self) -> &Weight {
        self.embedding.words()
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

    fn dtype(&self) -> DType {
        self.words().dtype()
    }

    fn in_bf16(&self) -> Result<Option<Box<dyn Encoder>>> {
        let other = Self {
            stack: OnceCell::new(),
            precision: Precision::Bf16,
            ..self.clone()
        };
        let known = self.dtype() == DType::F32 && other.stack()?.is_some();
        Ok(known.then(|| Box::new(other) as Box<dyn Encoder>))
    }

    fn to_dtype(&self, dtype: DType) -> Result<Box<dyn Encoder>> {
        let pooler = self.pooler.as_ref().map(|m| m.to_dtype(dtype));
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
            embedding: self.embedding.to_dtype(dtype)?,
            relative: self.relative.to_dtype(dtype)?,
            layers: self.layers.iter().map(layer).collect::<Result<_>>()?,
            pooler: pooler.transpose()?,
            heads: self.heads,
            stack: OnceCell::new(),
            precision: Precision::F32,
            keeping: Keeping::default(),
        }))
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn frugal(&self) -> Result<Option<Box<dyn Encoder>>> {
        Ok(self.stack()?.is_some().then(|| {
            let keeping = Keeping::Inputs;
            Box::new(Self {
                keeping,
                ..self.clone()
            }) as Box<dyn Encoder>
        }))
    }

    fn settle(&self, sites: &dyn Sites) -> Result<()> {
        match (self.stack()?, sites.parts()) {
            (Some(stack), Some(parts)) => stack.settle(&parts),
            _ => Ok(()),
        }
    }

    fn demand(&self, pieces: &[Vec<usize>], sites: &dyn Sites) -> Result<Option<u64>> {
        let keeping = Some(self.keeping);
        Ok(match (self.stack()?, sites.parts()) {
            (Some(stack), Some(parts)) => Some(stack.demand(pieces, &parts, keeping)),
            _ => None,
        })
    }

    fn cuts_itself(&self) -> bool {
        matches!(self.stack(), Ok(Some(_)))
    }
}

impl PostNorm {
    /// What every token of `x` gathers from the others in layer `l`.
    fn attend(
        &self,
        l: usize,
        layer: &Layer,
        x: &Tensor,
        inputs: &Inputs,
        sites: &dyn Sites,
        noise: &Noise,
    ) -> Result<Tensor> {
        let qkv = sites.linear(l, QKV, &layer.qkv, x)?;
        let dropout = noise.attention.as_ref().map(|d| (d.clone(), draws(l)));
        let bias = match &self.relative {
            Relative::Nothing => None,
            Relative::Bias(bias) => Some(bias.clone()),
            Relative::Positions(positions) => {
                let seen = positions.of(inputs, noise, draws(l) + 3)?;
                // Positions are asked and asked for by the very maps of tokens.
                let own = sites.linear(l, QKV, &layer.qkv, &seen.states)?;
                let attention = Disentangled {
                    heads: self.heads,
                    mask: inputs.mask.clone(),
                    dropout,
                    places: seen.places,
                };
                return attention.apply(&qkv, &own.squeeze(0)?);
            }
        };
        let attention = Attention {
            heads: self.heads,
            mask: inputs.mask.clone(),
            sight: Sight::All,
            bias,
            dropout,
        };
        attention.apply(&qkv)
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
        keeping: Keeping::default(),
    })
}

/// The first of a layer's own dropout sites; 0 is the embeddings'.
fn draws(l: usize) -> u64 {
    4 * l as u64 + 1
}
