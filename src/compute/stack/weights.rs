//! The frozen weights of a stack, laid out for its passes.

use super::super::activation::Activation;
use super::super::bf16::Precision;
use super::super::frozen_linear::FrozenLinear;
use super::super::kernel::values;
use super::super::matrix::Mat;
use super::super::packed::Packed;
use super::super::real::Real;
use super::super::weight::Weight;
use crate::{Result, bail};
use candle_core::Tensor;
use once_cell::sync::OnceCell;

/// A linear map, ready for `x W^T` and, once asked for, `g W`.
#[derive(Debug)]
pub struct Linear<T> {
    plain: FrozenLinear,
    forward: Packed<T>,
    backward: OnceCell<Packed<T>>,
    precision: Precision,
    pub bias: Vec<T>,
}

impl<T: Real> Linear<T> {
    fn new(plain: &FrozenLinear, precision: Precision) -> Result<Self> {
        let bias = match plain.bias() {
            Some(bias) => bias.to_vec1()?,
            None => vec![T::zero(); plain.out_width()],
        };
        let weight = plain.weight().read()?;
        let weight = values(&weight);
        let weight = Mat::new(weight.slice::<T>()?, plain.in_width());
        Ok(Self {
            plain: plain.clone(),
            forward: Packed::new(weight.t(), precision),
            backward: OnceCell::new(),
            precision,
            bias,
        })
    }

    pub fn in_width(&self) -> usize {
        self.plain.in_width()
    }

    pub fn out_width(&self) -> usize {
        self.plain.out_width()
    }

    /// W^T, `[in, out]`.
    pub fn forward(&self) -> &Packed<T> {
        &self.forward
    }

    /// W, `[out, in]`.
    pub fn backward(&self) -> candle_core::Result<&Packed<T>> {
        self.backward.get_or_try_init(|| {
            let weight = self.plain.weight().read()?;
            let weight = values(&weight);
            let weight = Mat::new(weight.slice::<T>()?, self.in_width());
            Ok(Packed::new(weight, self.precision))
        })
    }
}

/// A layer norm.
#[derive(Debug)]
pub struct Norm<T> {
    pub weight: Vec<T>,
    pub bias: Vec<T>,
    pub eps: T,
}

/// The maps of one block, from its input on.
pub struct BlockWeights<'a> {
    /// Queries, keys and values side by side.
    pub qkv: &'a FrozenLinear,
    /// After attention.
    pub attention_output: &'a FrozenLinear,
    /// Weight, bias and epsilon of the norm after attention.
    pub attention_norm: (&'a Tensor, &'a Tensor, f64),
    /// Into the feed-forward layer.
    pub intermediate: &'a FrozenLinear,
    /// Inside it.
    pub activation: Activation,
    /// Out of it.
    pub output: &'a FrozenLinear,
    /// Weight, bias and epsilon of the norm after it.
    pub output_norm: (&'a Tensor, &'a Tensor, f64),
}

/// A post-norm block.
#[derive(Debug)]
pub struct Block<T> {
    pub qkv: Linear<T>,
    pub attention_output: Linear<T>,
    pub attention_norm: Norm<T>,
    pub intermediate: Linear<T>,
    pub activation: Activation,
    pub output: Linear<T>,
    pub output_norm: Norm<T>,
}

impl<T: Real> Block<T> {
    pub fn new(weights: &BlockWeights<'_>, precision: Precision) -> Result<Self> {
        Ok(Self {
            qkv: Linear::new(weights.qkv, precision)?,
            attention_output: Linear::new(weights.attention_output, precision)?,
            attention_norm: norm(weights.attention_norm)?,
            intermediate: Linear::new(weights.intermediate, precision)?,
            activation: weights.activation,
            output: Linear::new(weights.output, precision)?,
            output_norm: norm(weights.output_norm)?,
        })
    }
}

/// The tables of learned embeddings and the norm of their sum.
pub struct EmbeddingWeights<'a> {
    /// By token id, `[vocabulary, hidden]`.
    pub words: &'a Weight,
    /// By position, `[positions, hidden]`.
    pub positions: &'a Tensor,
    /// By token type, `[types, hidden]`.
    pub types: &'a Tensor,
    /// Weight, bias and epsilon.
    pub norm: (&'a Tensor, &'a Tensor, f64),
    /// From the embeddings' width to the blocks', where they differ.
    pub projection: Option<&'a FrozenLinear>,
    /// Which position a token has.
    pub order: Order,
}

/// Which position a token has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Its place in the text, from 0.
    #[default]
    Place,
    /// RoBERTa's: counted among the tokens that are not this padding one, from its id + 1; the
    /// padding token itself has its id for a position.
    After(u32),
    /// None: all have the first row of the table, and blocks tell positions.
    Nowhere,
}

impl Order {
    /// The positions of a text's tokens.
    pub fn positions(self, ids: &[u32]) -> Vec<u32> {
        match self {
            Self::Place => (0..ids.len() as u32).collect(),
            Self::Nowhere => vec![0; ids.len()],
            Self::After(padding) => {
                let mut last = padding;
                let place = |&id: &u32| match id == padding {
                    true => padding,
                    false => {
                        last += 1;
                        last
                    }
                };
                ids.iter().map(place).collect()
            }
        }
    }
}

/// The embeddings of a stack.
#[derive(Debug)]
pub struct Embeddings<T> {
    words: Weight,
    positions: Tensor,
    types: Tensor,
    pub norm: Norm<T>,
    pub projection: Option<Linear<T>>,
    order: Order,
}

impl<T: Real> Embeddings<T> {
    pub fn new(weights: &EmbeddingWeights<'_>) -> Result<Self> {
        // Whatever the blocks multiply in: it is one small product of many.
        let projection = weights.projection.map(|p| Linear::new(p, Precision::F32));
        let tables = [weights.positions, weights.types];
        let [positions, types] = tables.map(Tensor::contiguous);
        Ok(Self {
            words: weights.words.clone(),
            positions: positions?,
            types: types?,
            norm: norm(weights.norm)?,
            projection: projection.transpose()?,
            order: weights.order,
        })
    }

    /// The width of the states that enter the first block.
    pub fn out_width(&self) -> usize {
        match &self.projection {
            Some(projection) => projection.out_width(),
            None => self.norm.weight.len(),
        }
    }

    /// Writes the sums of the embeddings of a text to `out`, `[tokens, width]`.
    pub fn sum(&self, ids: &[u32], types: &[u32], out: &mut [T]) -> candle_core::Result<()> {
        let words = self.words.open()?;
        let tables = [&self.types, &self.positions].map(values);
        let [kinds, positions] = &tables;
        let (words, kinds) = (words.slice::<T>()?, kinds.slice::<T>()?);
        let positions = positions.slice::<T>()?;
        let width = self.norm.weight.len();
        let of = |i: usize| i * width..(i + 1) * width;
        let places = self.order.positions(ids);
        for ((out, at), (&id, &kind)) in out
            .chunks_exact_mut(width)
            .zip(places)
            .zip(ids.iter().zip(types))
        {
            let (id, kind, at) = (id as usize, kind as usize, at as usize);
            let rows = (
                words.get(of(id)),
                kinds.get(of(kind)),
                positions.get(of(at)),
            );
            let (Some(word), Some(kind), Some(position)) = rows else {
                candle_core::bail!("token {id} of type {kind} at position {at} is not known");
            };
            for (((o, &w), &t), &p) in out.iter_mut().zip(word).zip(kind).zip(position) {
                *o = (w + t) + p;
            }
        }
        Ok(())
    }
}

fn norm<T: Real>((weight, bias, eps): (&Tensor, &Tensor, f64)) -> Result<Norm<T>> {
    let (weight, bias) = (weight.to_vec1()?, bias.to_vec1()?);
    if weight.len() != bias.len() {
        bail!("layer norm: weight and bias differ in length");
    }
    let eps = T::of(eps);
    Ok(Norm { weight, bias, eps })
}
