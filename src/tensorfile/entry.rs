//! Where in a file a tensor's numbers are, and how they make the tensor.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::{Error, Result, bail};

use super::number::{Number, e4m3};

/// A tensor of a file: a run of bytes, perhaps seen through an offset and strides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    number: Number,
    shape: Vec<usize>,
    /// The bytes of the numbers, in the file.
    range: Range<usize>,
    view: Option<View>,
}

/// How the numbers are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The first number.
    pub offset: usize,
    /// How far apart neighbours along each dimension are, in numbers.
    pub stride: Vec<usize>,
}

impl Entry {
    /// A tensor whose numbers lie in order.
    pub fn plain(number: Number, shape: Vec<usize>, range: Range<usize>) -> Result<Self> {
        match count(&shape).and_then(|n| n.checked_mul(number.size())) {
            Some(n) if n == range.len() => Ok(Self {
                number,
                shape,
                range,
                view: None,
            }),
            _ => bail!("shape {shape:?} does not fit {} bytes", range.len()),
        }
    }

    /// A view of the storage at `range`, which must lie within and not be larger than it: a
    /// stride of 0 would make much of little.
    pub fn view(
        number: Number,
        shape: Vec<usize>,
        range: Range<usize>,
        view: View,
    ) -> Result<Self> {
        let numbers = range.len() / number.size();
        if shape.len() != view.stride.len() || shape.len() > 8 {
            bail!("shape {shape:?} with strides {:?}", view.stride);
        }
        let steps = shape.iter().zip(&view.stride);
        let last = steps.clone().try_fold(view.offset, |at, (d, s)| {
            at.checked_add(d.saturating_sub(1).checked_mul(*s)?)
        });
        let (Some(count), Some(last)) = (count(&shape), last) else {
            bail!("shape {shape:?} is too large");
        };
        if count > 0 && (last >= numbers || count > numbers) {
            bail!("shape {shape:?} does not lie within a storage of {numbers} numbers");
        }
        let mut expected = 1;
        let contiguous = shape.iter().zip(&view.stride).rev().all(|(d, s)| {
            let fits = *d == 1 || *s == expected;
            expected *= d.max(&1);
            fits
        });
        let size = number.size();
        // Only what is seen is read.
        let start = range.start + if count == 0 { 0 } else { view.offset * size };
        let (end, view) = match contiguous {
            true => (start + count * size, None),
            false => {
                let offset = 0;
                let stride = view.stride;
                let end = range.start + (last + 1) * size;
                (end.max(start), Some(View { offset, stride }))
            }
        };
        Ok(Self {
            number,
            shape,
            range: start..end,
            view,
        })
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its numbers' type.
    pub fn number(&self) -> Number {
        self.number
    }

    /// Whether its numbers lie in the file in its own order.
    pub fn lies_in_order(&self) -> bool {
        self.view.is_none()
    }

    /// The bytes of the file that hold the numbers of `part`, where they lie in order.
    pub fn part(&self, part: &Range<usize>) -> Option<Range<usize>> {
        let at = |i: usize| self.range.start + i * self.number.size();
        let within = part.start <= part.end && at(part.end) <= self.range.end;
        (self.lies_in_order() && within).then(|| at(part.start)..at(part.end))
    }

    /// The bytes of its numbers in order, from the bytes at [`Self::range`].
    pub fn ordered<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.view {
            None => Cow::Borrowed(bytes),
            Some(view) => Cow::Owned(self.pick(view, bytes)),
        }
    }

    /// The bytes of the file that it needs.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The tensor, from the bytes at [`Self::range`].
    pub fn tensor(&self, bytes: &[u8]) -> Result<Tensor> {
        numbers(self.number, &self.ordered(bytes), &self.shape)
    }

    /// The bytes of a view's numbers in its own order.
    fn pick(&self, view: &View, bytes: &[u8]) -> Vec<u8> {
        let size = self.number.size();
        let total = count(&self.shape).unwrap_or(0);
        let mut out = Vec::with_capacity(total * size);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..total {
            let at = index.iter().zip(&view.stride).map(|(i, s)| i * s);
            let at = (view.offset + at.sum::<usize>()) * size;
            out.extend_from_slice(&bytes[at..at + size]);
            for (i, d) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *d {
                    break;
                }
                *i = 0;
            }
        }
        out
    }
}

fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}

fn numbers(number: Number, bytes: &[u8], shape: &[usize]) -> Result<Tensor> {
    let widen = |of: fn(&[u8]) -> i64| -> Vec<u8> {
        let all = bytes.chunks_exact(number.size()).map(of);
        all.flat_map(i64::to_le_bytes).collect()
    };
    let widened = match number {
        Number::I32 => widen(|b| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        Number::I16 => widen(|b| i64::from(i16::from_le_bytes([b[0], b[1]]))),
        Number::U16 => widen(|b| i64::from(u16::from_le_bytes([b[0], b[1]]))),
        Number::I8 => widen(|b| i64::from(b[0] as i8)),
        Number::F8E4M3 => bytes.iter().flat_map(|b| e4m3(*b).to_le_bytes()).collect(),
        // The upper half of an F16.
        Number::F8E5M2 => bytes.iter().flat_map(|b| [0, *b]).collect(),
        _ => Vec::new(),
    };
    let bytes = if widened.is_empty() { bytes } else { &widened };
    Tensor::from_raw_buffer(bytes, number.dtype(), shape, &Device::Cpu).map_err(Error::from)
}
