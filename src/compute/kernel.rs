//! What the CPU kernels share: reading tensors, making results in parallel, fixed-order sums.

use super::real::Real;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Deref;

/// Elements a task of an elementwise kernel takes: its operands stay in a core's own cache.
pub const CHUNK: usize = 16 * 1024;

/// Partial sums of a reduction: one AVX-512 register of f32. Part of the bits of every sum.
const LANES: usize = 16;

/// Runs an expression with a type standing for the element type of a tensor.
macro_rules! by_dtype {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $t = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $t = f64;
                $body
            }
            other => candle_core::bail!("expected f32 or f64 values, found {other:?}"),
        }
    };
}
pub(super) use by_dtype;

/// Whether the kernels of this folder take `x`: on the CPU, f32 or f64.
pub fn takes(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// `x`, in f32 where its own type is narrower, whose sums and exponentials would lose too much.
pub fn widened(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::BF16 | DType::F16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}

/// The element type of an operand.
pub fn dtype(storage: &CpuStorage) -> DType {
    BackendStorage::dtype(storage)
}

/// The values of a contiguous operand, as an operation's forward pass is handed it.
pub fn slice<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!(
            "expected a contiguous operand, found strides {:?}",
            layout.stride()
        )
    };
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

/// A tensor on the CPU, open for reading.
pub struct Values<'a, S> {
    storage: S,
    layout: &'a Layout,
}

/// Opens a contiguous tensor on the CPU for reading.
pub fn values(x: &Tensor) -> Values<'_, impl Deref<Target = Storage> + '_> {
    let (storage, layout) = x.storage_and_layout();
    Values { storage, layout }
}

impl<S: Deref<Target = Storage>> Values<'_, S> {
    /// The values, in row-major order.
    pub fn slice<T: Real>(&self) -> Result<&[T]> {
        match &*self.storage {
            Storage::Cpu(storage) => slice(storage, self.layout),
            _ => candle_core::bail!("expected a tensor on the CPU"),
        }
    }
}

/// A tensor on the CPU of these values.
pub fn tensor<T: Real>(values: Vec<T>, shape: &Shape) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A vector of `len` values made in parallel: `fill(start, part)` is handed each part of
/// `chunk` values, zeroed, with the index of its first value.
pub fn build<T: Real>(len: usize, chunk: usize, fill: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
    let chunk = chunk.max(1);
    let mut out = Vec::with_capacity(len);
    let make = |(i, part): (usize, &mut [MaybeUninit<T>])| {
        // Zeroed here rather than in one pass over all: the part is then in this core's cache.
        part.fill(MaybeUninit::new(T::zero()));
        // SAFETY: every value of the part was just initialised, and the types have one layout.
        fill(i * chunk, unsafe {
            &mut *(std::ptr::from_mut(part) as *mut [T])
        });
    };
    let spare = &mut out.spare_capacity_mut()[..len];
    if len <= chunk {
        make((0, spare));
    } else {
        spare.par_chunks_mut(chunk).enumerate().for_each(make);
    }
    // SAFETY: the chunks cover the first `len` values, and each was initialised above.
    unsafe { out.set_len(len) };
    out
}

/// `len` zeros, made in parallel.
pub fn zeros<T: Real>(len: usize) -> Vec<T> {
    build(len, CHUNK, |_, _| {})
}

/// How many rows of `width` values make a task of about [`CHUNK`] values.
pub fn rows_per_chunk(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}

/// The sum of `term` over the elements of slices of one length, in an order fixed by the length.
#[inline(always)]
pub fn sum<T: Real, const N: usize>(x: [&[T]; N], term: impl Fn([T; N]) -> T) -> T {
    let mut lanes = [T::zero(); LANES];
    let mut total = T::zero();
    for_lanes(x, |at, values| match at {
        Some(lane) => lanes[lane] += term(values),
        None => total += term(values),
    });
    // Halving keeps the error of the lanes' own sum at its smallest.
    let mut half = LANES / 2;
    while half > 0 {
        for j in 0..half {
            let other = lanes[j + half];
            lanes[j] += other;
        }
        half /= 2;
    }
    lanes[0] + total
}

/// The largest element, ignoring NaN; minus infinity where there is none.
#[inline(always)]
pub fn max<T: Real>(x: &[T]) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::of(f64::NEG_INFINITY); LANES];
    for_lanes([x], |at, [x]| {
        let lane = &mut lanes[at.unwrap_or(0)];
        *lane = larger(*lane, x);
    });
    lanes.into_iter().fold(lanes[0], larger)
}

/// Calls `f` with the elements of slices of one length and, but for the last few that do not fill
/// all lanes, the lane they are in.
#[inline(always)]
fn for_lanes<T: Real, const N: usize>(x: [&[T]; N], mut f: impl FnMut(Option<usize>, [T; N])) {
    let len = x.iter().map(|x| x.len()).min().unwrap_or(0);
    let whole = len - len % LANES;
    let mut start = 0;
    while start < whole {
        // Of a length known when compiling, so that the loop becomes instructions on vectors.
        let parts = x.map(|x| {
            let mut part = [T::zero(); LANES];
            part.copy_from_slice(&x[start..start + LANES]);
            part
        });
        (0..LANES).for_each(|lane| f(Some(lane), parts.map(|part| part[lane])));
        start += LANES;
    }
    (whole..len).for_each(|at| f(None, x.map(|x| x[at])));
}

/// The sums of the columns of `rows` of `width` values: partial sums over a fixed number of
/// rows in parallel, then added in order.
pub fn column_sums<T: Real>(rows: &[T], width: usize) -> Vec<T> {
    const ROWS: usize = 256;
    let mut total = vec![T::zero(); width];
    if width == 0 {
        return total;
    }
    let partial = |block: &[T]| {
        let mut sums = vec![T::zero(); width];
        for row in block.chunks_exact(width) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        }
        sums
    };
    let partials: Vec<Vec<T>> = rows.par_chunks(ROWS * width).map(partial).collect();
    for sums in partials {
        for (sum, x) in total.iter_mut().zip(sums) {
            *sum += x;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_take_every_term_once() {
        for len in [0, 1, 15, 16, 17, 100] {
            let x: Vec<f64> = (0..len).map(f64::from).collect();
            assert_eq!(sum([&x], |[x]| x), x.iter().sum::<f64>());
            let squares: f64 = x.iter().map(|x| x * x).sum();
            assert_eq!(sum([&x, &x], |[x, y]| x * y), squares);
        }
    }

    #[test]
    fn the_maximum_is_found_wherever_it_is() {
        for len in [1, 16, 17, 40] {
            for at in 0..len {
                let mut x = vec![-1.0; len];
                x[at] = 2.0;
                assert_eq!(max(&x), 2.0);
            }
        }
        assert_eq!(max::<f64>(&[]), f64::NEG_INFINITY);
    }

    #[test]
    fn build_covers_every_value_once() {
        for len in [0, 1, 7, 8, 9, 1000] {
            let made = build::<f64>(len, 8, |start, part| {
                for (i, x) in part.iter_mut().enumerate() {
                    *x += (start + i) as f64;
                }
            });
            assert_eq!(made, (0..len).map(|i| i as f64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn column_sums_cross_blocks() {
        let rows: Vec<f64> = (0..1500).map(f64::from).collect();
        let sums = column_sums(&rows, 3);
        let expected = |c: i32| (0..500).map(|r| f64::from(3 * r + c)).sum::<f64>();
        assert_eq!(sums, [expected(0), expected(1), expected(2)]);
    }
}
