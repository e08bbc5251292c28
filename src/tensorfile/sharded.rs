//! A folder's weights: one file, or shards with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use candle_core::Tensor;
use serde::Deserialize;

use crate::{Error, Result, bail};

use super::read::TensorFile;

/// The index of sharded weights: which file holds which tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The first of these files that the folder has, `NAME.index.json` standing for the shards it
/// lists: the path of the file or the index, and the files that hold the tensors. Errors where
/// none is there, and where a shard lacks a tensor.
pub fn open_folder(folder: &Path, names: &[&str]) -> Result<(PathBuf, Vec<TensorFile>)> {
    for name in names {
        let file = folder.join(name);
        if file.is_file() {
            let open = TensorFile::open(&file)?;
            return Ok((file, vec![open]));
        }
        let index = folder.join(format!("{name}.index.json"));
        if index.is_file() {
            let shards = open_shards(folder, &index)?;
            return Ok((index, shards));
        }
    }
    Err(Error::at_path(
        folder,
        format!("no weights, expected {}", names.join(" or ")),
    ))
}

/// All tensors of [`open_folder`].
pub fn read_folder(folder: &Path, names: &[&str]) -> Result<(PathBuf, BTreeMap<String, Tensor>)> {
    let (path, files) = open_folder(folder, names)?;
    let mut all = BTreeMap::new();
    for file in files {
        all.extend(file.all()?);
    }
    Ok((path, all))
}

fn open_shards(folder: &Path, path: &Path) -> Result<Vec<TensorFile>> {
    let bytes = crate::input::read(path)?;
    let index: Index = serde_json::from_slice(crate::text::unmarked_bytes(&bytes))
        .map_err(|e| Error::at_path(path, format!("not an index of shards: {e}")))?;
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    let mut files = Vec::new();
    let mut found = BTreeSet::new();
    for name in names {
        let mut parts = Path::new(name).components();
        // The index comes from elsewhere and must not lead out of the folder.
        let (Some(Component::Normal(_)), None) = (parts.next(), parts.next()) else {
            bail!("{}: {name:?} is not a file of the folder", path.display());
        };
        let file = TensorFile::open(&folder.join(name))?;
        found.extend(file.shapes().map(|(name, _)| name.clone()));
        files.push(file);
    }
    if let Some((name, file)) = index.weight_map.iter().find(|(n, _)| !found.contains(*n)) {
        bail!("{}: {file} has no tensor {name}", path.display());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensorfile::encode;
    use candle_core::Device;

    #[test]
    fn shards_are_one_set_of_tensors() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        let shard = |name: &str| {
            let tensor = Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap();
            encode(&[(name.to_string(), tensor)].into(), None).unwrap()
        };
        write("m-1.safetensors", &shard("a"));
        write("m-2.safetensors", &shard("b"));
        let index = |text: &str| write("model.safetensors.index.json", text.as_bytes());
        let names = ["model.safetensors", "pytorch_model.bin"];
        index(r#"{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}"#);
        let (_, all) = read_folder(folder.path(), &names).unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b"]);
        let message = || read_folder(folder.path(), &names).unwrap_err().to_string();
        index(r#"{"weight_map": {"a": "m-1.safetensors", "c": "m-1.safetensors"}}"#);
        assert!(message().ends_with("m-1.safetensors has no tensor c"));
        index(r#"{"weight_map": {"a": "../m-1.safetensors"}}"#);
        assert!(message().contains("not a file of the folder"));
        index("{}");
        assert!(message().contains("not an index of shards"));
    }
}
