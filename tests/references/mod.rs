//! MPNet, ModernBERT and DeBERTa-v3 against what transformers and peft compute, in the files that
//! `scripts/references.py` makes.

mod adapters;
mod pieces;
mod states;

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tureen::adapter::{Kind, Tensors};
use tureen::compute::{Dropout, random::Stream};
use tureen::model::{Frozen, Inputs, Model, Noise};
use tureen::tensorfile;
use tureen::train::{initial, track, tracked};

use crate::oracle::NodeByNode;

const MODELS: [&str; 3] = ["mpnet", "modernbert", "deberta-v2"];

/// A reference case: its tensors, and folders of its model and its LoRA.
pub struct Case {
    name: &'static str,
    io: BTreeMap<String, Tensor>,
    folder: tempfile::TempDir,
}

impl Case {
    pub fn new(name: &'static str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let path = path.join(format!("tests/references/{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        let case = Self {
            name,
            io: tensorfile::read(&path).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        case.write("model/config.json", &metadata["config"]);
        case.write("lora/adapter_config.json", &metadata["lora"]);
        case.write_tensors("model/model.safetensors", case.under("model/"));
        case.write_tensors("lora/adapter_model.safetensors", case.under("lora/"));
        case
    }

    pub fn path(&self, own: &str) -> PathBuf {
        self.folder.path().join(own)
    }

    fn write(&self, own: &str, text: &str) {
        std::fs::create_dir_all(self.path(own).parent().unwrap()).unwrap();
        std::fs::write(self.path(own), text).unwrap();
    }

    fn write_tensors(&self, own: &str, tensors: BTreeMap<String, Tensor>) {
        std::fs::create_dir_all(self.path(own).parent().unwrap()).unwrap();
        std::fs::write(self.path(own), tensorfile::encode(&tensors, None).unwrap()).unwrap();
    }

    fn under(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let own =
            |(name, t): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.into(), t.clone()));
        self.io.iter().filter_map(own).collect()
    }

    fn config(&self) -> Value {
        crate::conformance::json(&self.path("model/config.json"))
    }

    fn open(&self) -> tureen::Result<Model> {
        Model::from_folder(self.name, &self.path("model"), DType::F32, &Device::Cpu)
    }

    pub fn model(&self) -> Model {
        self.open().unwrap()
    }

    /// What a configuration with this field is refused with.
    fn refusal(&self, field: &str, value: Value) -> String {
        let mut config = self.config();
        config[field] = value;
        self.write("model/config.json", &config.to_string());
        self.open().unwrap_err().to_string()
    }
}

fn cases() -> impl Iterator<Item = Case> {
    MODELS.into_iter().map(Case::new)
}

/// The last states, zero where there is no text.
fn masked_states(model: &Model, inputs: &Inputs) -> Tensor {
    let states = model.forward(inputs, &Frozen, &Noise::default()).unwrap();
    let mask = inputs.mask.to_tensor(states.dtype(), &Device::Cpu).unwrap();
    states.broadcast_mul(&mask.unsqueeze(2).unwrap()).unwrap()
}

fn prefix(name: &str) -> &str {
    match name {
        "mpnet" => "mpnet.",
        "modernbert" => "model.",
        _ => "deberta.",
    }
}

/// Tensors of a kind, none of them zero.
pub fn scattered(kind: &dyn Kind, model: &Model) -> tureen::Result<Tensors> {
    let scatter = |(name, x): (tureen::adapter::Name, Tensor)| {
        let mut stream = Stream::new(3, "test", name.as_str());
        let values = (0..x.elem_count()).map(|_| stream.normal() as f32 * 0.1);
        let noise = Tensor::from_vec(values.collect(), x.shape(), &Device::Cpu).unwrap();
        (name, (x + noise).unwrap())
    };
    Ok(initial(kind, model, 3)?.into_iter().map(scatter).collect())
}

fn noise(rows: &[u64]) -> Noise {
    let dropout = |item: &str| {
        let stream = Stream::new(5, "dropout", item);
        Some(Dropout::new(stream, 0.2, rows).unwrap())
    };
    Noise {
        hidden: dropout("hidden"),
        attention: dropout("attention"),
    }
}

/// The texts' states and the gradients of a weighting of them; also node by node.
fn pass(model: &Model, kind: &dyn Kind, inputs: &Inputs, whole: bool) -> Vec<Tensor> {
    let vars = track(&scattered(kind, model).unwrap(), model).unwrap();
    let mut sites = kind.sites(&tracked(&vars), model.config()).unwrap();
    if !whole {
        sites = Box::new(NodeByNode(sites));
    }
    let first = model
        .forward_summary(inputs, sites.as_ref(), &noise(&[7, 3, 5]))
        .unwrap();
    let mut stream = Stream::new(4, "test", "weighting");
    let weights: Vec<f32> = (0..first.elem_count())
        .map(|_| stream.normal() as f32)
        .collect();
    let weights = Tensor::from_vec(weights, first.shape(), &Device::Cpu).unwrap();
    let sum = (&first * weights).unwrap().sum_all().unwrap();
    let grads = sum.backward().unwrap();
    let own = vars.values().map(|v| grads.get(v).unwrap().clone());
    std::iter::once(first.clone()).chain(own).collect()
}

fn bits(all: &[Tensor]) -> Vec<u32> {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    all.iter().flat_map(flat).map(f32::to_bits).collect()
}
