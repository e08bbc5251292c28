//! BERT (Devlin et al. 2019).

use super::architecture::{Architecture, BERT_MAPS};
use super::post_norm::{Embedding, PostNorm};
use crate::compute::Order;

/// BERT.
pub const BERT: Architecture = Architecture {
    model_type: "bert",
    fields: &[],
    prefix: "bert.",
    layers: "encoder.layer",
    maps: BERT_MAPS,
    sublayers: ["attention.output", "output"],
    adapter_class: "BertAdapterModel",
    classifier_class: "BertForSequenceClassification",
    causal: false,
    order: |_| Order::Place,
    load: |config, weights| {
        let embedding = Embedding::of_bert(config, weights, config.hidden_size)?;
        PostNorm::load(config, weights, embedding, NORMS)
    },
};

/// The paths of a block's norms, after attention and after the feed-forward block.
pub(super) const NORMS: [&str; 2] = ["attention.output.LayerNorm", "output.LayerNorm"];
