//! Frozen transformers: loading, tokenizing, forward passes with adapter sites.

mod architecture;
mod bert;
pub mod bundled;
mod config;
mod deberta;
mod distilbert;
mod electra;
mod embedding;
pub mod gguf;
mod gpt2;
mod identity;
mod inputs;
mod load;
mod modernbert;
mod mpnet;
mod norm;
mod pieces;
mod pooler;
mod pooling;
mod post_norm;
mod relative;
mod roberta;
mod sites;
mod stored;
mod together;
pub mod tokenize;
mod weights;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

pub use architecture::{ALL as ARCHITECTURES, Architecture, Hub, Map};
pub use config::Config;
pub use identity::{Hashes, comparable, differ, short};
pub use inputs::{Inputs, Noise};
pub use load::{BUNDLED, Stamp, needed, stamp};
pub use norm::Norm;
pub use pooler::Pooler;
pub use sites::{Frozen, LinearSite, Sites, SublayerSite, join};
pub use tokenize::{Encoding, Tokenizer};
pub use weights::Weights;

pub use crate::compute::Tokens;
use crate::compute::{FrozenLinear, Precision, Weight};

use crate::{Error, Result};
use pooling::Pooling;
use tokenize::Text;

/// The longest text a model reads unless asked for more, in tokens.
pub const MAX_LENGTH: usize = 512;

/// A frozen encoder: token ids to hidden states.
pub trait Encoder: Send + Sync {
    /// The last hidden state [batch, seq, hidden], with an adapter acting at `sites`; seq is 1
    /// where only the token's is asked for that stands for its text. `noise` is empty in evaluation.
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

    /// Whether all that its maps see belongs to one text of the batch each.
    fn has_rows_apart(&self) -> bool {
        true
    }

    /// The table that token ids are looked up in, [vocabulary, width].
    fn words(&self) -> &Weight;

    /// What its own classifiers read a text's state through, where the weights have it.
    fn pooler(&self) -> Option<&Pooler> {
        None
    }

    /// The linear map that computes a site, perhaps with others side by side.
    fn map(&self, layer: usize, site: LinearSite) -> Option<&FrozenLinear>;

    /// The type of its weights and states.
    fn dtype(&self) -> DType;

    /// The same encoder, whose frozen maps multiply in bf16; none where there is no kernel for
    /// that.
    fn in_bf16(&self) -> Result<Option<Box<dyn Encoder>>> {
        Ok(None)
    }

    /// The same encoder with weights and states of this type.
    fn to_dtype(&self, dtype: DType) -> Result<Box<dyn Encoder>>;

    /// How exactly the frozen maps multiply.
    fn precision(&self) -> Precision {
        Precision::F32
    }

    /// The same encoder, whose passes keep only what enters each block and compute the rest again
    /// for gradients, to the same bits; none where it always keeps all.
    fn frugal(&self) -> Result<Option<Box<dyn Encoder>>> {
        Ok(None)
    }

    /// Takes now what memory training with an adapter at `sites` takes for weights.
    fn settle(&self, _sites: &dyn Sites) -> Result<()> {
        Ok(())
    }

    /// The bytes that training takes at most, weights aside, for any of these pieces, each the
    /// lengths of its texts, with an adapter acting at `sites`; none where that is not known.
    fn demand(&self, _pieces: &[Vec<usize>], _sites: &dyn Sites) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Whether a pass cuts its batch into pieces itself, and computes them side by side, with
    /// adapters that it knows the parts of.
    fn cuts_itself(&self) -> bool {
        false
    }
}

/// A frozen base model with its tokenizer. Cheap to clone.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    name: String,
    id: String,
    key: String,
    config: Config,
    unused: Vec<String>,
    /// The tensors of its own classifier, where its files have one.
    classifier: BTreeMap<String, Tensor>,
    /// Where its files are missing or unreadable: why.
    tokenizer: std::result::Result<Arc<Tokenizer>, Error>,
    pooling: Pooling,
    encoder: Box<dyn Encoder>,
    device: Device,
}

impl Model {
    /// The name it was asked for by.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Which base it is: the hashes of the weights that it computes with, those of its pooler by
    /// themselves. Buffers, heads that it does not use, the spelling of names and the kind of files
    /// do not count, and the type of numbers only by what it rounds: a copy in f16 is the same base
    /// only if f16 has every value.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The hash of all that decides what is computed with it: its weights, its configuration, its
    /// tokenizer and how it embeds sentences.
    pub fn key(&self) -> &str {
        &self.0.key
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

    /// The family of kernels that makes its numbers: results are equal to the bit within one, so
    /// ids of what is computed with it name it.
    pub fn class(&self) -> &'static str {
        if !self.device().is_cpu() {
            return crate::compute::CUDA;
        }
        crate::compute::class_in(self.0.encoder.precision())
    }

    /// The same model, whose frozen maps multiply operands rounded to bf16 and sum in f32: faster
    /// where the processor has instructions for it, at differences of some 1e-2 in the states.
    /// Weights stay f32, and so does everything else. An error where there is no such kernel: on
    /// other devices than the CPU and for other weights than f32.
    pub fn in_bf16(&self) -> Result<Self> {
        let Some(encoder) = self.0.encoder.in_bf16()? else {
            crate::bail!(
                "{}: there is no kernel for bf16; expected an encoder like BERT in f32 on the CPU",
                self.0.name
            );
        };
        Ok(self.with_encoder(encoder))
    }

    /// The same model, its weights and all that is computed with them in f64: a second copy of the
    /// weights, twice as large. For differences of gradients, in which f32 leaves too little.
    pub fn in_f64(&self) -> Result<Self> {
        Ok(self.with_encoder(self.0.encoder.to_dtype(DType::F64)?))
    }

    fn with_encoder(&self, encoder: Box<dyn Encoder>) -> Self {
        Self(Arc::new(Inner {
            name: self.0.name.clone(),
            id: self.0.id.clone(),
            key: self.0.key.clone(),
            config: self.0.config.clone(),
            unused: self.0.unused.clone(),
            classifier: self.0.classifier.clone(),
            tokenizer: self.0.tokenizer.clone(),
            pooling: self.0.pooling.clone(),
            encoder,
            device: self.0.device.clone(),
        }))
    }

    /// The default longest text in tokens: the model's positions, the tokenizer's own limit and
    /// [`MAX_LENGTH`], whichever is least.
    pub fn max_length(&self) -> usize {
        let tokenizer = self.0.tokenizer.as_ref();
        let own = tokenizer.ok().and_then(|t| t.max_length());
        let longest = self.0.config.positions().min(MAX_LENGTH);
        longest.min(own.unwrap_or(usize::MAX))
    }

    /// The same model, whose passes keep only what enters each block and compute the rest again for
    /// gradients: less memory, half as much work again, the same bits; none where it always keeps
    /// all.
    pub fn frugal(&self) -> Result<Option<Self>> {
        let encoder = self.0.encoder.frugal()?;
        Ok(encoder.map(|encoder| self.with_encoder(encoder)))
    }

    /// Takes now what memory training with an adapter at `sites` takes for weights.
    pub fn settle(&self, sites: &dyn Sites) -> Result<()> {
        self.words().settle()?;
        if self.cuts_itself(&[sites]) {
            return self.0.encoder.settle(sites);
        }
        // A pass over one token finds all maps.
        let token = Encoding {
            ids: vec![self.pad_id()],
            type_ids: vec![0],
        };
        self.forward(&self.pad(&[&token])?, &Frozen, &Noise::default())?;
        Ok(())
    }

    /// About the bytes of its weights: the table of tokens and the blocks' maps, with the third
    /// that a gated feed-forward layer has.
    pub fn weight_bytes(&self) -> u64 {
        let config = self.config();
        let (d, wide) = (config.hidden_size, config.intermediate_size);
        let maps = config.num_hidden_layers * (4 * d * d + 3 * d * wide);
        let (rows, width) = self.words().dims();
        ((rows * width + maps) * self.dtype().size_in_bytes()) as u64
    }

    /// About the bytes that training takes, weights aside, for any of these pieces, each the lengths
    /// of its texts, with an adapter acting at `sites`: a bound for an encoder like BERT on the CPU,
    /// elsewhere an estimate by the size of the graph.
    pub fn demand(&self, pieces: &[Vec<usize>], sites: &dyn Sites) -> Result<u64> {
        if let Some(bytes) = self.0.encoder.demand(pieces, sites)? {
            return Ok(bytes);
        }
        let config = self.config();
        let bytes = pieces.iter().map(|lengths| {
            let longest = lengths.iter().copied().max().unwrap_or(0);
            // Some twenty states of a block's width, five of the feed-forward layer's and four of
            // attention's weights are alive at the end of a forward pass.
            let token = 20 * config.hidden_size
                + 5 * config.intermediate_size
                + 4 * config.num_attention_heads * longest;
            let values = lengths.len() * longest * config.num_hidden_layers * token;
            (values * self.dtype().size_in_bytes()) as u64
        });
        Ok(bytes.max().unwrap_or(0))
    }

    /// Token ids of texts, not padded.
    pub fn tokenize(&self, texts: &[Text<'_>], max_length: usize) -> Result<Vec<Encoding>> {
        match &self.0.tokenizer {
            Ok(tokenizer) => tokenizer.encode(texts, max_length),
            Err(e) => Err(e.clone().within(format!("model {}", self.name()))),
        }
    }

    /// Pads encodings to one batch on the model's device.
    pub fn pad(&self, encodings: &[&Encoding]) -> Result<Inputs> {
        let known = self.0.config.vocab_size;
        let ids = encodings.iter().flat_map(|e| &e.ids);
        if let Some(&id) = ids.into_iter().find(|id| **id as usize >= known) {
            let tokenizer = self.0.tokenizer.as_ref().ok();
            let token = tokenizer.and_then(|t| t.token(id)).unwrap_or_default();
            crate::bail!(
                "model {}: its tokenizer gives the token {token:?} the id {id}, but the model has embeddings of {known} tokens", self.name();
                hint: "resize the model's embeddings to its tokenizer, or remove the token from the tokenizer's files"
            );
        }
        let kinds = self.0.config.type_vocab_size as u32;
        Inputs::pad(encodings, self.pad_id(), kinds, &self.0.device)
    }

    /// The id of the token that fills up shorter texts.
    pub fn pad_id(&self) -> u32 {
        self.0.config.pad_token_id
    }

    /// The tensors in its files that it does not use.
    pub fn unused(&self) -> &[String] {
        &self.0.unused
    }

    /// The tensors of its own classifier by transformers' names, where its files have one.
    pub fn classifier(&self) -> &BTreeMap<String, Tensor> {
        &self.0.classifier
    }

    /// The table that token ids are looked up in, [vocabulary, width].
    pub fn words(&self) -> &Weight {
        self.0.encoder.words()
    }

    /// The linear map of this canonical name; none where there is no such map.
    pub fn map(&self, stem: &str) -> Result<Option<FrozenLinear>> {
        let found = || {
            let architecture = self.config().architecture().ok()?;
            let own = stem.strip_prefix(architecture.layers)?.strip_prefix('.')?;
            let (layer, path) = own.split_once('.')?;
            let map = architecture.map_at(path)?;
            let site = *map.sites.first()?;
            let whole = self.0.encoder.map(layer.parse().ok()?, site)?;
            let (_, width) = map.widths(self.config());
            Some((whole, site as usize, width))
        };
        let Some((whole, site, width)) = found() else {
            return Ok(None);
        };
        if whole.out_width() == width {
            return Ok(Some(whole.clone()));
        }
        // Queries, keys and values come from one product.
        Ok(Some(whole.part(site * width..(site + 1) * width)?))
    }

    /// What its own classifiers read a text's state through, where the weights have it.
    pub fn pooler(&self) -> Option<&Pooler> {
        self.0.encoder.pooler()
    }

    /// The last hidden state [batch, seq, hidden].
    pub fn forward(&self, inputs: &Inputs, sites: &dyn Sites, noise: &Noise) -> Result<Tensor> {
        self.0.encoder.forward(inputs, sites, noise, Tokens::All)
    }

    /// The last hidden state that stands for its text, [batch, 1, hidden], at less cost than all of
    /// them: the first token's, in a causal model the last one's, or in a ModernBERT whose
    /// configuration says so the mean of all.
    pub fn forward_summary(
        &self,
        inputs: &Inputs,
        sites: &dyn Sites,
        noise: &Noise,
    ) -> Result<Tensor> {
        self.0
            .encoder
            .forward(inputs, sites, noise, Tokens::Summary)
    }

    /// The same with each of several adapters, at less cost than one after the other: on the CPU to
    /// the bit what [`Self::forward_summary`] gives, on a GPU in one pass and so but for rounding.
    pub fn forward_summary_each(
        &self,
        inputs: &Inputs,
        sites: &[&dyn Sites],
    ) -> Result<Vec<Tensor>> {
        if !self.device().is_cpu()
            && let Some(all) = self.forward_together(inputs, sites)?
        {
            return Ok(all);
        }
        self.0.encoder.forward_each(inputs, sites, Tokens::Summary)
    }

    /// [`Self::forward_summary_each`] in one pass, on any device; none where the adapters are not of
    /// one form or the encoder's maps see what a batch shares.
    pub fn forward_together(
        &self,
        inputs: &Inputs,
        sites: &[&dyn Sites],
    ) -> Result<Option<Vec<Tensor>>> {
        together::forward(self.0.encoder.as_ref(), inputs, sites, Tokens::Summary)
    }

    /// Sentence embeddings [texts, width], as the model's sentence-transformers folder says;
    /// where it says nothing, the mean of the unmasked last hidden states, normalised to length 1.
    pub fn embed(&self, texts: &[Text<'_>]) -> Result<Tensor> {
        let longest = self.0.pooling.max_length().unwrap_or(self.max_length());
        let longest = longest.min(self.0.config.positions());
        let encodings = self.tokenize(texts, longest)?;
        let lengths: Vec<usize> = encodings.iter().map(|e| e.ids.len()).collect();
        let mut rows: Vec<Option<Tensor>> = vec![None; texts.len()];
        for batch in self.reading_batches(&lengths, 32, &[&Frozen]) {
            let members: Vec<&Encoding> = batch.iter().map(|&i| &encodings[i]).collect();
            let inputs = self.pad(&members)?;
            let hidden =
                self.0
                    .encoder
                    .forward(&inputs, &Frozen, &Noise::default(), Tokens::Kept)?;
            let unit = self.0.pooling.apply(&hidden, &inputs.mask)?;
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
            "Model {}: {}, {} layers of {}, vocabulary {}, at most {} tokens a text, {}, id {}",
            self.name(),
            c.model_type,
            c.num_hidden_layers,
            c.hidden_size,
            c.vocab_size,
            self.max_length(),
            self.precision(),
            &self.id()[..8],
        )
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
