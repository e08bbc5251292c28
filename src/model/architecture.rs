//! What the program knows of each architecture. A new one is one file and one line in [`ALL`].

use crate::compute::{LinearSite, Order, SublayerSite};
use crate::{Error, Result, bail, nearest};

use super::config::Config;
use super::weights::Weights;
use super::{Encoder, bert, deberta, distilbert, electra, gpt2, modernbert, mpnet, roberta};

/// An architecture: how its files are named and how its encoder is made.
#[derive(Debug)]
pub struct Architecture {
    /// As `model_type` in `config.json` says.
    pub model_type: &'static str,
    /// The fields of its `config.json` that [`Config`] knows by another name: theirs, ours.
    pub fields: &'static [(&'static str, &'static str)],
    /// What stands before the names of the base's tensors in task models.
    pub prefix: &'static str,
    /// What stands before a layer's number.
    pub layers: &'static str,
    /// The linear maps of a layer.
    pub maps: &'static [Map],
    /// What AdapterHub's library knows of it; none where it has no class for it.
    pub hub: Option<Hub>,
    /// The class of such a model that classifies, in transformers.
    pub classifier_class: &'static str,
    /// Whether a token sees only those before it, so that the last one knows the whole text.
    pub causal: bool,
    /// How its tokens' positions are counted, by its padding token.
    pub order: fn(u32) -> Order,
    /// Makes the encoder.
    pub load: fn(&Config, &Weights) -> Result<Box<dyn Encoder>>,
}

/// A model with adapters in AdapterHub's library.
#[derive(Debug)]
pub struct Hub {
    /// Its class with heads.
    pub class: &'static str,
    /// Where in a layer bottlenecks are, after attention and after the feed-forward block.
    pub sublayers: [&'static str; 2],
    /// Whether its heads can read the base's pooler.
    pub pooler: bool,
}

/// A linear map of a layer by the path of its tensors: one site, or several side by side.
#[derive(Debug)]
pub struct Map {
    /// The path within the layer.
    pub path: &'static str,
    /// The sites it computes, side by side.
    pub sites: &'static [LinearSite],
    /// How many values it gives for each of the block's: 2 where one half gates the other.
    pub times: usize,
}

impl Map {
    /// A map of one site.
    pub const fn one(path: &'static str, site: &'static [LinearSite; 1]) -> Self {
        Self {
            path,
            sites: site,
            times: 1,
        }
    }

    /// Input and output width in a model of this configuration.
    pub fn widths(&self, config: &Config) -> (usize, usize) {
        let widths = |site: &LinearSite| site.widths(config.hidden_size, config.intermediate_size);
        let input = self.sites.first().map_or(0, |site| widths(site).0);
        let output: usize = self.sites.iter().map(|site| widths(site).1).sum();
        (input, self.times * output)
    }
}

/// The architectures that can be loaded.
pub const ALL: &[&Architecture] = &[
    &bert::BERT,
    &roberta::ROBERTA,
    &roberta::XLM_ROBERTA,
    &distilbert::DISTILBERT,
    &electra::ELECTRA,
    &gpt2::GPT2,
    &mpnet::MPNET,
    &modernbert::MODERNBERT,
    &deberta::DEBERTA_V2,
];

impl Architecture {
    /// The architecture of a `model_type`.
    pub fn of(model_type: &str) -> Result<&'static Self> {
        if let Some(found) = Self::find(model_type) {
            return Ok(found);
        }
        let names: Vec<&str> = ALL.iter().map(|a| a.model_type).collect();
        let error = Error::new(format!("model_type {model_type:?} is not supported"));
        Err(match nearest(model_type, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(format!("known: {}", names.join(", "))),
        })
    }

    /// The same; none where it is not known.
    pub fn find(model_type: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|a| a.model_type == model_type)
    }

    /// What AdapterHub's library knows of it; an error where it has no class for it.
    pub fn hub(&self) -> Result<&Hub> {
        let Some(hub) = &self.hub else {
            bail!(
                "AdapterHub's library has no {} models, so that nothing says where such an adapter would act", self.model_type;
                hint: "a LoRA, which PEFT knows, acts on every linear map"
            );
        };
        Ok(hub)
    }

    /// The map of this path within a layer.
    pub fn map_at(&self, path: &str) -> Option<&'static Map> {
        self.maps.iter().find(|map| map.path == path)
    }

    /// The map that computes a site.
    pub fn map_of(&self, site: LinearSite) -> Option<&'static Map> {
        self.maps.iter().find(|map| map.sites.contains(&site))
    }

    /// The path of a site's tensors from the model's root.
    pub fn path(&self, layer: usize, own: &str) -> String {
        format!("{}.{layer}.{own}", self.layers)
    }
}

impl Hub {
    /// The path of a sublayer's end within a layer.
    pub fn sublayer(&self, site: SublayerSite) -> &'static str {
        self.sublayers[site as usize]
    }

    /// The sublayer whose end has this path.
    pub fn sublayer_at(&self, path: &str) -> Option<SublayerSite> {
        SublayerSite::ALL
            .into_iter()
            .find(|site| self.sublayer(*site) == path)
    }
}

/// The maps of a block as BERT names them.
pub const BERT_MAPS: &[Map] = &[
    Map::one("attention.self.query", &[LinearSite::Query]),
    Map::one("attention.self.key", &[LinearSite::Key]),
    Map::one("attention.self.value", &[LinearSite::Value]),
    Map::one("attention.output.dense", &[LinearSite::AttentionOutput]),
    Map::one("intermediate.dense", &[LinearSite::Intermediate]),
    Map::one("output.dense", &[LinearSite::Output]),
];
