//! What an adapter does in the blocks of a stack.

use super::super::activation::Activation;
use super::super::matrix::{Mat, MatMut};
use super::site::{LinearSite, SublayerSite};
use crate::{Result, bail};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::ops::Range;

/// The parts of an adapter, each at a site of a block, with all their tensors.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    tensors: Vec<Tensor>,
    /// Values in all tensors.
    len: usize,
    pub(super) linears: BTreeMap<(usize, LinearSite), LowRank>,
    pub(super) sublayers: BTreeMap<(usize, SublayerSite), Bottleneck>,
}

/// A matrix inside the values of all tensors.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub rows: usize,
    pub columns: usize,
    pub at: Range<usize>,
}

impl Place {
    /// The matrix among the values of all tensors.
    pub fn of<'a, T>(&self, values: &'a [T]) -> Mat<'a, T> {
        Mat::new(&values[self.at.clone()], self.columns)
    }

    /// The same, to write.
    pub fn of_mut<'a, T>(&self, values: &'a mut [T]) -> MatMut<'a, T> {
        MatMut::new(&mut values[self.at.clone()], self.columns)
    }
}

/// `y + scale * (x A^T) B^T` at a linear map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LowRank {
    pub a: Place,
    pub b: Place,
    pub scale: f64,
}

/// How a bottleneck's output joins its sublayer's, in the terms of AdapterHub's configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Join {
    /// The function between the two maps.
    pub activation: Activation,
    /// The adapter reads the layer norm of the sublayer's output and its input.
    pub norm_before: bool,
    /// The layer norm is applied to the adapter's output and the sublayer's input.
    pub norm_after: bool,
    /// The adapter's output is added to the sublayer's output rather than to what it read.
    pub residual_before_norm: bool,
    /// The adapter reads the sublayer's input; the two settings before do not apply then.
    pub parallel: bool,
    /// Factor on the adapter's output.
    pub scaling: f64,
}

/// A bottleneck at the end of a sublayer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bottleneck {
    pub down: Place,
    pub down_bias: Place,
    pub up: Place,
    pub up_bias: Place,
    pub join: Join,
}

/// Where in a pass through the blocks something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Attend,
    AttentionOutput,
    AttentionEnd,
    Intermediate,
    Output,
    End,
}

impl Parts {
    /// Adds a low-rank change of a linear map: `a` `[rank, in]`, `b` `[out, rank]`.
    pub fn low_rank(
        &mut self,
        layer: usize,
        site: LinearSite,
        a: &Tensor,
        b: &Tensor,
        scale: f64,
    ) -> Result<()> {
        if a.dims2()?.0 != b.dims2()?.1 {
            bail!("LoRA: A {:?} does not fit B {:?}", a.dims(), b.dims());
        }
        let (a, b) = (self.place(a)?, self.place(b)?);
        self.linears.insert((layer, site), LowRank { a, b, scale });
        Ok(())
    }

    /// Adds a bottleneck at the end of a sublayer: `down` `[width, hidden]` and `up`
    /// `[hidden, width]`, each with its bias.
    pub fn bottleneck(
        &mut self,
        layer: usize,
        site: SublayerSite,
        down: (&Tensor, &Tensor),
        up: (&Tensor, &Tensor),
        join: Join,
    ) -> Result<()> {
        if !join.activation.has_kernel() {
            bail!("bottleneck: there is no kernel for {}", join.activation);
        }
        let ((width, hidden), (out, inner)) = (down.0.dims2()?, up.0.dims2()?);
        if out != hidden || inner != width || down.1.dims() != [width] || up.1.dims() != [out] {
            bail!(
                "bottleneck: shapes {:?}, {:?}, {:?}, {:?} do not fit",
                down.0.dims(),
                down.1.dims(),
                up.0.dims(),
                up.1.dims()
            );
        }
        let part = Bottleneck {
            down: self.place(down.0)?,
            down_bias: self.place(down.1)?,
            up: self.place(up.0)?,
            up_bias: self.place(up.1)?,
            join,
        };
        self.sublayers.insert((layer, site), part);
        Ok(())
    }

    fn place(&mut self, tensor: &Tensor) -> Result<Place> {
        let (rows, columns) = match tensor.dims() {
            [columns] => (1, *columns),
            _ => tensor.dims2()?,
        };
        let at = self.len..self.len + rows * columns;
        self.len = at.end;
        self.tensors.push(tensor.clone());
        Ok(Place { rows, columns, at })
    }

    /// The values of all tensors, one after the other; none where there are no tensors.
    pub(super) fn values(&self) -> Result<Option<Tensor>> {
        let flat = self.tensors.iter().map(Tensor::flatten_all);
        let flat = flat.collect::<candle_core::Result<Vec<_>>>()?;
        match flat.is_empty() {
            true => Ok(None),
            false => Ok(Some(Tensor::cat(&flat, 0)?.contiguous()?)),
        }
    }

    /// Checks that every part fits the blocks of a stack, of which a linear map has the widths
    /// that `widths` gives.
    pub(super) fn check(
        &self,
        layers: usize,
        widths: impl Fn(LinearSite) -> (usize, usize),
    ) -> Result<()> {
        for ((layer, site), part) in &self.linears {
            if *layer >= layers || (part.a.columns, part.b.rows) != widths(*site) {
                bail!(
                    "LoRA: no map of that shape at {} of layer {layer}",
                    site.path()
                );
            }
        }
        let (_, hidden) = widths(LinearSite::Output);
        for ((layer, site), part) in &self.sublayers {
            if *layer >= layers || part.down.columns != hidden {
                bail!(
                    "bottleneck: no states of that width at {} of layer {layer}",
                    site.path()
                );
            }
        }
        Ok(())
    }

    /// The number of values in all tensors.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the first part acts in a pass; none where there are no parts.
    pub(super) fn first(&self) -> Option<(usize, Stage)> {
        let linears = self.linears.keys().map(|(layer, site)| {
            let stage = match site {
                LinearSite::Query | LinearSite::Key | LinearSite::Value => Stage::Attend,
                LinearSite::AttentionOutput => Stage::AttentionOutput,
                LinearSite::Intermediate => Stage::Intermediate,
                LinearSite::Output => Stage::Output,
            };
            (*layer, stage)
        });
        let sublayers = self.sublayers.keys().map(|(layer, site)| {
            let stage = match site {
                SublayerSite::Attention => Stage::AttentionEnd,
                SublayerSite::FeedForward => Stage::End,
            };
            (*layer, stage)
        });
        linears.chain(sublayers).min()
    }
}
