//! One file of named tensors, read tensor by tensor.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use candle_core::Tensor;
use memmap2::Mmap;

use crate::{Error, Result, bail, input};

use super::entry::Entry;
use super::number::Number;
use super::{pickle, safetensors};

/// A safetensors file or a PyTorch pickle, of which only the list of tensors has been read.
pub struct TensorFile {
    path: PathBuf,
    file: File,
    /// The file's length and when it was last written, as it was opened.
    stamp: Option<(u64, SystemTime)>,
    map: OnceLock<Option<Mmap>>,
    entries: BTreeMap<String, Entry>,
}

impl fmt::Debug for TensorFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} tensors of {}",
            self.entries.len(),
            self.path.display()
        )
    }
}

impl TensorFile {
    /// Opens a file. Which of the two it is, is told by its extension: `.safetensors`, or
    /// anything else.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::at_path(path, e))?;
        let size = file.metadata().map_err(|e| Error::at_path(path, e))?.len();
        if size == 0 {
            return Err(Error::at_path(path, "the file is empty"));
        }
        let map = map(&file).map_err(|e| Error::at_path(path, e))?;
        input::check(&map).map_err(|e| e.within(path.display()))?;
        let entries = match path.extension().is_some_and(|e| e == "safetensors") {
            true => safetensors::entries(&map),
            false => pickle::entries(&map),
        };
        Ok(Self {
            path: path.to_path_buf(),
            stamp: stamp(&file),
            map: OnceLock::new(),
            file,
            entries: entries.map_err(|e| e.within(path.display()))?,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names and shapes.
    pub fn shapes(&self) -> impl Iterator<Item = (&String, &[usize])> {
        self.entries.iter().map(|(name, e)| (name, e.shape()))
    }

    /// The shape of a tensor; none where there is no such tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(Entry::shape)
    }

    /// Whether a tensor's numbers lie in the file in its own order.
    pub fn lies_in_order(&self, name: &str) -> bool {
        let entry = self.entries.get(name);
        entry.is_some_and(Entry::lies_in_order)
    }

    /// Whether the file was written to since it was opened.
    pub fn has_changed(&self) -> bool {
        self.stamp != stamp(&self.file)
    }

    /// The bytes of a tensor's numbers where they lie in order, mapped into memory: the system
    /// reads them when they are touched, and processes share them. None where it does not map the
    /// file.
    pub fn mapped(&self, name: &str) -> Option<&[u8]> {
        let entry = self.entries.get(name).filter(|e| e.lies_in_order())?;
        let map = self.map.get_or_init(|| map(&self.file).ok());
        map.as_ref()?.get(entry.range())
    }

    /// A tensor, read now: its own bytes and no others.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        let (entry, bytes) = self.bytes(name, None)?;
        entry
            .tensor(&bytes)
            .map_err(|e| e.within(format!("{}: tensor {name}", self.path.display())))
    }

    /// The type of a tensor's numbers; none where there is no such tensor.
    pub fn number(&self, name: &str) -> Option<Number> {
        self.entries.get(name).map(Entry::number)
    }

    /// The bytes of a tensor's numbers in order.
    pub fn raw(&self, name: &str) -> Result<Vec<u8>> {
        let (entry, bytes) = self.bytes(name, None)?;
        Ok(entry.ordered(&bytes).into_owned())
    }

    /// The numbers of a tensor at these places in order, as f32; an error for whole numbers.
    pub fn values(&self, name: &str, part: Range<usize>) -> Result<Vec<f32>> {
        let (entry, bytes) = self.bytes(name, Some(&part))?;
        let whole = entry.part(&part).is_none();
        let bytes = entry.ordered(&bytes);
        let own = match whole {
            false => Some(&bytes[..]),
            true => {
                let size = entry.number().size();
                bytes.get(part.start * size..part.end * size)
            }
        };
        match own {
            Some(own) => entry.number().decode(own),
            None => bail!("tensor {name} has no numbers {part:?}"),
        }
        .map_err(|e| e.within(format!("{}: tensor {name}", self.path.display())))
    }

    /// Reads the bytes of the numbers of a tensor at these places in order into `buffer`, which
    /// becomes as long as they are; their type.
    pub fn read_into(
        &self,
        name: &str,
        part: Range<usize>,
        buffer: &mut Vec<u8>,
    ) -> Result<Number> {
        let own = self
            .entries
            .get(name)
            .and_then(|e| Some((e, e.part(&part)?)));
        let Some((entry, range)) = own else {
            let (entry, bytes) = self.bytes(name, Some(&part))?;
            let size = entry.number().size();
            let ordered = entry.ordered(&bytes);
            let Some(own) = ordered.get(part.start * size..part.end * size) else {
                bail!("tensor {name} has no numbers {part:?}");
            };
            buffer.clear();
            buffer.extend_from_slice(own);
            return Ok(entry.number());
        };
        buffer.resize(range.len(), 0);
        self.fill(name, buffer, range.start)?;
        Ok(entry.number())
    }

    /// Fills `bytes` from the file.
    fn fill(&self, name: &str, bytes: &mut [u8], at: usize) -> Result<()> {
        read_at(&self.file, bytes, at as u64).map_err(|e| {
            Error::new(e.to_string()).within(format!("{}: tensor {name}", self.path.display()))
        })
    }

    /// The bytes of a part where they lie in order, else of the whole tensor.
    fn bytes(&self, name: &str, part: Option<&Range<usize>>) -> Result<(&Entry, Vec<u8>)> {
        let Some(entry) = self.entries.get(name) else {
            bail!("{}: there is no tensor {name}", self.path.display());
        };
        let range = part
            .and_then(|p| entry.part(p))
            .unwrap_or_else(|| entry.range());
        let mut bytes = vec![0; range.len()];
        self.fill(name, &mut bytes, range.start)?;
        Ok((entry, bytes))
    }

    /// All tensors.
    pub fn all(&self) -> Result<BTreeMap<String, Tensor>> {
        let one = |name: &String| Ok((name.clone(), self.get(name)?));
        self.entries.keys().map(one).collect()
    }
}

/// All tensors of a file, by name.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    TensorFile::open(path)?.all()
}

/// All tensors of a file's bytes, as [`read`] would find them.
pub fn read_bytes(bytes: &[u8], is_safetensors: bool) -> Result<BTreeMap<String, Tensor>> {
    input::check(bytes)?;
    let entries = match is_safetensors {
        true => safetensors::entries(bytes)?,
        false => pickle::entries(bytes)?,
    };
    let one = |(name, entry): (String, Entry)| {
        let Some(own) = bytes.get(entry.range()) else {
            bail!("tensor {name} lies outside the file");
        };
        Ok((name, entry.tensor(own)?))
    };
    entries.into_iter().map(one).collect()
}

/// Maps a file for reading.
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: maps are only read; a file that another process truncates meanwhile is outside what
    // any reader of mapped files can guard against.
    unsafe { Mmap::map(file) }
}

/// A file's length and when it was last written, as far as the system tells.
fn stamp(file: &File) -> Option<(u64, SystemTime)> {
    let metadata = file.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                bytes = &mut bytes[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}
