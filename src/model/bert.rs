//! BERT (Devlin et al. 2019).

use super::architecture::{Architecture, BERT_MAPS, Hub};
use super::embedding::Embedding;
use super::post_norm::PostNorm;
use super::relative::Relative;
use crate::compute::Order;

/// BERT.
pub const BERT: Architecture = Architecture {
    model_type: "bert",
    fields: &[],
    prefix: "bert.",
    layers: "encoder.layer",
    maps: BERT_MAPS,
    hub: Some(hub("BertAdapterModel", true)),
    classifier_class: "BertForSequenceClassification",
    causal: false,
    order: |_| Order::Place,
    load: |config, weights| {
        let embedding = Embedding::of_bert(config, weights, config.hidden_size)?;
        let blocks = (embedding, Relative::Nothing);
        Ok(Box::new(PostNorm::load(config, weights, blocks, NORMS)?))
    },
};

/// The paths of a block's norms, after attention and after the feed-forward block.
pub(super) const NORMS: [&str; 2] = ["attention.output.LayerNorm", "output.LayerNorm"];

/// AdapterHub's class of models whose blocks are BERT's.
pub(super) const fn hub(class: &'static str, pooler: bool) -> Hub {
    Hub {
        class,
        sublayers: ["attention.output", "output"],
        pooler,
    }
}
