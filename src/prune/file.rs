//! Masks as safetensors files: a U8 tensor of ones and zeros for each masked tensor.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View};

use super::Mask;
use super::bits::Bits;
use crate::adapter::Name;
use crate::study::files::write_atomic;
use crate::{Error, Result};

/// The header's one key; its value is one JSON text, so that the bytes are the same every time.
const KEY: &str = "tureen";

/// A tensor of ones and zeros, made when it is written.
struct Entries<'a>(&'a Bits);

impl View for Entries<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::U8
    }

    fn shape(&self) -> &[usize] {
        self.0.dims()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.iter().map(u8::from).collect()
    }

    fn data_len(&self) -> usize {
        self.0.dims().iter().product()
    }
}

impl Mask {
    /// The mask as a safetensors file's bytes; equal masks give equal bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let tensors = self.bits().iter();
        let header = serde_json::json!({ "value": "mask", "version": 1 }).to_string();
        safetensors::serialize(
            tensors.map(|(name, bits)| (name.as_str(), Entries(bits))),
            Some(HashMap::from([(KEY.to_string(), header)])),
        )
        .map_err(|error| Error::new(format!("cannot write the mask: {error}")))
    }

    /// The mask in a safetensors file's bytes: every tensor U8 or BOOL, every entry 0 or 1.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        crate::tensorfile::head(bytes)?;
        let file = SafeTensors::deserialize(bytes)
            .map_err(|error| Error::new(format!("not a safetensors file: {error}")))?;
        let mut masks = Vec::new();
        for (name, view) in file.tensors() {
            if !matches!(view.dtype(), Dtype::U8 | Dtype::BOOL) {
                let error = Error::new(format!(
                    "`{name}` is {}, a mask's tensors are U8",
                    view.dtype()
                ));
                return Err(error.hint("that of a saved adapter is load_adapter(folder).mask"));
            }
            if let Some(index) = view.data().iter().position(|entry| *entry > 1) {
                return Err(Error::new(format!(
                    "`{name}` is {} at entry {index}, a mask's entries are 0 or 1",
                    view.data()[index]
                )));
            }
            let bits = Bits::new(view.shape(), view.data(), |entry| entry == 1);
            masks.push((Name::new(name), bits));
        }
        Ok(Self::from_bits(masks))
    }

    /// Writes the mask to a safetensors file, tensors under their own names.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic(path, &self.to_bytes()?)
    }

    /// Reads the mask that [`Self::save`] wrote.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = crate::input::read(path)?;
        Self::from_bytes(&bytes).map_err(|error| error.within(path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{Selection, Tensors};
    use candle_core::{Device, Tensor};

    fn mask() -> Mask {
        let tensor = |n: usize| {
            let values: Vec<f32> = (0..n).map(|i| (i % 3) as f32).collect();
            Tensor::from_vec(values, (1, n), &Device::Cpu).unwrap()
        };
        let tensors: Tensors = (1..12)
            .map(|i| (Name::new(format!("layer.{i}.weight")), tensor(i * 11)))
            .collect();
        Mask::of(&tensors, &Selection::All).unwrap()
    }

    #[test]
    fn a_mask_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.safetensors");
        mask().save(&path).unwrap();
        assert_eq!(Mask::load(&path).unwrap(), mask());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, mask().to_bytes().unwrap());
        let read = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        assert_eq!(
            read["layer.1.weight"].to_vec2::<u8>().unwrap(),
            [[0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1]]
        );
    }

    #[test]
    fn other_files_are_refused_with_their_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.safetensors");
        let message = || Mask::load(&path).unwrap_err().to_string();
        assert!(message().starts_with(&path.display().to_string()));
        std::fs::write(&path, "no").unwrap();
        assert!(message().contains("the file ends early"), "{}", message());
        let write = |tensor: Tensor| tensor.save_safetensors("w", &path).unwrap();
        write(Tensor::new(&[1f32], &Device::Cpu).unwrap());
        assert!(
            message().contains("`w` is F32, a mask's tensors are U8; that of a saved adapter"),
            "{}",
            message()
        );
        write(Tensor::new(&[1u8, 0, 2], &Device::Cpu).unwrap());
        assert!(
            message().ends_with("`w` is 2 at entry 2, a mask's entries are 0 or 1"),
            "{}",
            message()
        );
    }
}
