//! Named weights of a base model, looked up with their shapes checked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::compute::{FrozenLinear, Weight};
use crate::tensorfile::quantised::ADVICE;
use crate::tensorfile::to_f32;
use crate::{Error, Result, bail};

use super::identity::Hashes;
use super::norm::Norm;
use super::stored::Stored;

/// The weights of a base model by name, all of one type on one device.
pub struct Weights {
    tensors: BTreeMap<String, Stored>,
    prefix: &'static str,
    origin: PathBuf,
    dtype: DType,
    device: Device,
    /// The full names of tensors that were asked for.
    used: RefCell<BTreeSet<String>>,
}

impl Weights {
    /// Wraps tensors as read from `origin`. A model-type prefix (`bert.`), which task models
    /// carry and bare ones do not, is recognised. Weights are used as `dtype` on `device`.
    pub fn new(
        mut tensors: BTreeMap<String, Stored>,
        prefix: &'static str,
        origin: &Path,
        dtype: DType,
        device: &Device,
    ) -> Self {
        // Checkpoints of the first years say gamma and beta.
        let old: Vec<String> = tensors
            .keys()
            .filter(|k| k.ends_with("LayerNorm.gamma") || k.ends_with("LayerNorm.beta"))
            .cloned()
            .collect();
        for name in old {
            if let Some(tensor) = tensors.remove(&name) {
                let new = name.replace(".gamma", ".weight").replace(".beta", ".bias");
                tensors.insert(new, tensor);
            }
        }
        let prefixed = tensors.keys().any(|k| k.starts_with(prefix));
        Self {
            tensors,
            prefix: if prefixed { prefix } else { "" },
            origin: origin.to_path_buf(),
            dtype,
            device: device.clone(),
            used: RefCell::default(),
        }
    }

    /// The type weights are used as.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where they are used.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether there is a tensor `name` (without the model prefix; one that begins with a dot is of
    /// what stands beside the base in a task model).
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&self.full(name))
    }

    fn full(&self, name: &str) -> String {
        match name.strip_prefix('.') {
            Some(beside) => beside.to_string(),
            None => format!("{}{name}", self.prefix),
        }
    }

    /// The tensors that nobody has asked for, by full name.
    pub fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let all = self.tensors.keys();
        all.filter(|name| !used.contains(*name)).cloned().collect()
    }

    /// The tensors of a classifier's head beside the base, by full name, as f32.
    pub fn classifier(&self) -> Result<BTreeMap<String, Tensor>> {
        let heads = ["classifier.", "pre_classifier.", "score."];
        let own = |name: &&String| heads.iter().any(|head| name.starts_with(head));
        let mut found = BTreeMap::new();
        for name in self.tensors.keys().filter(own) {
            let tensor = &self.tensors[name];
            self.check_floats(name, tensor)?;
            self.used.borrow_mut().insert(name.clone());
            found.insert(name.clone(), to_f32(&tensor.tensor()?)?);
        }
        Ok(found)
    }

    /// The tensor `name`, as [`Self::has`] reads it, which must have this shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.find(name, shape)?.tensor()?;
        Ok(tensor.to_dtype(self.dtype)?.to_device(&self.device)?)
    }

    /// The same of a matrix, which stays in its file where it is used on the CPU.
    pub fn matrix(&self, name: &str, (rows, width): (usize, usize)) -> Result<Weight> {
        let stored = self.find(name, &[rows, width])?;
        match stored {
            Stored::File(..) if self.device.is_cpu() => {
                let source = Arc::new(stored.clone());
                Ok(Weight::stored(source, (rows, width), self.dtype))
            }
            _ => Weight::new(&self.get(name, &[rows, width])?),
        }
    }

    /// An error if the tensor holds whole numbers, which are codes of something.
    fn check_floats(&self, full: &str, tensor: &Stored) -> Result<()> {
        match tensor.whole_numbers() {
            None => Ok(()),
            Some(number) => Err(Error::new(format!(
                "{}: tensor {full} holds whole numbers ({number}), expected weights",
                self.origin.display()
            ))
            .hint(ADVICE)),
        }
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&Stored> {
        let full = self.full(name);
        let Some(tensor) = self.tensors.get(&full) else {
            bail!("{}: tensor {full} is missing", self.origin.display());
        };
        if tensor.dims() != shape {
            bail!(
                "{}: tensor {full} has shape {:?}, expected {shape:?}",
                self.origin.display(),
                tensor.dims()
            );
        }
        self.check_floats(&full, tensor)?;
        self.used.borrow_mut().insert(full);
        Ok(tensor)
    }

    /// The linear map under `name`: `weight` `[out, in]` and `bias` `[out]`.
    pub fn linear(&self, name: &str, input: usize, output: usize) -> Result<FrozenLinear> {
        self.linear_with(name, (input, output), true)
    }

    /// The same, perhaps without a bias.
    pub fn linear_with(
        &self,
        name: &str,
        (input, output): (usize, usize),
        bias: bool,
    ) -> Result<FrozenLinear> {
        let weight = self.matrix(&format!("{name}.weight"), (output, input))?;
        let bias = bias.then(|| self.get(&format!("{name}.bias"), &[output]));
        FrozenLinear::of(weight, bias.transpose()?)
    }

    /// The same of a weight stored as `[in, out]`, GPT-2's `Conv1D`.
    pub fn conv1d(&self, name: &str, input: usize, output: usize) -> Result<FrozenLinear> {
        let weight = self.get(&format!("{name}.weight"), &[input, output])?;
        let bias = self.get(&format!("{name}.bias"), &[output])?;
        FrozenLinear::new(weight.t()?, Some(bias))
    }

    /// The layer norm under `name`.
    pub fn norm(&self, name: &str, width: usize, eps: f64) -> Result<Norm> {
        self.norm_with(name, width, eps, true)
    }

    /// The same, perhaps without a bias.
    pub fn norm_with(&self, name: &str, width: usize, eps: f64, bias: bool) -> Result<Norm> {
        let weight = self.get(&format!("{name}.weight"), &[width])?;
        let bias = match bias {
            true => self.get(&format!("{name}.bias"), &[width])?,
            false => weight.zeros_like()?,
        };
        Ok(Norm::new(weight, bias, eps))
    }

    /// The hashes of the tensors that the model computes with, which are those asked for until
    /// now: names without the model prefix, shapes and values as f32, in order. Spelling, file,
    /// type of numbers, buffers and heads do not count. An error for a value that is not finite.
    pub fn hashes(&self) -> Result<Hashes> {
        let used = self.used.borrow();
        let own = |full: &'_ String| full.strip_prefix(self.prefix).unwrap_or(full).to_string();
        let names: BTreeMap<String, &String> = used.iter().map(|full| (own(full), full)).collect();
        let hasher = || blake3::Hasher::new_derive_key("tureen model weights 1");
        let (mut all, mut states, mut pooler) = (hasher(), hasher(), hasher());
        let mut has_pooler = false;
        for (name, full) in names {
            let beside = ["pooler.", "head."]
                .iter()
                .any(|head| name.starts_with(head));
            has_pooler |= beside;
            let part = if beside { &mut pooler } else { &mut states };
            let tensor = &self.tensors[full];
            for hasher in [&mut all, &mut *part] {
                hasher.update(name.as_bytes());
                hasher.update(format!("{:?}", tensor.dims()).as_bytes());
            }
            let mut bytes = Vec::new();
            let mut wrong = None;
            let add = |values: &[f32]| {
                wrong = wrong.or(values.iter().copied().find(|v| !v.is_finite()));
                // Little endian, so that the hash is the same on every machine.
                bytes.clear();
                bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
                all.update_rayon(&bytes);
                part.update_rayon(&bytes);
            };
            tensor
                .each_part(add)
                .map_err(|e| e.within(self.origin.display()))?;
            if let Some(value) = wrong {
                bail!("{}: tensor {full} holds {value}", self.origin.display());
            }
        }
        let short = |hasher: blake3::Hasher| hasher.finalize().to_hex()[..32].to_string();
        Ok(Hashes {
            all: short(all),
            states: short(states),
            pooler: has_pooler.then(|| short(pooler)),
        })
    }
}
