//! The frozen model against candle-transformers' own BERT.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tureen::adapter::{Bottleneck, Kind, Lora, Tensors};
use tureen::compute::{Dropout, FrozenLinear, random::Stream};
use tureen::data::bundled;
use tureen::model::bundled::mini;
use tureen::model::gguf::read as read_gguf;
use tureen::model::{
    Encoding, Frozen, LinearSite, Model, Noise, Norm, Sites, SublayerSite, tokenize::Text,
};
use tureen::train::{initial, track, tracked};

#[test]
fn mini_equals_candles_bert() {
    let model = Model::mini(DType::F32, &Device::Cpu).unwrap();
    equals_candles_bert(&model, mini().config, read_gguf(mini().weights).unwrap());
}

/// The same for a model of the user's: its folder in `TUREEN_TEST_MODEL`.
#[test]
fn a_given_model_equals_candles_bert() {
    let Some(folder) = std::env::var_os("TUREEN_TEST_MODEL").map(PathBuf::from) else {
        eprintln!("skipped: TUREEN_TEST_MODEL names no folder of a BERT");
        return;
    };
    let model = Model::from_folder("given", &folder, DType::F32, &Device::Cpu).unwrap();
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let tensors = tureen::tensorfile::read(&folder.join("model.safetensors")).unwrap();
    equals_candles_bert(&model, &config, tensors);
}

fn equals_candles_bert(model: &Model, config: &str, tensors: BTreeMap<String, Tensor>) {
    let config: Config = serde_json::from_str(config).unwrap();
    let tensors = tensors.into_iter().collect();
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
    let difference = largest(&difference);
    assert!(difference < 1e-5, "{difference}");
    let rough = model.in_bf16().unwrap();
    assert_eq!((model.precision(), rough.precision()), ("f32", "bf16"));
    let rough = rough.forward(&inputs, &Frozen, &Noise::default()).unwrap();
    let exact = model.forward(&inputs, &Frozen, &Noise::default()).unwrap();
    let difference = (rough - exact).unwrap().broadcast_mul(&mask).unwrap();
    let difference = largest(&difference);
    assert!((1e-4..0.1).contains(&difference), "bf16: {difference}");
}

fn largest(x: &Tensor) -> f32 {
    let largest = x.abs().unwrap().max_all().unwrap();
    largest.to_dtype(DType::F32).unwrap().to_scalar().unwrap()
}

/// An adapter that has no terms for the whole encoder as one operation, so that the blocks are
/// computed node by node.
pub struct NodeByNode(pub Box<dyn Sites>);

impl Sites for NodeByNode {
    fn linear(
        &self,
        layer: usize,
        sites: &[LinearSite],
        map: &FrozenLinear,
        x: &Tensor,
    ) -> tureen::Result<Tensor> {
        self.0.linear(layer, sites, map, x)
    }

    fn sublayer(
        &self,
        layer: usize,
        site: SublayerSite,
        f: &Tensor,
        x: &Tensor,
        norm: Option<&Norm>,
    ) -> tureen::Result<Tensor> {
        self.0.sublayer(layer, site, f, x, norm)
    }
}

/// States and gradients, with dropout and padding, for every kind.
#[test]
fn one_operation_equals_the_blocks_node_by_node() {
    let model = Model::mini(DType::F32, &Device::Cpu).unwrap();
    let texts = [
        "short",
        "a text that is quite a bit longer",
        "and one between",
    ];
    let texts: Vec<Text<'_>> = texts.into_iter().map(Text::from).collect();
    let encodings = model.tokenize(&texts, 64).unwrap();
    let inputs = model.pad(&encodings.iter().collect::<Vec<_>>()).unwrap();
    let dropout = |item: &str| {
        let stream = Stream::new(5, "dropout", item);
        Some(Dropout::new(stream, 0.1, [7, 3, 5]).unwrap())
    };
    let noise = Noise {
        hidden: dropout("hidden"),
        attention: dropout("attention"),
    };
    let targets = LinearSite::ALL.to_vec();
    let kinds: [Arc<dyn Kind>; 4] = [
        Arc::new(Bottleneck::pfeiffer()),
        Arc::new(Bottleneck::houlsby()),
        Arc::new(Bottleneck::parallel()),
        Arc::new(Lora::new(4, 8.0, targets).unwrap()),
    ];
    for kind in kinds {
        // Zero matrices would hide what passes through them.
        let tensors: Tensors = initial(kind.as_ref(), &model, 3)
            .unwrap()
            .into_iter()
            .map(|(name, x)| {
                let mut stream = Stream::new(3, "test", name.as_str());
                let values = (0..x.elem_count()).map(|_| stream.normal() as f32 * 0.05);
                let values: Vec<f32> = values.collect();
                (
                    name,
                    Tensor::from_vec(values, x.shape(), &Device::Cpu).unwrap(),
                )
            })
            .collect();
        let run = |whole: bool| {
            let vars = track(&tensors, &model).unwrap();
            let sites = kind.sites(&tracked(&vars), model.config()).unwrap();
            assert!(sites.parts().is_some());
            let sites = if whole {
                sites
            } else {
                Box::new(NodeByNode(sites))
            };
            let first = model
                .forward_summary(&inputs, sites.as_ref(), &noise)
                .unwrap();
            let mut stream = Stream::new(4, "test", "weighting");
            let weights: Vec<f32> = (0..3 * 384).map(|_| stream.normal() as f32).collect();
            let weights = Tensor::from_vec(weights, first.shape(), &Device::Cpu).unwrap();
            let sum = (&first * weights).unwrap().sum_all().unwrap();
            let grads = sum.backward().unwrap();
            let grads: Vec<Tensor> = vars
                .values()
                .map(|v| grads.get(v).unwrap().clone())
                .collect();
            (first, grads)
        };
        let ((found, grads), (expected, others)) = (run(true), run(false));
        let name = kind.name();
        let difference = largest(&(found - expected).unwrap());
        assert!(difference < 1e-5, "{name}: {difference}");
        for (found, expected) in grads.iter().zip(&others) {
            let scale = largest(expected).max(1.0);
            let difference = largest(&(found - expected).unwrap()) / scale;
            assert!(difference < 2e-5, "{name}: gradient {difference}");
        }
    }
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
    assert!(largest(&(&x - &y).unwrap()) < 5e-6);
    let first = model
        .forward_summary(&alone, &Frozen, &Noise::default())
        .unwrap();
    assert_eq!(first.dims(), [1, 1, 384]);
    let difference = y.get(0).unwrap() - first.get(0).unwrap().get(0).unwrap();
    assert!(largest(&difference.unwrap()) < 5e-6);
}
