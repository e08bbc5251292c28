//! What stands in a folder that an adapter is to be saved to: nothing is overwritten unasked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::adapter::value::Adapter;
use crate::study::files::{Links, each_piece, is_filled, listed, same_place, tree};
use crate::{Error, Result};

use super::{MEMBERS, Origin, origin};

/// The card beside an adapter, which people edit.
pub const CARD: &str = "README.md";

/// The files of adapters that the libraries and this program read.
const KNOWN: &[&str] = &[
    "adapter_config.json",
    "adapter.safetensors",
    "pytorch_adapter.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
    "head_config.json",
    "model_head.safetensors",
    "pytorch_model_head.bin",
    super::sparse::FILE,
    super::sparse::HEADS,
    origin::FILE,
];

/// What stands in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: there is no folder, or an empty one.
    Nothing,
    /// An adapter that was saved here, file by file as it was written but for cards, which may
    /// have been edited.
    Ours {
        /// Whether it is the one that is to be saved.
        same: bool,
        /// Its name.
        name: String,
        /// Whether a card was edited.
        edited: bool,
    },
    /// Something else: the first file that was not written here, or not as it is now.
    Foreign(String),
}

/// What stands in `folder`, where `adapter` is to be saved.
pub fn standing(adapter: &Adapter, folder: &Path) -> Result<Standing> {
    if folder.exists() && !folder.is_dir() {
        return Err(Error::at_path(folder, "is a file").hint("choose the name of a folder"));
    }
    if !is_filled(folder)? {
        return Ok(Standing::Nothing);
    }
    let parts = parts(folder)?;
    let Some((_, first)) = parts.first() else {
        let first = listed(folder)?.into_iter().map(|(name, _)| name).next();
        return Ok(Standing::Foreign(first.unwrap_or_default()));
    };
    let mut edited = false;
    let mut expected = BTreeMap::new();
    for (part, origin) in &parts {
        let inside = |name: &str| match part.as_str() {
            "" => name.to_string(),
            part => format!("{part}/{name}"),
        };
        expected.insert(inside(origin::FILE), None);
        // Earlier versions did not record what they wrote.
        if origin.files.is_empty() {
            let names = KNOWN.iter().chain([&CARD]);
            expected.extend(names.map(|name| (inside(name), None)));
        }
        for (name, hash) in &origin.files {
            expected.insert(inside(name), Some(hash));
        }
    }
    for (name, path) in tree(folder, Links::Left)? {
        let unchanged = match expected.get(&name) {
            // What is not among an adapter's files stays where it is.
            None => !of_adapter(&name, &parts),
            Some(None) if name.ends_with(CARD) => is_card(&path),
            Some(None) => true,
            Some(Some(hash)) => hash_of(&path)? == **hash,
        };
        match unchanged {
            true => {}
            false if name.ends_with(CARD) && expected.contains_key(&name) => edited = true,
            false => return Ok(Standing::Foreign(name)),
        }
    }
    let ids = |origin: &Origin| origin.whole.clone().unwrap_or_else(|| origin.id.clone());
    let own = parts.iter().filter(|(part, _)| !is_member(part));
    Ok(Standing::Ours {
        same: own
            .map(|(_, origin)| ids(origin))
            .all(|id| id == *adapter.id()),
        name: first.name.clone(),
        edited,
    })
}

/// Whether a file has the name of one of an adapter's, in the folder of one of these.
fn of_adapter(name: &str, parts: &[(String, Origin)]) -> bool {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    KNOWN.contains(&file) && parts.iter().any(|(part, _)| part == folder)
}

/// Whether a folder holds files that saving an adapter there would replace.
pub fn is_used(folder: &Path) -> bool {
    let mut names = KNOWN.iter().chain([&CARD]);
    names.any(|name| folder.join(name).exists())
}

/// The adapters that were saved to a folder: the one in it, or one for each head in folders of
/// their own, and the members of a soup. Other adapters in folders below are not part of it.
fn parts(folder: &Path) -> Result<Vec<(String, Origin)>> {
    let mut found = Vec::new();
    if let Ok(Some(origin)) = Origin::read(folder) {
        found.push((String::new(), origin));
    }
    for (name, path) in listed(folder)? {
        let of_head = |origin: &Origin| origin.whole.is_some();
        if let Some(origin) = Origin::read(&path).ok().flatten().filter(of_head) {
            found.push((name, origin));
        }
    }
    if found.is_empty() {
        return Ok(found);
    }
    for (name, path) in listed(&folder.join(MEMBERS))? {
        if let Ok(Some(origin)) = Origin::read(&path) {
            found.push((format!("{MEMBERS}/{name}"), origin));
        }
        // A member with several heads.
        for (head, path) in listed(&path).unwrap_or_default() {
            if let Ok(Some(origin)) = Origin::read(&path) {
                found.push((format!("{MEMBERS}/{name}/{head}"), origin));
            }
        }
    }
    Ok(found)
}

/// Whether a part is a member beside the adapter itself.
fn is_member(part: &str) -> bool {
    part.split('/').next() == Some(MEMBERS)
}

/// The files of a saved adapter that a new one in its folder does not keep, by their paths in it.
pub fn stale(folder: &Path) -> Result<Vec<String>> {
    let mut all: Vec<String> = KNOWN.iter().map(|name| (*name).to_string()).collect();
    let parts = parts(folder)?;
    for (part, origin) in parts.into_iter().filter(|(part, _)| !is_member(part)) {
        let names = origin.files.into_keys().chain([origin::FILE.to_string()]);
        let names = names.filter(|name| !name.ends_with(CARD));
        all.extend(names.map(|name| match part.as_str() {
            "" => name,
            part => format!("{part}/{name}"),
        }));
    }
    Ok(all)
}

/// Leaves the card in the folder `old` where it was edited: that in `new` goes.
pub fn keep_card(new: &Path, old: &Path) -> Result<()> {
    let path = old.join(CARD);
    if !path.is_file() {
        return Ok(());
    }
    let recorded = Origin::read(old)?.and_then(|mut origin| origin.files.remove(CARD));
    let unchanged = match recorded {
        Some(hash) => hash == hash_of(&path)?,
        None => is_card(&path),
    };
    let new = new.join(CARD);
    match unchanged || !new.exists() {
        true => Ok(()),
        false => std::fs::remove_file(&new).map_err(|error| Error::at_path(&new, error)),
    }
}

/// Whether a card, of which nothing is recorded, looks as it was written here.
pub fn is_card(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.contains(", written by Tureen "))
}

/// The files in a folder, with the hashes of their content: what [`Origin`] records.
pub fn files_in(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for (name, path) in tree(folder, Links::Left)? {
        if !name.contains('/') && name != origin::FILE {
            all.insert(name, hash_of(&path)?);
        }
    }
    Ok(all)
}

/// Whether the weights and the configuration of the adapter in `folder` are as they were written,
/// by the hashes of their content.
pub fn are_as_written(folder: &Path, files: &BTreeMap<String, String>) -> Result<bool> {
    for name in KNOWN.iter().filter(|name| **name != origin::FILE) {
        let path = folder.join(name);
        let same = match files.get(*name) {
            Some(hash) => path.is_file() && hash_of(&path)? == *hash,
            None => !path.is_file(),
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The hash of a file's content.
pub fn hash_of(path: &Path) -> Result<String> {
    let failed = |error: std::io::Error| Error::at_path(path, error);
    let mut hasher = blake3::Hasher::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    each_piece(file, |piece| {
        hasher.update(piece);
    })
    .map_err(failed)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// An error unless `adapter` may be saved to `folder`: it is empty, or holds the same adapter as it
/// was saved here. What was read from `inputs` is never replaced.
pub fn may_replace(adapter: &Adapter, folder: &Path, inputs: &[PathBuf]) -> Result<()> {
    if inputs.iter().any(|input| same_place(input, folder)) {
        return Err(refused(folder, "is an input, which would be overwritten"));
    }
    match standing(adapter, folder)? {
        Standing::Nothing | Standing::Ours { same: true, .. } => Ok(()),
        Standing::Ours { name, .. } => {
            Err(refused(folder, &format!("holds another adapter, {name}")))
        }
        Standing::Foreign(name) => Err(refused(
            folder,
            &format!("is not empty: {name} would be lost"),
        )),
    }
}

/// The error of a path that is not overwritten unasked.
pub fn refused(path: &Path, why: &str) -> Error {
    Error::at_path(path, why).hint(FORCE)
}

/// How to overwrite all the same.
pub const FORCE: &str =
    "choose another name, or overwrite it: force: true, on the command line --force";
