//! Small changes to PEFT folders, for the cases beside this file.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;
use tureen::tensorfile;

const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

/// The tensors of a PEFT folder by their names in the file.
pub fn tensors(folder: &Path) -> BTreeMap<String, Tensor> {
    let all = tensorfile::read(&folder.join(WEIGHTS)).unwrap();
    all.into_iter().collect()
}

/// The configuration of a PEFT folder.
pub fn config(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join(CONFIG)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Writes a PEFT folder.
pub fn write(folder: &Path, tensors: &BTreeMap<String, Tensor>, config: &Value) {
    std::fs::create_dir_all(folder).unwrap();
    let all = tensors
        .iter()
        .map(|(n, t)| (n.clone(), t.clone()))
        .collect();
    let bytes = tensorfile::encode(&all, None).unwrap();
    std::fs::write(folder.join(WEIGHTS), bytes).unwrap();
    std::fs::write(folder.join(CONFIG), config.to_string()).unwrap();
}

/// Whether two tensors have the same shape and values.
pub fn same(a: &Tensor, b: &Tensor) -> bool {
    a.dims() == b.dims() && values(a) == values(b)
}

/// The values of a tensor.
pub fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_dtype(candle_core::DType::F32).unwrap();
    flat.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference between two tensors of one shape.
pub fn distance(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (values(a), values(b));
    let pairs = a.iter().zip(&b).map(|(x, y)| (x - y).abs());
    pairs.fold(0.0, f32::max)
}
