//! The model of the binary against the one it was made from.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tureen::data::bundled;
use tureen::model::bundled::mini;
use tureen::model::gguf::read as read_gguf;
use tureen::model::tokenize::{Text, Tokenizer, pad};

const ORIGINAL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../shared/data/models/paraphrase-MiniLM-L3-v2/model.safetensors"
);

/// Mean over tokens of the last hidden state, of length 1: `[texts, hidden]`.
fn embed(tensors: HashMap<String, Tensor>, texts: &[Text]) -> Tensor {
    let config: Config = serde_json::from_str(mini().config).unwrap();
    let weights = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let model = BertModel::load(weights, &config).unwrap();
    let tokenizer = Tokenizer::from_bytes(mini().tokenizer).unwrap();
    let padded = pad(&tokenizer.encode(texts, 128).unwrap(), tokenizer.pad_id());
    let tensor = |values: Vec<u32>| {
        Tensor::from_vec(values, (padded.rows, padded.width), &Device::Cpu).unwrap()
    };
    let (ids, mask) = (tensor(padded.ids.clone()), tensor(padded.mask.clone()));
    let types = tensor(padded.type_ids.clone());
    let hidden = model.forward(&ids, &types, Some(&mask)).unwrap();
    let mask = mask.to_dtype(DType::F32).unwrap().unsqueeze(2).unwrap();
    let sum = hidden.broadcast_mul(&mask).unwrap().sum(1).unwrap();
    let norm = sum.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap();
    sum.broadcast_div(&norm).unwrap()
}

#[test]
fn mini_embeds_as_its_original() {
    if !Path::new(ORIGINAL).is_file() {
        eprintln!("skipped: the original model is not here");
        return;
    }
    let start = Instant::now();
    let quantized: HashMap<String, Tensor> =
        read_gguf(mini().weights).unwrap().into_iter().collect();
    eprintln!("mini read in {:?}", start.elapsed());
    let original = candle_core::safetensors::load(ORIGINAL, &Device::Cpu).unwrap();
    let original: HashMap<String, Tensor> = original
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_dtype(DType::F32).unwrap()))
        .collect();
    let sets: Vec<_> = bundled::names()
        .map(|name| bundled::load(name).unwrap())
        .collect();
    let texts: Vec<Text> = sets
        .iter()
        .flat_map(|set| set.texts().take(25).map(Text::from))
        .collect();
    assert_eq!(texts.len(), 200);
    let (a, b) = (embed(quantized, &texts), embed(original, &texts));
    let cosines: Vec<f32> = (a * b).unwrap().sum(1).unwrap().to_vec1().unwrap();
    let least = cosines.iter().copied().fold(f32::INFINITY, f32::min);
    eprintln!("least cosine {least}");
    assert!(least >= 0.999, "{least}");
}
