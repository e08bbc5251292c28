//! ELECTRA (Clark et al. 2020), the discriminator: BERT's blocks over embeddings that may be
//! narrower.

use super::architecture::Architecture;
use super::bert::{BERT, NORMS};
use super::post_norm::{Embedding, PostNorm};

/// ELECTRA.
pub const ELECTRA: Architecture = Architecture {
    model_type: "electra",
    prefix: "electra.",
    adapter_class: "ElectraAdapterModel",
    classifier_class: "ElectraForSequenceClassification",
    load: |config, weights| {
        let (d, width) = (config.hidden_size, config.embedding_width());
        let mut embedding = Embedding::of_bert(config, weights, width)?;
        if width != d {
            embedding.projection = Some(weights.linear("embeddings_project", width, d)?);
        }
        PostNorm::load(config, weights, embedding, NORMS)
    },
    ..BERT
};
