//! A model's folder, as tensors in files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tensorfile::quantised::{self, ADVICE};
use crate::tensorfile::{self, Number, TensorFile};
use crate::{Error, Result, bail};

/// A model's folder.
#[derive(Debug)]
pub struct Checkpoint {
    /// What the recipe calls it.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
    /// Its config.json.
    pub config: Value,
    files: Vec<TensorFile>,
    places: BTreeMap<String, (usize, Vec<usize>)>,
}

/// The files that may hold the weights.
const WEIGHTS: &[&str] = &["model.safetensors", "pytorch_model.bin"];

impl Checkpoint {
    /// Opens a folder with config.json and weights, sharded or not.
    pub fn open(name: &str, folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = crate::text::read(&path)?;
        let config = serde_json::from_str(&text)
            .map_err(|e| Error::at_path(&path, format!("not valid JSON: {e}")))?;
        let (_, files) = tensorfile::open_folder(folder, WEIGHTS)?;
        quantised::refuse(Some(&config), &files.iter().collect::<Vec<_>>(), |_| false)
            .map_err(|e| e.hint(format!("merge the unquantised weights: {ADVICE}")))?;
        let mut places = BTreeMap::new();
        for (i, file) in files.iter().enumerate() {
            for (name, shape) in file.shapes() {
                places.insert(name.clone(), (i, shape.to_vec()));
            }
        }
        Ok(Self {
            name: name.to_string(),
            folder: folder.to_path_buf(),
            config,
            files,
            places,
        })
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.places.keys()
    }

    /// Whether it has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The shape of a tensor; none where it has no such tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.places.get(name).map(|(_, shape)| &shape[..])
    }

    /// The type of a tensor's numbers.
    pub fn number(&self, name: &str) -> Result<Number> {
        let file = self.file(name)?;
        match file.number(name) {
            Some(number) => Ok(number),
            None => bail!("{} has no tensor {name}", self.name),
        }
    }

    /// Numbers of a tensor, as f32. An error that names the tensor for NaN and infinite ones.
    pub fn values(&self, name: &str, part: Range<usize>) -> Result<Vec<f32>> {
        let values = self.file(name)?.values(name, part)?;
        // A maximum over all is quicker than a search that may end at each number.
        let size = |v: &f32| v.to_bits() & !(1 << 31);
        match values.iter().map(size).max() < Some(f32::INFINITY.to_bits()) {
            true => Ok(values),
            false => {
                let bad = values.iter().find(|v| !v.is_finite());
                let bad = bad.copied().unwrap_or(f32::NAN);
                bail!("{}: tensor {name} holds {bad}", self.name)
            }
        }
    }

    /// A tensor's bytes.
    pub fn raw(&self, name: &str) -> Result<Vec<u8>> {
        self.file(name)?.raw(name)
    }

    fn file(&self, name: &str) -> Result<&TensorFile> {
        match self.places.get(name) {
            Some((file, _)) => Ok(&self.files[*file]),
            None => bail!("{} has no tensor {name}", self.name),
        }
    }
}

/// A tensor's name around the number of its layer: `model.layers.`, 3 and `.mlp.up.weight`.
pub fn layer_of(name: &str) -> Option<(&str, usize, &str)> {
    let mut at = 0;
    for part in name.split('.') {
        if let Ok(layer) = part.parse::<usize>()
            && at > 0
        {
            return Some((&name[..at], layer, &name[at + part.len()..]));
        }
        at += part.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::layer_of;

    #[test]
    fn the_first_number_is_the_layer() {
        let name = "model.layers.12.mlp.experts.3.up.weight";
        let expected = ("model.layers.", 12, ".mlp.experts.3.up.weight");
        assert_eq!(layer_of(name), Some(expected));
        assert_eq!(layer_of("lm_head.weight"), None);
        assert_eq!(layer_of("h.0.b"), Some(("h.", 0, ".b")));
    }
}
