//! AdamW (Loshchilov and Hutter 2019) with a global gradient norm bound and exact masks.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};

use crate::adapter::{Name, Tensors};
use crate::prune::Mask;
use crate::{Error, Result, bail};

/// The settings of AdamW; the defaults are torch's.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub eps: f64,
    /// Decoupled weight decay, on every trained tensor.
    pub weight_decay: f64,
    /// Bound on the norm of all gradients together; none leaves them as they are.
    pub max_norm: Option<f64>,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            max_norm: None,
        }
    }
}

/// The state of AdamW over named variables.
pub struct AdamW {
    options: AdamWOptions,
    slots: BTreeMap<Name, Slot>,
    step: i32,
}

struct Slot {
    var: Var,
    values: Vec<f64>,
    mean: Vec<f64>,
    square: Vec<f64>,
    /// Which entries may be other than zero; none means all.
    kept: Option<Vec<bool>>,
    /// The sum of -w dL/dw over the steps, where it is asked for.
    moved: Option<Vec<f64>>,
}

/// What AdamW holds of a variable.
pub(super) struct Held<'a> {
    pub values: &'a [f64],
    pub mean: &'a [f64],
    pub square: &'a [f64],
    pub moved: Option<&'a [f64]>,
}

/// The same of all variables, read back: f64 tensors of one dimension.
pub(super) struct Moments {
    pub values: Tensors,
    pub mean: Tensors,
    pub square: Tensors,
    pub moved: Tensors,
}

impl AdamW {
    /// Optimises these variables. Entries whose mask in `kept` is zero stay exactly zero, whatever
    /// momentum and decay would do.
    pub fn new(vars: &BTreeMap<Name, Var>, kept: &Tensors, options: AdamWOptions) -> Result<Self> {
        let mut slots = BTreeMap::new();
        for (name, var) in vars {
            let mut values = flat(var.as_tensor())?;
            let mask = match kept.get(name) {
                Some(mask) => Some(
                    flat(mask)?
                        .into_iter()
                        .map(|m| m != 0.0)
                        .collect::<Vec<_>>(),
                ),
                None => None,
            };
            if let Some(mask) = &mask {
                for (v, keep) in values.iter_mut().zip(mask) {
                    if !keep {
                        *v = 0.0;
                    }
                }
            }
            let n = values.len();
            let slot = Slot {
                var: var.clone(),
                values,
                mean: vec![0.0; n],
                square: vec![0.0; n],
                kept: mask,
                moved: None,
            };
            slot.publish()?;
            slots.insert(name.clone(), slot);
        }
        Ok(Self {
            options,
            slots,
            step: 0,
        })
    }

    /// From now on sums -w dL/dw of every entry ([`Self::movement`]).
    pub fn follow_movement(&mut self) {
        for slot in self.slots.values_mut() {
            slot.moved = Some(vec![0.0; slot.values.len()]);
        }
    }

    /// The present values of a variable, f32; none where it has no such variable.
    pub fn values(&self, name: &Name) -> Result<Option<Tensor>> {
        self.tensor(name, |slot| Some(&slot.values))
    }

    /// The sum of -w dL/dw since [`Self::follow_movement`], f32; none where it is not followed.
    pub fn movement(&self, name: &Name) -> Result<Option<Tensor>> {
        self.tensor(name, |slot| slot.moved.as_ref())
    }

    fn tensor(
        &self,
        name: &Name,
        of: impl Fn(&Slot) -> Option<&Vec<f64>>,
    ) -> Result<Option<Tensor>> {
        let Some((slot, values)) = self.slots.get(name).and_then(|s| Some((s, of(s)?))) else {
            return Ok(None);
        };
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        let shape = slot.var.as_tensor().shape();
        Ok(Some(Tensor::from_vec(
            values,
            shape,
            &candle_core::Device::Cpu,
        )?))
    }

    /// Sets what the mask does not keep to zero, and keeps it there.
    pub fn restrict(&mut self, mask: &Mask) -> Result<()> {
        for (name, slot) in &mut self.slots {
            let Some(words) = mask.words(name) else {
                continue;
            };
            let kept = slot
                .kept
                .get_or_insert_with(|| vec![true; slot.values.len()]);
            for (i, value) in slot.values.iter_mut().enumerate() {
                kept[i] &= words[i / 64] >> (i % 64) & 1 == 1;
                if !kept[i] {
                    *value = 0.0;
                }
            }
            slot.publish()?;
        }
        Ok(())
    }

    /// All that the following steps depend on, apart from the number of steps so far and what is
    /// kept.
    pub(super) fn moments(&self) -> impl Iterator<Item = (&Name, Held<'_>)> {
        self.slots.iter().map(|(name, slot)| {
            let held = Held {
                values: &slot.values,
                mean: &slot.mean,
                square: &slot.square,
                moved: slot.moved.as_deref(),
            };
            (name, held)
        })
    }

    /// Takes over what another optimizer of the same variables held after `step` steps, when it
    /// kept what `mask` keeps. Where that is not of these variables it is an error, and nothing is
    /// taken over.
    pub(super) fn restore(
        &mut self,
        step: usize,
        moments: &Moments,
        mask: Option<&Mask>,
    ) -> Result<()> {
        let read = |from: &Tensors, name: &Name, n: usize| -> Result<Vec<f64>> {
            match from.get(name) {
                Some(tensor) if tensor.elem_count() == n && tensor.dtype() == DType::F64 => {
                    flat(tensor)
                }
                _ => bail!("it does not have what belongs to {name}"),
            }
        };
        let all = |from: &Tensors| {
            let one = |(name, slot): (&Name, &Slot)| read(from, name, slot.values.len());
            self.slots.iter().map(one).collect::<Result<Vec<_>>>()
        };
        let (values, mean, square) = (
            all(&moments.values)?,
            all(&moments.mean)?,
            all(&moments.square)?,
        );
        let moved = match self.slots.values().any(|slot| slot.moved.is_some()) {
            true => all(&moments.moved)?.into_iter().map(Some).collect(),
            false => vec![None; values.len()],
        };
        for (name, slot) in &self.slots {
            let words = mask.and_then(|mask| mask.words(name));
            if words.is_some_and(|words| words.len() != slot.values.len().div_ceil(64)) {
                bail!("its mask does not belong to {name}");
            }
        }
        let step = i32::try_from(step).map_err(|_| Error::new("it has too many steps"))?;
        if let Some(mask) = mask {
            self.restrict(mask)?;
        }
        self.step = step;
        let read = values.into_iter().zip(mean).zip(square).zip(moved);
        for (slot, (((values, mean), square), moved)) in self.slots.values_mut().zip(read) {
            slot.values = values;
            slot.mean = mean;
            slot.square = square;
            slot.moved = moved;
            slot.publish()?;
        }
        Ok(())
    }

    /// One step with this learning rate. Returns the norm of all gradients before the bound. An
    /// error for gradients that are not finite.
    pub fn step(&mut self, gradients: &BTreeMap<Name, Vec<f64>>, lr: f64) -> Result<f64> {
        let mut total = 0.0;
        for (name, slot) in &self.slots {
            let Some(gradient) = gradients.get(name) else {
                bail!("no gradient reached {name}");
            };
            total += slot.kept_entries(gradient).map(|g| g * g).sum::<f64>();
        }
        let norm = total.sqrt();
        if !norm.is_finite() {
            return Err(
                Error::new(format!("the gradient is {norm} at step {}", self.step + 1))
                    .hint("a smaller lr helps"),
            );
        }
        // torch's clip_grad_norm_ adds 1e-6 to the norm.
        let scale = match self.options.max_norm {
            Some(bound) => (bound / (norm + 1e-6)).min(1.0),
            None => 1.0,
        };
        self.step += 1;
        let o = &self.options;
        let (fix1, fix2) = (1.0 - o.beta1.powi(self.step), 1.0 - o.beta2.powi(self.step));
        for (name, slot) in &mut self.slots {
            let Some(gradient) = gradients.get(name) else {
                continue;
            };
            for (i, g) in gradient.iter().enumerate() {
                if slot.kept.as_ref().is_some_and(|kept| !kept[i]) {
                    continue;
                }
                if let Some(moved) = &mut slot.moved {
                    moved[i] -= slot.values[i] * g;
                }
                let g = g * scale;
                let m = o.beta1 * slot.mean[i] + (1.0 - o.beta1) * g;
                let v = o.beta2 * slot.square[i] + (1.0 - o.beta2) * g * g;
                slot.mean[i] = m;
                slot.square[i] = v;
                let decayed = slot.values[i] * (1.0 - lr * o.weight_decay);
                slot.values[i] = decayed - lr * (m / fix1) / ((v / fix2).sqrt() + o.eps);
            }
            slot.publish()?;
        }
        Ok(norm)
    }
}

impl Slot {
    fn kept_entries<'a>(&'a self, gradient: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        gradient
            .iter()
            .enumerate()
            .filter(|(i, _)| self.kept.as_ref().is_none_or(|kept| kept[*i]))
            .map(|(_, g)| *g)
    }

    /// Gives the variable the current values.
    fn publish(&self) -> Result<()> {
        let var = self.var.as_tensor();
        let tensor = Tensor::from_slice(&self.values, var.shape(), &candle_core::Device::Cpu)?
            .to_dtype(var.dtype())?
            .to_device(var.device())?;
        Ok(self.var.set(&tensor)?)
    }
}

/// The gradients of named variables as plain numbers; zeros where none arrived.
pub fn gradients(
    vars: &BTreeMap<Name, Var>,
    store: &GradStore,
) -> Result<BTreeMap<Name, Vec<f64>>> {
    vars.iter()
        .map(|(name, var)| {
            let gradient = match store.get(var.as_tensor()) {
                Some(g) => flat(g)?,
                None => vec![0.0; var.elem_count()],
            };
            Ok((name.clone(), gradient))
        })
        .collect()
}

fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}
