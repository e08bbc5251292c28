//! MPNet (Song et al. 2020): BERT's blocks, whose scores have a bias by distance, the same in all.

use candle_core::Tensor;

use crate::Result;
use crate::compute::{LinearSite, Order};

use super::architecture::{Architecture, Map};
use super::bert::BERT;
use super::config::Config;
use super::embedding::Embedding;
use super::post_norm::PostNorm;
use super::relative::Relative;
use super::weights::Weights;

/// MPNet.
pub const MPNET: Architecture = Architecture {
    model_type: "mpnet",
    prefix: "mpnet.",
    maps: &[
        Map::one("attention.attn.q", &[LinearSite::Query]),
        Map::one("attention.attn.k", &[LinearSite::Key]),
        Map::one("attention.attn.v", &[LinearSite::Value]),
        Map::one("attention.attn.o", &[LinearSite::AttentionOutput]),
        Map::one("intermediate.dense", &[LinearSite::Intermediate]),
        Map::one("output.dense", &[LinearSite::Output]),
    ],
    hub: None,
    classifier_class: "MPNetForSequenceClassification",
    // Whatever its configuration calls the padding token.
    order: |_| Order::After(1),
    load: |config, weights| {
        let embedding = Embedding::without_types(config, weights)?;
        let blocks = (embedding, Relative::Bias(bias(config, weights)?));
        let norms = ["attention.LayerNorm", "output.LayerNorm"];
        Ok(Box::new(PostNorm::load(config, weights, blocks, norms)?))
    },
    ..BERT
};

/// Kinds of distance, of which half are of keys behind the query. transformers takes as many
/// whatever `relative_attention_num_buckets` says.
const BUCKETS: u32 = 32;

/// From this distance on all are of one kind.
const FAR: i64 = 128;

/// The bias of each head and distance from -[`FAR`] to [`FAR`].
fn bias(config: &Config, weights: &Weights) -> Result<Tensor> {
    let shape = [BUCKETS as usize, config.num_attention_heads];
    let table = weights.get("encoder.relative_attention_bias.weight", &shape)?;
    let buckets: Vec<u32> = (-FAR..=FAR).map(bucket).collect();
    let buckets = Tensor::new(buckets, table.device())?;
    Ok(table.index_select(&buckets, 0)?.t()?.contiguous()?)
}

/// The kind of a distance from query to key, as T5 (Raffel et al. 2020) has it: each of the short
/// ones is one by itself, of the long ones the more the longer.
fn bucket(distance: i64) -> u32 {
    let half = BUCKETS / 2;
    let exact = half / 2;
    let side = if distance > 0 { half } else { 0 };
    let size = distance.unsigned_abs().min(FAR as u64) as u32;
    if size < exact {
        return side + size;
    }
    // In f32, as transformers has it: 32 and 64 are on the edge.
    let log = |x: f32| libm::log(f64::from(x)) as f32;
    let exact_f32 = exact as f32;
    let share = log(size as f32 / exact_f32) / log(FAR as f32 / exact_f32);
    let own = (share * (half - exact) as f32) as u32;
    side + (exact + own).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distances at which transformers 4.57 begins another kind.
    #[test]
    fn buckets_begin_where_they_do_in_transformers() {
        let begins: Vec<i64> = (1..=300).filter(|d| bucket(*d) != bucket(*d - 1)).collect();
        assert_eq!(begins, [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]);
        let behind: Vec<i64> = (1..=300).filter(|d| bucket(-d) != bucket(1 - d)).collect();
        assert_eq!(behind, begins);
        assert_eq!([bucket(0), bucket(1), bucket(-1)], [0, 17, 1]);
        assert_eq!([bucket(500), bucket(-500)], [31, 15]);
    }
}
