//! The zip archive of `torch.save` since PyTorch 1.6: `NAME/data.pkl` and `NAME/data/KEY`.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use crate::tensorfile::entry::Entry;
use crate::{Error, Result, bail};

use super::value::{Heap, Storage};
use super::{machine, tensor};

/// The tensors of an archive.
pub fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let unreadable = |e: zip::result::ZipError| Error::new(format!("not a readable archive: {e}"));
    // What says where its files are stands at the end.
    let cut = |e| unreadable(e).hint("if the file was cut off, download it again");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(cut)?;
    let mut files: HashMap<String, Range<usize>> = HashMap::new();
    for i in 0..archive.len() {
        let file = archive.by_index_raw(i).map_err(unreadable)?;
        if file.is_dir() {
            continue;
        }
        let name = file.name().map_err(unreadable)?.into_owned();
        if file.compression() != CompressionMethod::Stored {
            bail!("not an archive of torch.save: {} is compressed", name);
        }
        let start = file.data_start().and_then(|s| usize::try_from(s).ok());
        let end = start.and_then(|s| s.checked_add(usize::try_from(file.size()).ok()?));
        let content = start.zip(end).map(|(start, end)| start..end);
        let Some(content) = content.filter(|c| bytes.get(c.clone()).is_some()) else {
            bail!("not a readable archive: {name} lies outside it");
        };
        // Names carry the archive's own in front.
        let own = name.split_once('/').map_or("", |(_, own)| own);
        files.insert(own.to_string(), content);
    }
    let content = |name: &str| files.get(name).and_then(|range| bytes.get(range.clone()));
    if content("byteorder").is_some_and(|order| order == b"big") {
        bail!("its numbers are big endian, which is not supported");
    }
    let Some(program) = content("data.pkl") else {
        bail!("not an archive of torch.save: no data.pkl");
    };
    let mut heap = Heap::default();
    let (root, _) = machine::run(program, &mut heap)?;
    tensor::all(&root, bytes.len(), &|storage: &Storage| match files
        .get(&format!("data/{}", storage.key))
    {
        Some(content) => Ok(content.clone()),
        None => bail!("no storage {}", storage.key),
    })
}
