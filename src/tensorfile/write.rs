//! Safetensors with deterministic bytes, written tensor by tensor.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::{Map, Value, json};

use crate::study::files::write_whole;
use crate::{Error, Result, bail};

/// A tensor that is to be written: its shape is known, itself it is made when its turn comes.
pub struct Planned<'a> {
    /// Its name in the file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Makes it.
    pub make: Box<dyn Fn() -> Result<Tensor> + 'a>,
}

impl Planned<'_> {
    /// A tensor that is there already.
    pub fn ready(name: String, tensor: Tensor) -> Self {
        Self {
            name,
            shape: tensor.dims().to_vec(),
            make: Box::new(move || Ok(tensor.clone())),
        }
    }
}

/// Writes a safetensors file with these tensors as f32, whole or not at all. `metadata` is at most
/// one entry, since the format's map of metadata has no order.
pub fn write(
    path: &Path,
    tensors: Vec<Planned<'_>>,
    metadata: Option<(&str, String)>,
) -> Result<()> {
    write_whole(path, |out| write_to(out, tensors, metadata))
}

/// The bytes of such a file.
pub fn encode(
    tensors: &BTreeMap<String, Tensor>,
    metadata: Option<(&str, String)>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let planned = tensors
        .iter()
        .map(|(n, t)| Planned::ready(n.clone(), t.clone()));
    write_to(&mut bytes, planned.collect(), metadata)?;
    Ok(bytes)
}

fn write_to(
    out: &mut dyn Write,
    mut tensors: Vec<Planned<'_>>,
    metadata: Option<(&str, String)>,
) -> Result<()> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut head = Map::new();
    if let Some((key, value)) = metadata {
        head.insert("__metadata__".into(), json!({key: value}));
    }
    let mut at = 0;
    for tensor in &tensors {
        let size = 4 * tensor.shape.iter().product::<usize>();
        let entry = json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [at, at + size]});
        if head.insert(tensor.name.clone(), entry).is_some() {
            bail!("two tensors are called {}", tensor.name);
        }
        at += size;
    }
    let unwritten = |e: std::io::Error| Error::new(format!("tensors could not be written: {e}"));
    let mut head = Value::Object(head).to_string().into_bytes();
    // The format asks for numbers at multiples of eight.
    head.resize(head.len().next_multiple_of(8), b' ');
    out.write_all(&(head.len() as u64).to_le_bytes())
        .map_err(unwritten)?;
    out.write_all(&head).map_err(unwritten)?;
    for tensor in tensors {
        let made = (tensor.make)()?;
        if made.dims() != tensor.shape {
            bail!(
                "tensor {} has shape {:?}, expected {:?}",
                tensor.name,
                made.dims(),
                tensor.shape
            );
        }
        let values = made.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        for values in values.chunks(1 << 16) {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            out.write_all(&bytes).map_err(unwritten)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensorfile::{read, read_bytes};
    use candle_core::Device;

    #[test]
    fn what_is_written_is_read_by_the_library() {
        let tensor = |x: f32| Tensor::new(&[[x, 2.0]], &Device::Cpu).unwrap();
        let all = BTreeMap::from([("b".into(), tensor(1.0)), ("a".into(), tensor(3.0))]);
        let bytes = encode(&all, Some(("format", "pt".into()))).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.tensor("b").unwrap().data()[..4], 1f32.to_le_bytes());
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
        let back = read_bytes(&bytes, true).unwrap();
        assert_eq!(back["a"].to_vec2::<f32>().unwrap(), [[3.0, 2.0]]);
    }

    #[test]
    fn a_tensor_that_cannot_be_made_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let broken = |shape: usize| Planned {
            name: "a".into(),
            shape: vec![shape],
            make: Box::new(|| Ok(Tensor::new(&[1f32], &Device::Cpu)?)),
        };
        let error = write(&path, vec![broken(2)], None).unwrap_err();
        assert!(error.to_string().contains("expected [2]"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        write(&path, vec![broken(1)], None).unwrap();
        assert_eq!(read(&path).unwrap()["a"].dims(), [1]);
    }
}
