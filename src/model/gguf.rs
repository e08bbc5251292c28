//! GGUF files as the bundled model's is: tensors of f32, f16 or 8-bit blocks.
//!
//! candle's reader trusts the counts and sizes in a file, so that they are held against the file's
//! own size before it reads one.

use std::collections::BTreeMap;
use std::io::Cursor;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::{Error, Result, bail};

/// The tensors of a file's bytes by name, as f32.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    crate::input::check(bytes)?;
    Check { rest: bytes }
        .file(bytes.len())
        .map_err(unreadable)?;
    let content = Content::read(&mut Cursor::new(bytes)).map_err(|e| unreadable(e.into()))?;
    let mut names: Vec<&String> = content.tensor_infos.keys().collect();
    names.sort();
    names
        .into_par_iter()
        .map(|name| {
            let tensor = content
                .tensor(&mut Cursor::new(bytes), name, &Device::Cpu)
                .and_then(|tensor| tensor.dequantize(&Device::Cpu))
                .map_err(|e| unreadable(e.into()))?;
            Ok((name.clone(), tensor))
        })
        .collect()
}

fn unreadable(error: Error) -> Error {
    error.within("not a readable GGUF file")
}

/// Walks through a file without keeping anything.
struct Check<'a> {
    rest: &'a [u8],
}

/// The sizes of values by the number of their type; texts and lists have none.
const SIZES: [usize; 13] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const TEXT: u32 = 8;
const LIST: u32 = 9;

impl<'a> Check<'a> {
    fn file(&mut self, size: usize) -> Result<()> {
        if self.take(4)? != b"GGUF" {
            bail!("it does not begin with GGUF");
        }
        match self.u32()? {
            2 | 3 => {}
            other => bail!("version {other} is not supported"),
        }
        let (tensors, values) = (self.count(1)?, self.count(1)?);
        for _ in 0..values {
            let key = self.text()?;
            let kind = self.u32()?;
            if key == b"general.alignment" {
                bail!("an alignment of its own is not supported");
            }
            self.value(kind)?;
        }
        let mut ends = Vec::new();
        for _ in 0..tensors {
            ends.push(self.tensor()?);
        }
        let data = (size - self.rest.len()).next_multiple_of(32);
        let room = size.saturating_sub(data);
        match ends.iter().all(|end| *end <= room) {
            true => Ok(()),
            false => bail!("a tensor lies outside it"),
        }
    }

    /// A tensor's entry: the end of its numbers behind the start of all.
    fn tensor(&mut self) -> Result<usize> {
        self.text()?;
        let dimensions = self.u32()?;
        if dimensions == 0 || dimensions > 8 {
            bail!("a tensor of {dimensions} dimensions");
        }
        let mut count = 1usize;
        let mut width = 1;
        for i in 0..dimensions {
            let n = usize::try_from(self.u64()?).ok();
            let product = n.and_then(|n| count.checked_mul(n));
            let Some((n, product)) = n.zip(product) else {
                bail!("a tensor too large");
            };
            if n == 0 {
                bail!("a tensor without numbers");
            }
            // The first dimension is the one whose numbers lie side by side.
            width = if i == 0 { n } else { width };
            count = product;
        }
        let (block, bytes) = match self.u32()? {
            0 => (1, 4),
            1 => (1, 2),
            8 => (32, 34),
            other => bail!("numbers of type {other} are not supported"),
        };
        if !width.is_multiple_of(block) {
            bail!("rows of {width} numbers in blocks of {block}");
        }
        let offset = usize::try_from(self.u64()?).ok();
        let end = offset.and_then(|o| (count / block).checked_mul(bytes)?.checked_add(o));
        end.ok_or_else(|| Error::new("a tensor too large"))
    }

    fn value(&mut self, kind: u32) -> Result<()> {
        match kind {
            TEXT => self.text().map(|_| ()),
            LIST => {
                let kind = self.u32()?;
                // Lists of lists are met nowhere.
                let least = match (kind, SIZES.get(kind as usize)) {
                    (TEXT, _) => 8,
                    (LIST, _) | (_, None) => bail!("a list of type {kind}"),
                    (_, Some(size)) => *size,
                };
                let n = self.count(least)?;
                for _ in 0..n {
                    self.value(kind)?;
                }
                Ok(())
            }
            _ => match SIZES.get(kind as usize) {
                Some(size) => self.take(*size).map(|_| ()),
                None => bail!("a value of type {kind}"),
            },
        }
    }

    /// A number of things, each of which takes at least so many bytes.
    fn count(&mut self, least: usize) -> Result<usize> {
        let n = self.u64()?;
        match usize::try_from(n) {
            Ok(n) if n.checked_mul(least).is_some_and(|n| n <= self.rest.len()) => Ok(n),
            _ => bail!("it is too short for {n} entries"),
        }
    }

    fn text(&mut self) -> Result<&'a [u8]> {
        let n = self.count(1)?;
        self.take(n)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(n) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => bail!("it ends too early"),
        }
    }

    fn u32(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(bytes))
    }
}
