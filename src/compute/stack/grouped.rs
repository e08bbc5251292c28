//! Adapters of one form side by side, each on its own share of a batch.

use super::parts::{Bottleneck, LowRank, Parts, Place};
use super::site::{LinearSite, SublayerSite};
use crate::{Result, bail};
use candle_core::{D, Tensor};
use std::collections::BTreeMap;

/// Adapters whose parts have the same sites and shapes. A batch holds as many shares of the same
/// size, one after the other; what an adapter does is one product for all shares, in groups. By
/// candle's operations, on any device, without gradients.
#[derive(Debug)]
pub struct Grouped {
    /// `[adapters, values]`.
    values: Tensor,
    linears: BTreeMap<(usize, LinearSite), LowRank>,
    sublayers: BTreeMap<(usize, SublayerSite), Bottleneck>,
}

impl Grouped {
    /// None where the adapters are not of one form, or there is nothing in them.
    pub fn new(adapters: &[Parts]) -> Result<Option<Self>> {
        let Some(first) = adapters.first() else {
            return Ok(None);
        };
        let alike = |p: &Parts| p.linears == first.linears && p.sublayers == first.sublayers;
        if !adapters.iter().all(alike) {
            return Ok(None);
        }
        let values = adapters
            .iter()
            .map(Parts::values)
            .collect::<Result<Option<Vec<_>>>>()?;
        Ok(match values {
            None => None,
            Some(values) => Some(Self {
                values: Tensor::stack(&values, 0)?,
                linears: first.linears.clone(),
                sublayers: first.sublayers.clone(),
            }),
        })
    }

    /// The number of adapters.
    pub fn adapters(&self) -> usize {
        self.values.dims().first().copied().unwrap_or(0)
    }

    /// The output of the linear maps `sites`, which a map computes side by side, from the frozen
    /// output `y` for `x`.
    pub fn linear(
        &self,
        layer: usize,
        sites: &[LinearSite],
        x: &Tensor,
        y: Tensor,
    ) -> Result<Tensor> {
        let parts: Vec<_> = sites
            .iter()
            .map(|site| self.linears.get(&(layer, *site)))
            .collect();
        if parts.iter().all(Option::is_none) {
            return Ok(y);
        }
        let mut shape = y.dims().to_vec();
        if let Some(width) = shape.last_mut() {
            *width /= sites.len();
        }
        let changes = parts.into_iter().map(|part| match part {
            None => Ok(Tensor::zeros(&shape[..], y.dtype(), y.device())?),
            Some(part) => {
                let inner = self.product(x, &part.a, None)?;
                Ok((self.product(&inner, &part.b, None)? * part.scale)?)
            }
        });
        let changes = changes.collect::<Result<Vec<_>>>()?;
        Ok((y + Tensor::cat(&changes, D::Minus1)?)?)
    }

    /// The end of a sublayer, as [`Sites::sublayer`](crate::model::Sites::sublayer); `join` is how
    /// the frozen block joins two states.
    pub fn sublayer(
        &self,
        layer: usize,
        site: SublayerSite,
        (f, x): (&Tensor, &Tensor),
        join: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Some(part) = self.sublayers.get(&(layer, site)) else {
            return join(f, x);
        };
        let how = part.join;
        let up = |z: &Tensor| -> Result<Tensor> {
            let inner = self.product(z, &part.down, Some(&part.down_bias))?;
            let inner = how.activation.apply(&inner)?;
            let up = self.product(&inner, &part.up, Some(&part.up_bias))?;
            Ok((up * how.scaling)?)
        };
        let o = if how.parallel {
            (up(x)? + f)?
        } else {
            let h = match how.norm_before {
                true => join(f, x)?,
                false => f.clone(),
            };
            let residual = if how.residual_before_norm { f } else { &h };
            (up(&h)? + residual)?
        };
        match (how.norm_after, how.parallel) {
            (true, _) => join(&o, x),
            (false, true) => Ok((o + x)?),
            (false, false) => Ok(o),
        }
    }

    /// `x W^T + b` with each adapter's own `W` and `b` for its share of `x`.
    fn product(&self, x: &Tensor, weight: &Place, bias: Option<&Place>) -> Result<Tensor> {
        let groups = self.adapters();
        let dims = x.dims();
        let [batch, .., width] = dims else {
            bail!("states of shape {dims:?}, expected a batch of rows");
        };
        if batch % groups != 0 || *width != weight.columns {
            bail!(
                "states of shape {dims:?} for {groups} adapters of width {}",
                weight.columns
            );
        }
        let of = |place: &Place| {
            let own = self.values.narrow(1, place.at.start, place.at.len())?;
            own.reshape((groups, place.rows, place.columns))
        };
        let rows = x.elem_count() / width / groups;
        let x = x.reshape((groups, rows, *width))?;
        let mut y = x.matmul(&of(weight)?.transpose(1, 2)?)?;
        if let Some(bias) = bias {
            y = y.broadcast_add(&of(bias)?)?;
        }
        let mut shape = dims.to_vec();
        if let Some(last) = shape.last_mut() {
            *last = weight.rows;
        }
        Ok(y.reshape(shape)?)
    }
}
