//! The tensors of a base model's files, read when they are asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Tensor};
use serde_json::Value;

use crate::compute::Source;
use crate::tensorfile::quantised::{self, Scaling};
use crate::tensorfile::{Number, TensorFile, open_folder};
use crate::{Error, Result};

/// Numbers that are read at a time to be hashed.
const PART: usize = 1 << 20;

/// A tensor of a base model: in memory, or in a file.
#[derive(Clone, Debug)]
pub enum Stored {
    /// In memory.
    Held(Tensor),
    /// The one of this name in a file.
    File(Arc<TensorFile>, String),
    /// Codes in a file, times the scales beside them.
    Scaled(Arc<Scaled>),
}

/// A weight that is stored as codes and scales.
#[derive(Debug)]
pub struct Scaled {
    codes: Stored,
    scales: Stored,
    scaling: Scaling,
}

impl Stored {
    /// The tensors of a folder's weights in the first of these files that it has, which stay there,
    /// and the path of that file or of its index. `config` is the folder's config.json; quantised
    /// weights that are not read are an error.
    pub fn of_folder(
        folder: &Path,
        names: &[&str],
        config: Option<&Value>,
    ) -> Result<(PathBuf, BTreeMap<String, Self>)> {
        let (path, files) = open_folder(folder, names)?;
        let scalings = quantised::read(config, &files.iter().collect::<Vec<_>>())?;
        let mut all = BTreeMap::new();
        for file in files.into_iter().map(Arc::new) {
            let own = file.shapes().map(|(name, _)| name.clone());
            all.extend(own.map(|name| (name.clone(), Self::File(file.clone(), name))));
        }
        for (name, scaling) in scalings {
            // The scales stand for nothing by themselves.
            if let (Some(codes), Some(scales)) = (all.remove(&name), all.remove(&scaling.scales)) {
                let scaled = Scaled {
                    codes,
                    scales,
                    scaling,
                };
                all.insert(name, Self::Scaled(scaled.into()));
            }
        }
        Ok((path, all))
    }

    /// The type of its numbers, if they are whole ones.
    pub fn whole_numbers(&self) -> Option<&'static str> {
        match self {
            Self::Held(tensor) if tensor.dtype().is_float() => None,
            Self::Held(tensor) => Some(tensor.dtype().as_str()),
            Self::File(file, name) => {
                let number = file.number(name)?;
                (!number.is_float()).then(|| number.name())
            }
            Self::Scaled(_) => None,
        }
    }

    /// Its dimensions.
    pub fn dims(&self) -> &[usize] {
        match self {
            Self::Held(tensor) => tensor.dims(),
            Self::File(file, name) => file.shape(name).unwrap_or_default(),
            Self::Scaled(scaled) => scaled.codes.dims(),
        }
    }

    /// The tensor, on the CPU. An error where its file has changed since it was opened.
    pub fn tensor(&self) -> Result<Tensor> {
        match self {
            Self::Held(tensor) => Ok(tensor.clone()),
            Self::File(file, name) => {
                if file.has_changed() {
                    let path: PathBuf = file.path().components().collect();
                    let error = Error::at_path(&path, "the file has changed since it was loaded");
                    return Err(error.hint(
                        "load the model again; new weights are best written to a file of their own",
                    ));
                }
                file.get(name)
            }
            Self::Scaled(scaled) => {
                let (codes, scales) = (scaled.codes.tensor()?, scaled.scales.tensor()?);
                scaled.scaling.apply(&codes, &scales)
            }
        }
    }

    /// Hands its values as f32, in order and in parts, to `take`.
    pub fn each_part(&self, mut take: impl FnMut(&[f32])) -> Result<()> {
        if let Self::File(file, name) = self
            && file.lies_in_order(name)
            && let Some(Number::F64 | Number::F32 | Number::F16 | Number::BF16) = file.number(name)
        {
            let count: usize = self.dims().iter().product();
            for start in (0..count).step_by(PART) {
                take(&file.values(name, start..(start + PART).min(count))?);
            }
            return Ok(());
        }
        let values = self.tensor()?.to_dtype(DType::F32)?.flatten_all()?;
        take(&values.to_vec1::<f32>()?);
        Ok(())
    }
}

impl Source for Stored {
    fn read(&self, dtype: DType) -> Result<Tensor> {
        Ok(self.tensor()?.to_dtype(dtype)?)
    }

    fn mapped(&self, dtype: DType) -> Option<&[u8]> {
        let Self::File(file, name) = self else {
            return None;
        };
        let number = file.number(name)?;
        let as_used = matches!(
            (number, dtype),
            (Number::F32, DType::F32) | (Number::F64, DType::F64)
        );
        if !as_used || cfg!(target_endian = "big") {
            return None;
        }
        // What was written over it since then is told where it is read.
        let bytes = file.mapped(name).filter(|_| !file.has_changed())?;
        (bytes.as_ptr().align_offset(number.size()) == 0).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::{LinearSite, Weight};
    use crate::model::tokenize::Text;
    use crate::model::{Model, bundled, gguf};
    use crate::tensorfile::{Part, Streamed, encode, write_streamed};
    use candle_core::Device;

    /// A tensor of these bytes in the file of a folder.
    fn file(folder: &Path, number: Number, shape: &[usize], bytes: &[u8]) -> Stored {
        let part = Part {
            size: bytes.len(),
            make: Box::new(|| Ok(bytes.to_vec())),
        };
        let tensor = Streamed {
            name: "t".to_string(),
            shape: shape.to_vec(),
            number,
            parts: vec![part],
        };
        write_streamed(&folder.join("model.safetensors"), vec![tensor], None).unwrap();
        let (_, all) = Stored::of_folder(folder, &["model.safetensors"], None).unwrap();
        all["t"].clone()
    }

    fn parts(stored: &Stored) -> Vec<f32> {
        let mut all = Vec::new();
        let take = |part: &[f32]| all.extend_from_slice(part);
        stored.each_part(take).unwrap();
        all
    }

    #[test]
    fn a_file_of_any_type_reads_as_what_it_holds() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let values = [1.0, -2.5, 0.0, 3.0, 7.0, 0.5];
        for (number, dtype) in [
            (Number::F32, DType::F32),
            (Number::F64, DType::F64),
            (Number::F16, DType::F16),
            (Number::BF16, DType::BF16),
        ] {
            let bytes = number.encode(&values)?;
            let stored = file(folder.path(), number, &[3, 2], &bytes);
            assert_eq!(
                (stored.dims(), stored.tensor()?.dtype()),
                (&[3, 2][..], dtype)
            );
            assert_eq!(parts(&stored), values, "{dtype:?}");
            let as_used = Source::mapped(&stored, dtype).is_some();
            assert_eq!(as_used, matches!(dtype, DType::F32 | DType::F64));
            let weight = Weight::stored(Arc::new(stored), (3, 2), DType::F32);
            let ids = Tensor::new(&[2u32, 0], &Device::Cpu)?;
            let found = weight.look_up(&ids)?.to_vec2::<f32>()?;
            assert_eq!(found, [[7.0, 0.5], [1.0, -2.5]]);
            assert_eq!(weight.is_kept(), dtype != DType::F32);
        }
        let bytes = [3i64.to_le_bytes(), (-1i64).to_le_bytes()].concat();
        let whole = file(folder.path(), Number::I64, &[2], &bytes);
        assert_eq!(parts(&whole), [3.0, -1.0]);
        Ok(())
    }

    #[test]
    fn a_file_that_has_changed_is_told() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let bytes = Number::F32.encode(&[1.0, 2.0])?;
        let stored = file(folder.path(), Number::F32, &[1, 2], &bytes);
        let own = folder.path().join("model.safetensors");
        // Another file in its place leaves it as it was; the same file with other bytes does not.
        let other = folder.path().join("other");
        std::fs::copy(&own, &other).unwrap();
        std::fs::rename(&other, &own).unwrap();
        assert_eq!(stored.tensor()?.to_vec2::<f32>()?, [[1.0, 2.0]]);
        let stored = file(folder.path(), Number::F32, &[1, 2], &bytes);
        assert!(Source::mapped(&stored, DType::F32).is_some());
        std::fs::write(&own, "shorter").unwrap();
        assert!(Source::mapped(&stored, DType::F32).is_none());
        let error = stored.tensor().unwrap_err().to_string();
        assert!(error.contains("has changed"), "{error}");
        let table = Weight::stored(Arc::new(stored), (1, 2), DType::F32);
        let ids = Tensor::new(&[0u32], &Device::Cpu)?;
        let error = table.look_up(&ids).unwrap_err().to_string();
        assert!(error.contains("has changed"), "{error}");
        Ok(())
    }

    #[test]
    fn a_model_like_bert_leaves_its_weights_in_the_file() -> Result<()> {
        let bundled = bundled::mini();
        let tensors = gguf::read(bundled.weights)?;
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        write("config.json", bundled.config.as_bytes());
        write("tokenizer.json", bundled.tokenizer);
        write("model.safetensors", &encode(&tensors, None)?);
        let own = Model::from_folder("own", folder.path(), DType::F32, &Device::Cpu)?;
        let mini = Model::mini(DType::F32, &Device::Cpu)?;
        assert_eq!((own.id(), own.key()), (mini.id(), mini.key()));
        let texts = [Text::Single("a soup of soups"), Text::Single("salt")];
        let states = |model: &Model| model.embed(&texts)?.to_vec2::<f32>().map_err(Error::from);
        assert_eq!(states(&own)?, states(&mini)?);
        let kept = |model: &Model| {
            let map = model.0.encoder.map(0, LinearSite::Query).unwrap();
            [model.words().is_kept(), map.weight().is_kept()]
        };
        assert_eq!((kept(&own), kept(&mini)), ([false; 2], [true; 2]));
        Ok(())
    }
}
