//! How an adapter's files are put in their folder.

use std::path::Path;

use serde_json::Value;

use crate::Result;
use crate::adapter::head::Head;
use crate::adapter::value::Adapter;
use crate::study::files::write_atomic;
use crate::tensorfile::{self, Planned};

use super::{CONFIG, Format, Origin, Types, adapterhub, beside, card, load_files, peft};

/// The files of an adapter: names and contents.
pub type Files<'a> = Vec<(&'static str, Content<'a>)>;

/// What a file holds.
pub enum Content<'a> {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Tensors, written one by one.
    Tensors(Vec<Planned<'a>>),
}

/// Saves an adapter with one head or none to `folder`, on its way to `to`. The configuration comes last: a folder without it is no
/// adapter.
pub fn save_one(
    adapter: &Adapter,
    head: Option<&Head>,
    (folder, to): (&Path, &Path),
    (format, types): (Format, Types),
) -> Result<()> {
    let metadata = adapter.parts().metadata.get();
    // One of several heads has the name of its folder: they are loaded beside each other.
    let own = metadata
        .hub_name
        .clone()
        .filter(|_| adapter.heads().len() < 2);
    let name = own.unwrap_or_else(|| plain(&folder_name(folder)));
    let (config, mut files) = match format {
        Format::AdapterHub => adapterhub::files(adapter, head, &name, types)?,
        Format::Peft => peft::files(adapter, head, types)?,
    };
    let card = card::card(adapter, &name, format)?;
    files.push(("README.md", Content::Bytes(card.into_bytes())));
    files.push((CONFIG, Content::Bytes(pretty(&config))));
    for (file, content) in files {
        let path = folder.join(file);
        match content {
            Content::Bytes(bytes) => write_atomic(&path, &bytes)?,
            Content::Tensors(plan) => {
                tensorfile::write(&path, plan, Some(("format", "pt".into())))?;
            }
        }
    }
    beside::copy(&metadata, folder)?;
    let loaded = load_files(folder)?;
    match head {
        Some(head) if adapter.heads().len() > 1 => {
            let own = adapter.with_head(head.clone());
            Origin::write(&own, Some(adapter.id()), (folder, to), types, &loaded)
        }
        _ => Origin::write(adapter, None, (folder, to), types, &loaded),
    }
}

/// The last part of a folder's path; of a snapshot in the hub's cache, which is called by its
/// commit, the repository's name.
pub fn folder_name(folder: &Path) -> String {
    if let Some(repository) = crate::hub::repository_at(folder) {
        return repository;
    }
    folder
        .file_name()
        .map_or("adapter".into(), |n| n.to_string_lossy().into_owned())
}

/// A name that is neither a path nor, by its dots, a step in a tensor's name.
pub fn plain(name: &str) -> String {
    let safe = |c: char| {
        if c.is_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    match name.is_empty() {
        true => "adapter".into(),
        false => name.chars().map(safe).collect(),
    }
}

/// JSON for people, with a line end.
pub fn pretty(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text.into_bytes()
}
