//! A frozen matrix, in memory or in a file that processes share.

use super::kernel::{Values, values};
use super::real::Real;
use crate::{Result, bail};
use candle_core::{DType, Device, Storage, Tensor};
use once_cell::sync::OnceCell;
use std::fmt;
use std::ops::Deref;
use std::ops::Range;
use std::sync::Arc;

/// Where a matrix can be read on the CPU, each time to the same numbers.
pub trait Source: fmt::Debug + Send + Sync {
    /// All of it, as this type.
    fn read(&self, dtype: DType) -> Result<Tensor>;

    /// The bytes of its numbers row by row, in memory that the system shares between processes and
    /// takes back when it is short; none unless they are of this type.
    fn mapped(&self, dtype: DType) -> Option<&[u8]>;
}

/// A frozen matrix: in memory, or in a file, from which it is read when it is asked for. Clones
/// share it.
#[derive(Clone, Debug)]
pub struct Weight(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dims: (usize, usize),
    dtype: DType,
    origin: Origin,
    /// The matrix in memory, once something needs it there. Whoever else does meanwhile waits, so
    /// that it is read once; reading it starts no other work, which could wait for itself.
    kept: OnceCell<Tensor>,
}

#[derive(Debug)]
enum Origin {
    Memory,
    Source(Arc<dyn Source>),
    /// One below the other.
    Parts(Vec<Weight>),
    /// One of another type.
    Cast(Weight),
}

impl Weight {
    /// A matrix in memory, detached from any graph.
    pub fn new(tensor: &Tensor) -> Result<Self> {
        let kept = OnceCell::with_value(tensor.contiguous()?.detach());
        Ok(Self(Arc::new(Inner {
            dims: tensor.dims2()?,
            dtype: tensor.dtype(),
            origin: Origin::Memory,
            kept,
        })))
    }

    /// A matrix `[rows, width]` on the CPU, read as this type when it is asked for.
    pub fn stored(source: Arc<dyn Source>, dims: (usize, usize), dtype: DType) -> Self {
        Self::from_origin(dims, dtype, Origin::Source(source))
    }

    fn from_origin(dims: (usize, usize), dtype: DType, origin: Origin) -> Self {
        Self(Arc::new(Inner {
            dims,
            dtype,
            origin,
            kept: OnceCell::new(),
        }))
    }

    /// Several matrices of one width and type, one below the other.
    pub fn concat(parts: &[&Self]) -> Result<Self> {
        let Some(first) = parts.first() else {
            bail!("no matrices to put together");
        };
        if parts.iter().all(|p| p.0.kept.get().is_some()) {
            let all = parts.iter().map(|p| p.read()).collect::<Result<Vec<_>>>()?;
            return Self::new(&Tensor::cat(&all, 0)?);
        }
        let alike = |p: &&&Self| p.dims().1 == first.dims().1 && p.dtype() == first.dtype();
        if let Some(other) = parts.iter().find(|p| !alike(p)) {
            bail!(
                "matrices of {:?} and {:?} do not fit together",
                first.dims(),
                other.dims()
            );
        }
        let rows = parts.iter().map(|p| p.dims().0).sum();
        let origin = Origin::Parts(parts.iter().map(|p| (*p).clone()).collect());
        Ok(Self::from_origin(
            (rows, first.dims().1),
            first.dtype(),
            origin,
        ))
    }

    /// The same matrix, of this type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        Ok(match self.0.origin {
            Origin::Memory => Self::new(&self.read()?.to_dtype(dtype)?)?,
            _ => Self::from_origin(self.dims(), dtype, Origin::Cast(self.clone())),
        })
    }

    /// Some of its rows.
    pub fn rows(&self, rows: Range<usize>) -> Result<Self> {
        if let Origin::Parts(parts) = &self.0.origin {
            let mut start = 0;
            for part in parts {
                if rows == (start..start + part.dims().0) {
                    return Ok(part.clone());
                }
                start += part.dims().0;
            }
        }
        Self::new(&self.read()?.narrow(0, rows.start, rows.len())?)
    }

    /// Rows and columns.
    pub fn dims(&self) -> (usize, usize) {
        self.0.dims
    }

    /// The type of its numbers.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Where it is used.
    pub fn device(&self) -> &Device {
        self.0.kept.get().map_or(&Device::Cpu, Tensor::device)
    }

    /// The matrix, read now where it is not in memory, and not kept there.
    pub fn read(&self) -> Result<Tensor> {
        if let Some(kept) = self.0.kept.get() {
            return Ok(kept.clone());
        }
        self.load()
    }

    fn load(&self) -> Result<Tensor> {
        let read = match &self.0.origin {
            Origin::Memory => bail!("a matrix in memory is lost"),
            Origin::Source(source) => source.read(self.dtype())?,
            Origin::Parts(parts) => {
                let parts = parts.iter().map(Self::read).collect::<Result<Vec<_>>>()?;
                Tensor::cat(&parts, 0)?
            }
            Origin::Cast(other) => other.read()?.to_dtype(self.dtype())?,
        };
        if read.dims2()? != self.dims() || read.dtype() != self.dtype() {
            bail!(
                "a matrix of {:?} was read as {:?}",
                self.dims(),
                read.shape()
            );
        }
        Ok(read.contiguous()?.detach())
    }

    /// The matrix, in memory from now on.
    pub fn kept(&self) -> Result<&Tensor> {
        self.0.kept.get_or_try_init(|| self.load())
    }

    /// Takes the memory now that the matrix takes when all of it is in use.
    pub fn settle(&self) -> Result<()> {
        /// Bytes that the system maps at once, at least.
        const PAGE: usize = 4096;
        match self.mapped() {
            Some(bytes) => {
                let sum = bytes.iter().step_by(PAGE).fold(0u8, |sum, b| sum ^ b);
                std::hint::black_box(sum);
            }
            None => {
                self.kept()?;
            }
        }
        Ok(())
    }

    /// Whether it is in memory.
    #[cfg(test)]
    pub fn is_kept(&self) -> bool {
        self.0.kept.get().is_some()
    }

    fn mapped(&self) -> Option<&[u8]> {
        match (&self.0.origin, self.0.kept.get()) {
            (Origin::Source(source), None) => source.mapped(self.dtype()),
            _ => None,
        }
    }

    /// The matrix on the CPU, open for reading: in the file where it lies there as it is used,
    /// else in memory from now on.
    pub fn open(&self) -> Result<Opened<'_, impl Deref<Target = Storage> + '_>> {
        Ok(match self.mapped() {
            Some(bytes) => Opened::Mapped(bytes),
            None => Opened::Kept(values(self.kept()?)),
        })
    }

    /// The rows of these numbers, `[ids, width]`.
    pub fn look_up(&self, ids: &Tensor) -> Result<Tensor> {
        match (self.mapped(), self.dtype()) {
            (Some(_), DType::F32) => self.gather::<f32>(ids),
            (Some(_), DType::F64) => self.gather::<f64>(ids),
            _ => Ok(self.kept()?.index_select(ids, 0)?),
        }
    }

    fn gather<T: Real>(&self, ids: &Tensor) -> Result<Tensor> {
        let opened = self.open()?;
        let (all, (rows, width)) = (opened.slice::<T>()?, self.dims());
        let ids: Vec<u32> = ids.to_vec1()?;
        let mut found = Vec::with_capacity(ids.len() * width);
        for &id in &ids {
            let at = id as usize * width;
            let Some(row) = all.get(at..at + width) else {
                bail!("row {id} of a table of {rows}");
            };
            found.extend_from_slice(row);
        }
        Ok(Tensor::from_vec(found, (ids.len(), width), &Device::Cpu)?)
    }
}

/// A matrix open for reading.
pub enum Opened<'a, S> {
    /// In memory.
    Kept(Values<'a, S>),
    /// In a file.
    Mapped(&'a [u8]),
}

impl<S: Deref<Target = Storage>> Opened<'_, S> {
    /// The values, row by row.
    pub fn slice<T: Real>(&self) -> candle_core::Result<&[T]> {
        match self {
            Self::Kept(values) => values.slice(),
            Self::Mapped(bytes) => bytemuck::try_cast_slice(bytes)
                .map_err(|e| candle_core::Error::Msg(format!("numbers of a mapped file: {e}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    /// Numbers in memory that count as a file's.
    #[derive(Debug)]
    struct Elsewhere(Vec<f32>, usize);

    impl Source for Elsewhere {
        fn read(&self, dtype: DType) -> Result<Tensor> {
            let all = Tensor::new(&self.0[..], &Device::Cpu)?;
            Ok(all.reshape(((), self.1))?.to_dtype(dtype)?)
        }

        fn mapped(&self, dtype: DType) -> Option<&[u8]> {
            (dtype == DType::F32).then(|| bytemuck::cast_slice(&self.0))
        }
    }

    fn both(rows: usize, width: usize, name: &str) -> (Weight, Weight) {
        let tensor = check::random(&[rows, width], name, DType::F32);
        let numbers = tensor.flatten_all().unwrap().to_vec1().unwrap();
        let source = Arc::new(Elsewhere(numbers, width));
        (
            Weight::new(&tensor).unwrap(),
            Weight::stored(source, (rows, width), DType::F32),
        )
    }

    fn same(a: &Tensor, b: &Tensor) {
        let values = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!((values(a), a.dtype()), (values(b), b.dtype()));
    }

    #[test]
    fn what_is_stored_reads_as_what_is_held() -> Result<()> {
        let ((held, stored), (more, others)) = (both(3, 4, "a"), both(2, 4, "b"));
        same(&held.read()?, &stored.read()?);
        let whole = Weight::concat(&[&stored, &others])?;
        assert_eq!(whole.dims(), (5, 4));
        same(&Weight::concat(&[&held, &more])?.read()?, &whole.read()?);
        same(
            &held.to_dtype(DType::F64)?.read()?,
            &stored.to_dtype(DType::F64)?.read()?,
        );
        let halves = whole.to_dtype(DType::BF16)?;
        same(&whole.read()?.to_dtype(DType::BF16)?, &halves.read()?);
        assert!(
            ![&stored, &others, &whole, &halves]
                .iter()
                .any(|w| w.is_kept())
        );
        same(&held.read()?, stored.kept()?);
        assert!(stored.is_kept());
        Ok(())
    }

    #[test]
    fn rows_are_looked_up_where_they_lie() -> Result<()> {
        let (held, stored) = both(7, 5, "table");
        let ids = Tensor::new(&[6u32, 0, 6], &Device::Cpu)?;
        same(&held.look_up(&ids)?, &stored.look_up(&ids)?);
        assert!(!stored.is_kept());
        let wide = stored.to_dtype(DType::F64)?;
        same(
            &held.to_dtype(DType::F64)?.look_up(&ids)?,
            &wide.look_up(&ids)?,
        );
        assert!(
            wide.is_kept(),
            "numbers of another type are not in the file"
        );
        let far = Tensor::new(&[7u32], &Device::Cpu)?;
        assert!(
            stored
                .look_up(&far)
                .unwrap_err()
                .to_string()
                .contains("row 7")
        );
        Ok(())
    }

    #[test]
    fn matrices_of_two_widths_do_not_fit() {
        let ((_, a), (_, b)) = (both(2, 3, "a"), both(2, 4, "b"));
        assert!(Weight::concat(&[&a, &b]).is_err());
        assert!(Weight::concat(&[]).is_err());
    }

    #[test]
    fn rows_are_those_of_the_whole() -> Result<()> {
        let ((_, a), (_, b)) = (both(3, 4, "a"), both(2, 4, "b"));
        let whole = Weight::concat(&[&a, &b])?;
        for (rows, kept) in [(0..3, false), (3..5, false), (2..4, true), (0..5, true)] {
            let own = whole.rows(rows.clone())?;
            same(
                &own.read()?,
                &whole.read()?.narrow(0, rows.start, rows.len())?,
            );
            assert_eq!(own.is_kept(), kept, "{rows:?}");
        }
        Ok(())
    }

    #[test]
    fn a_type_in_between_rounds() -> Result<()> {
        let (held, stored) = both(2, 3, "a");
        let through = |w: &Weight| w.to_dtype(DType::BF16)?.to_dtype(DType::F32)?.read();
        same(&through(&held)?, &through(&stored)?);
        Ok(())
    }

    #[test]
    fn many_that_need_it_read_it_once() {
        /// Counts how often it is read.
        #[derive(Debug, Default)]
        struct Counted(std::sync::atomic::AtomicUsize);
        impl Source for Counted {
            fn read(&self, dtype: DType) -> Result<Tensor> {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(20));
                Ok(Tensor::zeros((1, 2), dtype, &Device::Cpu)?)
            }
            fn mapped(&self, _: DType) -> Option<&[u8]> {
                None
            }
        }
        let source = Arc::new(Counted::default());
        let weight = Weight::stored(source.clone(), (1, 2), DType::F32);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| weight.kept().unwrap());
            }
        });
        assert_eq!(source.0.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
