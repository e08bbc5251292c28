//! DeBERTa-v3 (He et al. 2021), `deberta-v2` in transformers: BERT's blocks with disentangled
//! attention, in which positions relative to the query have queries and keys of their own.

use serde::Deserialize;

use crate::compute::{Activation, LinearSite, Order};
use crate::{Result, bail};

use super::architecture::{Architecture, Map};
use super::bert::{BERT, NORMS, hub};
use super::config::Config;
use super::embedding::Embedding;
use super::pooler::Pooler;
use super::post_norm::PostNorm;
use super::relative::{Positions, Relative};
use super::weights::Weights;

/// DeBERTa-v3.
pub const DEBERTA_V2: Architecture = Architecture {
    model_type: "deberta-v2",
    prefix: "deberta.",
    maps: &[
        Map::one("attention.self.query_proj", &[LinearSite::Query]),
        Map::one("attention.self.key_proj", &[LinearSite::Key]),
        Map::one("attention.self.value_proj", &[LinearSite::Value]),
        Map::one("attention.output.dense", &[LinearSite::AttentionOutput]),
        Map::one("intermediate.dense", &[LinearSite::Intermediate]),
        Map::one("output.dense", &[LinearSite::Output]),
    ],
    hub: Some(hub("DebertaV2AdapterModel", false)),
    classifier_class: "DebertaV2ForSequenceClassification",
    order: |_| Order::Nowhere,
    load: |config, weights| {
        let d = config.hidden_size;
        let positions = Relative::Positions(positions(config, weights)?);
        let embedding = Embedding::without_positions(config, weights)?;
        let mut encoder = PostNorm::load(config, weights, (embedding, positions), NORMS)?;
        if weights.has(".pooler.dense.weight") {
            let map = weights.linear(".pooler.dense", d, d)?;
            encoder.pooler = Some(Pooler::new(map, Activation::Gelu, None));
        }
        Ok(Box::new(encoder))
    },
    ..BERT
};

/// The fields of its configuration that only it has.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Own {
    position_buckets: Option<i64>,
    max_relative_positions: Option<i64>,
}

/// What DeBERTa-v3's configuration says, which the older ones of this type may say otherwise.
const SAID: &[(&str, &[&str])] = &[
    ("relative_attention", &["true"]),
    ("position_biased_input", &["false"]),
    ("share_att_key", &["true"]),
    ("norm_rel_ebd", &["\"layer_norm\""]),
    (
        "pos_att_type",
        &[
            "\"p2c|c2p\"",
            "\"c2p|p2c\"",
            "[\"p2c\",\"c2p\"]",
            "[\"c2p\",\"p2c\"]",
        ],
    ),
    ("conv_kernel_size", &["0", "null"]),
    ("pooler_hidden_act", &["\"gelu\"", "null"]),
];

fn positions(config: &Config, weights: &Weights) -> Result<Positions> {
    for (field, known) in SAID {
        let value = config.more.get(*field).unwrap_or(&serde_json::Value::Null);
        if !known.contains(&value.to_string().as_str()) {
            bail!(
                "deberta-v2: {field} {value} is not supported, only {}, as DeBERTa-v3 has it",
                known[0]
            );
        }
    }
    let (d, eps) = (config.hidden_size, config.layer_norm_eps);
    if config.embedding_width() != d {
        bail!(
            "deberta-v2: embedding_size {} is not supported, only hidden_size {d}",
            config.embedding_width()
        );
    }
    let own: Own = config.own()?;
    let longest = config.max_position_embeddings as i64;
    let farthest = own.max_relative_positions.filter(|n| *n > 0);
    let farthest = farthest.unwrap_or(longest);
    let buckets = own.position_buckets.unwrap_or(-1);
    let told_apart = (4..=1 << 20).contains(&buckets);
    if !told_apart || farthest - 1 <= buckets / 2 || farthest > 1 << 30 {
        bail!(
            "deberta-v2: position_buckets {buckets} for relative positions up to {farthest} is not supported, expected at least 4 and less than twice as many"
        );
    }
    let rows = 2 * buckets as usize;
    let table = weights.get("encoder.rel_embeddings.weight", &[rows, d])?;
    let table = weights.norm("encoder.LayerNorm", d, eps)?.apply(&table)?;
    // The query's own distance from the key counts.
    let row = move |distance: i64| {
        let place = buckets + bucket(-distance, buckets, farthest);
        place.clamp(0, 2 * buckets - 1) as u32
    };
    Ok(Positions::new(table, row))
}

/// The kind of a distance from key to query: each of the short ones is one by itself, of the long
/// ones the more the longer.
fn bucket(distance: i64, buckets: i64, farthest: i64) -> i64 {
    let middle = buckets / 2;
    let size = distance.abs();
    if size <= middle {
        return distance;
    }
    // In f32, as transformers has it.
    let log = |x: f32| libm::log(f64::from(x)) as f32;
    let middle_f32 = middle as f32;
    let share = log(size as f32 / middle_f32) / log((farthest - 1) as f32 / middle_f32);
    let own = (share * (middle - 1) as f32).ceil() as i64 + middle;
    own * distance.signum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distances at which transformers 4.57 begins another kind, and kinds in between.
    #[test]
    fn buckets_are_those_of_transformers() {
        let of = |distance| bucket(distance, 256, 512);
        assert!((-128..=128).all(|d| of(d) == d));
        assert_eq!(
            [129, 130, 200, 300, 400, 510, 511, 512, 600].map(of),
            [129, 130, 169, 207, 233, 255, 255, 256, 270]
        );
        assert!((0..700).all(|d| of(-d) == -of(d)));
        let small: Vec<i64> = (1..30)
            .filter(|d| bucket(*d, 8, 24) != bucket(*d - 1, 8, 24))
            .collect();
        assert_eq!(small, [1, 2, 3, 4, 5, 8, 13, 24]);
    }
}
