//! Safetensors with deterministic bytes, written tensor by tensor.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use candle_core::Tensor;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::study::files::write_whole;
use crate::{Error, Result, bail};

use super::number::Number;

/// A tensor that is to be written: its shape is known, itself it is made when its turn comes,
/// perhaps beside others.
pub struct Planned<'a> {
    /// Its name in the file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type that its numbers are written in.
    pub number: Number,
    /// Makes it.
    pub make: Box<dyn Fn() -> Result<Tensor> + Sync + 'a>,
}

impl<'a> Planned<'a> {
    /// A tensor that is there already.
    pub fn ready(name: String, tensor: Tensor) -> Self {
        Self {
            name,
            shape: tensor.dims().to_vec(),
            number: Number::F32,
            make: Box::new(move || Ok(tensor.clone())),
        }
    }

    /// One that `make` makes, in single precision.
    pub fn new(
        name: String,
        shape: Vec<usize>,
        make: impl Fn() -> Result<Tensor> + Sync + 'a,
    ) -> Self {
        Self {
            name,
            shape,
            number: Number::F32,
            make: Box::new(make),
        }
    }

    fn streamed(self) -> Streamed<'a> {
        let Self {
            name,
            shape,
            number,
            make,
        } = self;
        let size = number.size() * shape.iter().product::<usize>();
        let (own, expected) = (name.clone(), shape.clone());
        let bytes = move || {
            let made = make()?;
            if made.dims() != expected {
                bail!(
                    "tensor {own} has shape {:?}, expected {expected:?}",
                    made.dims()
                );
            }
            let made = super::to_f32(&made).map_err(|e| e.within(format!("tensor {own}")))?;
            crate::adapter::with_values(&made, |values| number.encode(values))?
                .map_err(|e| e.within(format!("tensor {own}")))
        };
        Streamed {
            name,
            shape,
            number,
            parts: vec![Part {
                size,
                make: Box::new(bytes),
            }],
        }
    }
}

/// A tensor that is to be written as numbers of any type, part after part.
pub struct Streamed<'a> {
    /// Its name in the file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type of its numbers.
    pub number: Number,
    /// The bytes of its numbers in order.
    pub parts: Vec<Part<'a>>,
}

/// Bytes of a tensor, made when their turn comes, perhaps beside others.
pub struct Part<'a> {
    /// How many they are.
    pub size: usize,
    /// Makes them.
    pub make: Box<dyn Fn() -> Result<Vec<u8>> + Sync + 'a>,
}

/// Writes a safetensors file with these tensors, whole or not at all. `metadata` is at most
/// one entry, since the format's map of metadata has no order.
pub fn write(
    path: &Path,
    tensors: Vec<Planned<'_>>,
    metadata: Option<(&str, String)>,
) -> Result<()> {
    let tensors = tensors.into_iter().map(Planned::streamed).collect();
    write_streamed(path, tensors, metadata)
}

/// The same of tensors of any type.
pub fn write_streamed(
    path: &Path,
    tensors: Vec<Streamed<'_>>,
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
        .map(|(n, t)| Planned::ready(n.clone(), t.clone()).streamed());
    write_to(&mut bytes, planned.collect(), metadata)?;
    Ok(bytes)
}

/// Bytes that are made at once, unless a single part has more.
const AHEAD: usize = 8 << 20;

fn write_to(
    mut out: &mut (dyn Write + Send),
    mut tensors: Vec<Streamed<'_>>,
    metadata: Option<(&str, String)>,
) -> Result<()> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let head = head(&tensors, metadata)?;
    out.write_all(&(head.len() as u64).to_le_bytes())
        .and_then(|()| out.write_all(&head))
        .map_err(|e| unwritten(&e))?;
    // While some parts are written the next are made.
    let parts: Vec<&Part<'_>> = tensors.iter().flat_map(|t| &t.parts).collect();
    let mut made: Vec<Vec<u8>> = Vec::new();
    for window in windows(&parts) {
        let (written, next) = rayon::join(|| put(&mut out, &made), || make(window));
        written?;
        made = next?;
    }
    put(&mut out, &made)
}

/// How many bytes the file of these tensors has, in any order of theirs.
pub fn size(tensors: &[Streamed<'_>], metadata: Option<(&str, String)>) -> Result<usize> {
    let mut sorted: Vec<&Streamed<'_>> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let numbers: usize = sorted.iter().flat_map(|t| &t.parts).map(|p| p.size).sum();
    Ok(8 + head(sorted, metadata)?.len() + numbers)
}

/// What stands before the numbers, behind its own length.
fn head<'a, 'b: 'a>(
    tensors: impl IntoIterator<Item = &'a Streamed<'b>>,
    metadata: Option<(&str, String)>,
) -> Result<Vec<u8>> {
    let mut head = Map::new();
    if let Some((key, value)) = metadata {
        head.insert("__metadata__".into(), json!({key: value}));
    }
    let mut at = 0;
    for tensor in tensors {
        let size: usize = tensor.parts.iter().map(|p| p.size).sum();
        let entry = json!({
            "dtype": tensor.number.name(),
            "shape": tensor.shape,
            "data_offsets": [at, at + size],
        });
        if head.insert(tensor.name.clone(), entry).is_some() {
            bail!("two tensors are called {}", tensor.name);
        }
        at += size;
    }
    let mut head = Value::Object(head).to_string().into_bytes();
    // The format asks for numbers at multiples of eight.
    head.resize(head.len().next_multiple_of(8), b' ');
    Ok(head)
}

fn put(out: &mut (dyn Write + Send), made: &[Vec<u8>]) -> Result<()> {
    made.iter()
        .try_for_each(|bytes| out.write_all(bytes))
        .map_err(|e| unwritten(&e))
}

fn make(parts: &[&Part<'_>]) -> Result<Vec<Vec<u8>>> {
    let one = |part: &&Part<'_>| {
        let bytes = (part.make)()?;
        match bytes.len() == part.size {
            true => Ok(bytes),
            false => bail!("{} bytes of a tensor, expected {}", bytes.len(), part.size),
        }
    };
    parts.par_iter().map(one).collect()
}

/// Runs of parts of [`AHEAD`] bytes at most, or of one part.
fn windows<'a, 'b>(parts: &'a [&'b Part<'b>]) -> Vec<&'a [&'b Part<'b>]> {
    let largest = parts.iter().map(|p| p.size).max().unwrap_or(0);
    let most = largest.max(AHEAD);
    let (mut all, mut start, mut size) = (Vec::new(), 0, 0);
    for (i, part) in parts.iter().enumerate() {
        if size + part.size > most && i > start {
            all.push(&parts[start..i]);
            (start, size) = (i, 0);
        }
        size += part.size;
    }
    if start < parts.len() {
        all.push(&parts[start..]);
    }
    all
}

fn unwritten(error: &std::io::Error) -> Error {
    Error::new(format!("tensors could not be written: {error}"))
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
        let broken = |shape: usize| {
            Planned::new("a".into(), vec![shape], || {
                Ok(Tensor::new(&[1f32], &Device::Cpu)?)
            })
        };
        let error = write(&path, vec![broken(2)], None).unwrap_err();
        assert!(error.to_string().contains("expected [2]"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        write(&path, vec![broken(1)], None).unwrap();
        assert_eq!(read(&path).unwrap()["a"].dims(), [1]);
    }
}
