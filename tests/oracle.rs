//! The frozen model against candle-transformers' own BERT.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tureen::data::bundled;
use tureen::model::bundled::{mini, read_gguf};
use tureen::model::{Encoding, Frozen, Model, Noise, tokenize::Text};

#[test]
fn mini_equals_candles_bert() {
    let model = Model::mini(DType::F32, &Device::Cpu).unwrap();
    let config: Config = serde_json::from_str(mini().config).unwrap();
    let tensors = read_gguf(mini().weights).unwrap().into_iter().collect();
    let weights = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let oracle = BertModel::load(weights, &config).unwrap();
    let data = bundled::load("films").unwrap();
    let texts: Vec<Text<'_>> = data.texts().take(50).map(Text::from).collect();
    let encodings = model.tokenize(&texts, 64).unwrap();
    let inputs = model
        .pad(&encodings.iter().collect::<Vec<&Encoding>>())
        .unwrap();
    let mask = inputs.mask.to_tensor(DType::U32, &Device::Cpu).unwrap();
    let expected = oracle
        .forward(&inputs.ids, &inputs.type_ids, Some(&mask))
        .unwrap();
    let found = model.forward(&inputs, &Frozen, &Noise::default()).unwrap();
    let mask = mask.to_dtype(DType::F32).unwrap().unsqueeze(2).unwrap();
    let difference = (found - expected).unwrap().broadcast_mul(&mask).unwrap();
    let largest = difference
        .abs()
        .unwrap()
        .max_all()
        .unwrap()
        .to_scalar::<f32>()
        .unwrap();
    assert!(largest < 1e-5, "{largest}");
}

/// What stands beside a text in its batch, and how far it is padded, changes it by rounding alone;
/// the first token alone is the first of all.
#[test]
fn a_text_does_not_depend_on_its_batch() {
    let model = Model::mini(DType::F32, &Device::Cpu).unwrap();
    let texts = [
        "short",
        "a text that is quite a bit longer than the first of the two",
    ];
    let texts: Vec<Text<'_>> = texts.into_iter().map(Text::from).collect();
    let encodings = model.tokenize(&texts, 64).unwrap();
    let together = model.pad(&encodings.iter().collect::<Vec<_>>()).unwrap();
    let alone = model.pad(&[&encodings[0]]).unwrap();
    let row = |inputs| -> Tensor {
        model
            .forward(inputs, &Frozen, &Noise::default())
            .unwrap()
            .get(0)
            .unwrap()
    };
    let n = encodings[0].ids.len();
    let (x, y) = (row(&together).narrow(0, 0, n).unwrap(), row(&alone));
    let largest = |x: Tensor| {
        x.abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
    };
    assert!(largest((&x - &y).unwrap()) < 5e-6);
    let first = model
        .forward_first(&alone, &Frozen, &Noise::default())
        .unwrap();
    assert_eq!(first.dims(), [1, 1, 384]);
    assert!(largest((y.get(0).unwrap() - first.get(0).unwrap().get(0).unwrap()).unwrap()) < 5e-6);
}
