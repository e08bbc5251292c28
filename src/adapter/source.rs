//! An adapter's tensors, in files or made by a recipe, one by one.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use candle_core::Tensor;

use crate::tensorfile::{self, Number, TensorFile, quantised};
use crate::{Error, Result, bail};

use super::check;
use super::metadata::Precision;
use super::tensors::{Name, Tensors};

/// The shapes of tensors by canonical name, in natural order.
pub type Shapes = BTreeMap<Name, Vec<usize>>;

/// Files with more bytes of tensors than this are not held in memory.
pub const LARGE: usize = 128 << 20;

/// Tensors in files, read one by one as f32 when they are needed.
pub struct FileTensors {
    files: Vec<TensorFile>,
    /// Which file, and the name there.
    places: BTreeMap<Name, (usize, String)>,
    shapes: Shapes,
}

impl fmt::Debug for FileTensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.files).finish()
    }
}

impl FileTensors {
    /// The tensors of files that `name` gives a name to; an error where it gives one to two.
    pub fn new(
        files: Vec<TensorFile>,
        name: impl Fn(&str) -> Result<Option<Name>>,
    ) -> Result<Self> {
        let (mut places, mut shapes) = (BTreeMap::new(), Shapes::new());
        for (i, file) in files.iter().enumerate() {
            let of_weights = |full: &str| matches!(name(full), Ok(Some(_)));
            quantised::refuse(None, &[file], of_weights)?;
            for (full, shape) in file.shapes() {
                let within = |e: Error| e.within(file.path().display());
                let Some(own) = name(full).map_err(within)? else {
                    continue;
                };
                if shape.contains(&0) {
                    return Err(within(Error::new(format!(
                        "tensor {full} has shape {shape:?}, which holds nothing: it was saved from one rank of ZeRO-3 or FSDP, which had a part of the weights"
                    )))
                    .hint("gather the weights before they are saved: stage3_gather_16bit_weights_on_model_save of DeepSpeed, a full state dict of FSDP"));
                }
                shapes.insert(own.clone(), shape.to_vec());
                if places.insert(own.clone(), (i, full.clone())).is_some() {
                    bail!("{}: two tensors mean {own}", file.path().display());
                }
            }
        }
        Ok(Self {
            files,
            places,
            shapes,
        })
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.shapes.keys()
    }

    /// Names and shapes.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// The name of a tensor in its file; its own where there is none.
    pub fn full<'a>(&'a self, name: &'a Name) -> &'a str {
        self.places
            .get(name)
            .map_or(name.as_str(), |(_, full)| full)
    }

    /// The types of the tensors' numbers.
    pub fn types(&self) -> BTreeMap<String, Precision> {
        let own = self.places.iter();
        own.filter_map(|(name, (file, full))| {
            let number = self.files[*file].number(full)?;
            Some((name.to_string(), Precision::of(number)))
        })
        .collect()
    }

    /// Bytes of all tensors as f32.
    pub fn size(&self) -> usize {
        let count = |shape: &Vec<usize>| shape.iter().product::<usize>();
        4 * self.shapes.values().map(count).sum::<usize>()
    }

    /// Gives every tensor another name; an error where two would have the same.
    pub fn rename(&mut self, name: impl Fn(&Name) -> Name) -> Result<()> {
        let mut places = BTreeMap::new();
        for (old, place) in &self.places {
            let new = name(old);
            if places.insert(new.clone(), place.clone()).is_some() {
                let path = self.files[place.0].path().display();
                bail!("{path}: two tensors mean {new}");
            }
        }
        let shapes = std::mem::take(&mut self.shapes);
        self.places = places;
        self.shapes = shapes.into_iter().map(|(old, s)| (name(&old), s)).collect();
        Ok(())
    }

    /// Takes tensors out under the name that `name` gives them, and reads them.
    pub fn take(&mut self, name: impl Fn(&Name) -> Option<Name>) -> Result<Tensors> {
        let mut taken = Tensors::new();
        let names: Vec<Name> = self.names().cloned().collect();
        for own in names {
            if let Some(new) = name(&own) {
                taken.insert(new, self.get(&own)?);
                self.places.remove(&own);
                self.shapes.remove(&own);
            }
        }
        Ok(taken)
    }

    /// A tensor, read now; an error that names the first NaN or infinite value.
    pub fn get(&self, name: &Name) -> Result<Tensor> {
        let Some((file, full)) = self.places.get(name) else {
            bail!("there is no tensor {name}");
        };
        let file = &self.files[*file];
        let within = |e: Error| e.within(format!("tensor {name}"));
        let tensor = tensorfile::to_f32(&file.get(full)?)
            .map_err(|e| within(e).within(file.path().display()))?;
        check::finite_tensor(name, &tensor).map_err(|e| e.within(file.path().display()))?;
        Ok(tensor)
    }

    /// Reads the bytes of a tensor's numbers at these places into `buffer`; their type. Unlike
    /// [`Self::get`] it lets NaN and infinities pass.
    pub fn read_into(
        &self,
        name: &Name,
        part: Range<usize>,
        buffer: &mut Vec<u8>,
    ) -> Result<Number> {
        match self.places.get(name) {
            Some((file, full)) => self.files[*file].read_into(full, part, buffer),
            None => bail!("there is no tensor {name}"),
        }
    }

    /// All tensors.
    pub fn all(&self) -> Result<Tensors> {
        let one = |name: &Name| Ok((name.clone(), self.get(name)?));
        self.names().map(one).collect()
    }
}

/// Where an adapter's tensors come from when they are needed.
#[derive(Debug, Clone)]
pub enum Source {
    /// Held in memory.
    Ready(Tensors),
    /// Left in their files.
    Files(std::sync::Arc<FileTensors>),
}

impl Source {
    /// Reads the tensors, or leaves large ones where they are.
    pub fn of(files: FileTensors) -> Result<Self> {
        match files.size() > LARGE {
            true => Ok(Self::Files(files.into())),
            false => files.all().map(Self::Ready),
        }
    }

    /// Feeds names, shapes and little-endian values to `sink`, tensor by tensor.
    pub fn content(&self, mut sink: impl FnMut(&[u8])) -> Result<()> {
        let mut one = |name: &Name, tensor: &Tensor| -> Result<()> {
            sink(name.as_str().as_bytes());
            sink(format!("{:?}", tensor.dims()).as_bytes());
            for values in tensor.flatten_all()?.to_vec1::<f32>()?.chunks(1 << 16) {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                sink(&bytes);
            }
            Ok(())
        };
        match self {
            Self::Ready(tensors) => tensors.iter().try_for_each(|(n, t)| one(n, t)),
            Self::Files(files) => files.names().try_for_each(|n| one(n, &files.get(n)?)),
        }
    }
}
