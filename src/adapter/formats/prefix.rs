//! What stands before the names of a base's modules in a task model.

use crate::model::ARCHITECTURES;

/// What transformers calls the base within task models that are not among the architectures here
/// (`base_model_prefix`).
const FOREIGN: &[&str] = &[
    "model.",
    "transformer.",
    "albert.",
    "backbone.",
    "beit.",
    "biogpt.",
    "camembert.",
    "convbert.",
    "data2vec_text.",
    "data2vec_vision.",
    "deit.",
    "dinov2.",
    "dinov2_with_registers.",
    "dinov3_vit.",
    "ernie.",
    "esm.",
    "funnel.",
    "gpt_neox.",
    "gpt_neox_japanese.",
    "hiera.",
    "hubert.",
    "ibert.",
    "layoutlm.",
    "layoutlmv2.",
    "layoutlmv3.",
    "longformer.",
    "luke.",
    "mobilebert.",
    "mobilevit.",
    "mra.",
    "nezha.",
    "nystromformer.",
    "rembert.",
    "roberta_prelayernorm.",
    "rwkv.",
    "segformer.",
    "sew.",
    "squeezebert.",
    "swin.",
    "swinv2.",
    "unispeech.",
    "unispeech_sat.",
    "vilt.",
    "vit.",
    "vit_mae.",
    "wav2vec2.",
    "wav2vec2_bert.",
    "wavlm.",
    "xmod.",
    "yoso.",
];

/// The prefix of a base that is not among the architectures here: that with which some of these full
/// names begin, or none.
pub fn of_any<'a>(names: impl Iterator<Item = &'a str> + Clone) -> &'static str {
    let known = ARCHITECTURES.iter().map(|a| a.prefix);
    let mut all = FOREIGN
        .iter()
        .copied()
        .chain(known)
        .filter(|p| !p.is_empty());
    let found = all.find(|prefix| names.clone().any(|name| name.starts_with(prefix)));
    found.unwrap_or_default()
}
