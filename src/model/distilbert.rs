//! DistilBERT (Sanh et al. 2019): BERT's blocks under other names, without token types.

use super::architecture::{Architecture, Hub, Map};
use super::bert::BERT;
use super::embedding::Embedding;
use super::post_norm::PostNorm;
use super::relative::Relative;
use crate::compute::LinearSite;

/// DistilBERT.
pub const DISTILBERT: Architecture = Architecture {
    model_type: "distilbert",
    fields: &[
        ("dim", "hidden_size"),
        ("n_layers", "num_hidden_layers"),
        ("n_heads", "num_attention_heads"),
        ("hidden_dim", "intermediate_size"),
        ("activation", "hidden_act"),
        ("dropout", "hidden_dropout_prob"),
        ("attention_dropout", "attention_probs_dropout_prob"),
    ],
    prefix: "distilbert.",
    layers: "transformer.layer",
    maps: &[
        Map::one("attention.q_lin", &[LinearSite::Query]),
        Map::one("attention.k_lin", &[LinearSite::Key]),
        Map::one("attention.v_lin", &[LinearSite::Value]),
        Map::one("attention.out_lin", &[LinearSite::AttentionOutput]),
        Map::one("ffn.lin1", &[LinearSite::Intermediate]),
        Map::one("ffn.lin2", &[LinearSite::Output]),
    ],
    hub: Some(Hub {
        class: "DistilBertAdapterModel",
        sublayers: ["attention_adapters", "output_adapters"],
        pooler: false,
    }),
    classifier_class: "DistilBertForSequenceClassification",
    load: |config, weights| {
        let embedding = Embedding::without_types(config, weights)?;
        let norms = ["sa_layer_norm", "output_layer_norm"];
        let blocks = (embedding, Relative::Nothing);
        Ok(Box::new(PostNorm::load(config, weights, blocks, norms)?))
    },
    ..BERT
};
