//! ELECTRA (Clark et al. 2020), the discriminator: BERT's blocks over embeddings that may be
//! narrower.

use super::architecture::Architecture;
use super::bert::{BERT, NORMS, hub};
use super::embedding::Embedding;
use super::post_norm::PostNorm;
use super::relative::Relative;

/// ELECTRA.
pub const ELECTRA: Architecture = Architecture {
    model_type: "electra",
    prefix: "electra.",
    hub: Some(hub("ElectraAdapterModel", false)),
    classifier_class: "ElectraForSequenceClassification",
    load: |config, weights| {
        let (d, width) = (config.hidden_size, config.embedding_width());
        let mut embedding = Embedding::of_bert(config, weights, width)?;
        if width != d {
            embedding.projection = Some(weights.linear("embeddings_project", width, d)?);
        }
        let blocks = (embedding, Relative::Nothing);
        Ok(Box::new(PostNorm::load(config, weights, blocks, NORMS)?))
    },
    ..BERT
};
