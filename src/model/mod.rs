//! Frozen transformers: loading, tokenizing, forward passes with adapter sites.

mod bert;
pub mod bundled;
mod config;
mod inputs;
mod load;
mod norm;
mod sites;
pub mod tokenize;
mod weights;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

pub use config::Config;
pub use inputs::{Inputs, Noise};
pub use load::{BUNDLED, read_safetensors};
pub use norm::Norm;
pub use sites::{Frozen, LinearSite, Sites, SublayerSite};
pub use tokenize::{Encoding, Tokenizer};
pub use weights::Weights;

use crate::compute::Precision;
pub use crate::compute::Tokens;

use crate::Result;
use tokenize::Text;

/// The architectures that can be loaded, as `model_type` names them.
pub const ARCHITECTURES: &[&str] = &["bert"];

/// The longest text a model reads unless asked for more, in tokens.
pub const MAX_LENGTH: usize = 512;

/// A frozen encoder: token ids to hidden states.
pub trait Encoder: Send + Sync {
    /// The last hidden state [batch, seq, hidden], with an adapter acting at `sites`; seq is 1
    /// where only the first token's is asked for. `noise` is empty in evaluation.
    fn forward(
        &self,
        inputs: &Inputs,
        sites: &dyn Sites,
        noise: &Noise,
        tokens: Tokens,
    ) -> Result<Tensor>;

    /// [`Self::forward`] of several adapters on the same batch, without noise or gradients; what
    /// is the same for all is computed once where that is known.
    fn forward_each(
        &self,
        inputs: &Inputs,
        sites: &[&dyn Sites],
        tokens: Tokens,
    ) -> Result<Vec<Tensor>> {
        let each = sites
            .iter()
            .map(|sites| self.forward(inputs, *sites, &Noise::default(), tokens));
        each.collect()
    }

    /// The type of its weights and states.
    fn dtype(&self) -> DType;

    /// The same encoder, whose frozen maps multiply in bf16; none where there is no kernel for
    /// that.
    fn in_bf16(&self) -> Result<Option<Box<dyn Encoder>>> {
        Ok(None)
    }

    /// How exactly the frozen maps multiply.
    fn precision(&self) -> Precision {
        Precision::F32
    }

    /// How to cut a batch of texts of these lengths into pieces that threads can train on side by
    /// side; one piece where that is no use.
    fn cut(&self, lengths: &[usize]) -> Vec<Range<usize>> {
        std::iter::once(0..lengths.len()).collect()
    }
}

/// A frozen base model with its tokenizer. Cheap to clone.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    name: String,
    id: String,
    config: Config,
    tokenizer: Arc<Tokenizer>,
    encoder: Box<dyn Encoder>,
    device: Device,
}

impl Model {
    /// The name it was asked for by.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The hash of its weights.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Where its weights lie.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// The type of its weights.
    pub fn dtype(&self) -> DType {
        self.0.encoder.dtype()
    }

    /// What its frozen maps multiply in: the type of its weights, or `bf16`.
    pub fn precision(&self) -> &'static str {
        match self.0.encoder.precision() {
            Precision::Bf16 => Precision::Bf16.name(),
            Precision::F32 => self.dtype().as_str(),
        }
    }

    /// The same model, whose frozen maps multiply operands rounded to bf16 and sum in f32: faster
    /// where the processor has instructions for it, at differences of some 1e-2 in the states.
    /// Weights stay f32, and so does everything else. An error where there is no such kernel: on
    /// other devices than the CPU and for other weights than f32.
    pub fn in_bf16(&self) -> Result<Self> {
        let Some(encoder) = self.0.encoder.in_bf16()? else {
            crate::bail!("{}: bf16 is for f32 weights on the CPU", self.0.name);
        };
        Ok(Self(Arc::new(Inner {
            name: self.0.name.clone(),
            id: self.0.id.clone(),
            config: self.0.config.clone(),
            tokenizer: self.0.tokenizer.clone(),
            encoder,
            device: self.0.device.clone(),
        })))
    }

    /// The default longest text in tokens: the model's positions, the tokenizer's own limit and
    /// [`MAX_LENGTH`], whichever is least.
    pub fn max_length(&self) -> usize {
        let own = self.0.tokenizer.max_length().unwrap_or(usize::MAX);
        self.0
            .config
            .max_position_embeddings
            .min(own)
            .min(MAX_LENGTH)
    }

    /// How to cut a batch of texts of these lengths, in tokens, into pieces that threads can train
    /// on side by side. It depends on the lengths alone.
    pub fn cut(&self, lengths: &[usize]) -> Vec<Range<usize>> {
        self.0.encoder.cut(lengths)
    }

    /// Token ids of texts, not padded.
    pub fn tokenize(&self, texts: &[Text<'_>], max_length: usize) -> Result<Vec<Encoding>> {
        self.0.tokenizer.encode(texts, max_length)
    }

    /// Pads encodings to one batch on the model's device.
    pub fn pad(&self, encodings: &[&Encoding]) -> Result<Inputs> {
        Inputs::pad(encodings, self.0.config.pad_token_id, &self.0.device)
    }

    /// The last hidden state [batch, seq, hidden].
    pub fn forward(&self, inputs: &Inputs, sites: &dyn Sites, noise: &Noise) -> Result<Tensor> {
        self.0.encoder.forward(inputs, sites, noise, Tokens::All)
    }

    /// The first token's last hidden state [batch, 1, hidden], at less cost than all of them.
    pub fn forward_first(
        &self,
        inputs: &Inputs,
        sites: &dyn Sites,
        noise: &Noise,
    ) -> Result<Tensor> {
        self.0.encoder.forward(inputs, sites, noise, Tokens::First)
    }

    /// The first token's last hidden state with each of several adapters, to the bit what
    /// [`Self::forward_first`] gives, at less cost than one after the other.
    pub fn forward_first_each(&self, inputs: &Inputs, sites: &[&dyn Sites]) -> Result<Vec<Tensor>> {
        self.0.encoder.forward_each(inputs, sites, Tokens::First)
    }

    /// Sentence embeddings [texts, hidden]: the mean of the unmasked last hidden states,
    /// normalised to length 1, as sentence-transformers does for MiniLM.
    pub fn embed(&self, texts: &[Text<'_>]) -> Result<Tensor> {
        let encodings = self.tokenize(texts, self.max_length())?;
        let lengths: Vec<usize> = encodings.iter().map(|e| e.ids.len()).collect();
        let mut rows: Vec<Option<Tensor>> = vec![None; texts.len()];
        for batch in crate::data::batch::evaluation_batches(&lengths, 32) {
            let members: Vec<&Encoding> = batch.iter().map(|&i| &encodings[i]).collect();
            let inputs = self.pad(&members)?;
            let hidden =
                self.0
                    .encoder
                    .forward(&inputs, &Frozen, &Noise::default(), Tokens::Kept)?;
            let mask = inputs
                .mask
                .to_tensor(hidden.dtype(), &self.0.device)?
                .unsqueeze(2)?;
            let sum = hidden.broadcast_mul(&mask)?.sum(1)?;
            let mean = sum.broadcast_div(&mask.sum(1)?)?;
            let norm = mean.sqr()?.sum_keepdim(1)?.sqrt()?.clamp(1e-12, f64::MAX)?;
            let unit = mean.broadcast_div(&norm)?;
            for (at, &i) in batch.iter().enumerate() {
                rows[i] = Some(unit.get(at)?);
            }
        }
        let rows: Vec<Tensor> = rows.into_iter().flatten().collect();
        if rows.is_empty() {
            crate::bail!("embed got no texts");
        }
        Ok(Tensor::stack(&rows, 0)?)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.config();
        write!(
            f,
            "Model {}: {}, {} layers of {}, {} tokens, at most {} tokens a text, id {}",
            self.name(),
            c.model_type,
            c.num_hidden_layers,
            c.hidden_size,
            c.vocab_size,
            self.max_length(),
            &self.id()[..8],
        )
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
