//! Adapters on disk, one folder a library.

pub mod adapterhub;
mod beside;
mod card;
mod convert;
mod origin;
pub mod own;
pub mod peft;
mod place;
mod prefix;
pub mod sparse;
mod standing;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::metadata::Precision;
use super::value::Adapter;
use crate::study::Id;
use crate::study::files::Aside;
use crate::{Context, Error, Result, bail};

pub use origin::Origin;
pub use place::plain;
pub use standing::{FORCE, Standing, is_used, may_replace, refused, standing};

/// A library's layout of an adapter's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// That of `adapters` 1.3.0.
    AdapterHub,
    /// That of `peft` 0.21.
    Peft,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "adapterhub" => Ok(Self::AdapterHub),
            "peft" => Ok(Self::Peft),
            _ => bail!("unknown format {name:?}; known: adapterhub, peft"),
        }
    }
}

/// The files of a repository that adapters are loaded from.
pub fn needed(names: &[String]) -> Vec<String> {
    let own = |name: &String| name.rsplit('/').next().unwrap_or_default().to_string();
    let of = |name: &&String| {
        let folder = name.strip_suffix(&own(name)).unwrap_or_default();
        let beside = |file: &str| names.contains(&format!("{folder}{file}"));
        match own(name).as_str() {
            CONFIG | "head_config.json" | sparse::FILE | sparse::HEADS => true,
            file if beside::is_needed(file) => true,
            "adapter.safetensors" | "model_head.safetensors" | "adapter_model.safetensors" => true,
            // Pickles only where there is nothing else.
            "pytorch_adapter.bin" => !beside("adapter.safetensors"),
            "pytorch_model_head.bin" => !beside("model_head.safetensors"),
            "adapter_model.bin" => !beside("adapter_model.safetensors"),
            _ => false,
        }
    };
    names.iter().filter(of).cloned().collect()
}

/// Loads an adapter's folder in either library's layout or in the sparse one. Needs no base model.
///
/// A folder whose sub-folders hold one adapter with a head each, as [`save`] writes one with several
/// heads, is that adapter.
pub fn load(folder: &Path) -> Result<Adapter> {
    load_with(folder, &Context::silent())
}

/// The same, with notices of what was left out.
pub fn load_with(folder: &Path, context: &Context) -> Result<Adapter> {
    if !folder.join(CONFIG).is_file()
        && let Some(whole) = of_heads(folder)?
    {
        return Ok(whole);
    }
    Origin::restore(folder, load_files(folder)?, context)
}

/// The adapter of which each sub-folder has a head; none where these are not of one adapter.
fn of_heads(folder: &Path) -> Result<Option<Adapter>> {
    let inside = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let saved = |path: &PathBuf| path.join(origin::FILE).is_file();
    let mut folders: Vec<PathBuf> = inside.map(|entry| entry.path()).filter(saved).collect();
    folders.sort();
    let (mut parts, mut ids) = (Vec::new(), Vec::new());
    let mut unchanged = true;
    for own in &folders {
        let Some(origin) = Origin::read(own)? else {
            return Ok(None);
        };
        let loaded = load_files(own)?;
        // Files that are not as they were written belong to no whole.
        let Some(id) = origin.whole.clone().filter(|_| {
            origin
                .is_of(own, &loaded)
                .is_ok_and(|known| known == Some(true))
        }) else {
            return Ok(None);
        };
        unchanged &= origin.content.is_some();
        parts.push(Origin::restore(own, loaded, &Context::silent())?);
        ids.push(id);
    }
    let (Some(first), Some(id)) = (parts.first(), ids.first()) else {
        return Ok(None);
    };
    if parts.len() < 2 || ids.iter().any(|other| other != id) {
        return Ok(None);
    }
    // In another form, or in numbers of another type, it is another adapter.
    let own = parts.iter().map(|part| part.id().as_str());
    let id = match unchanged {
        true => id.clone(),
        false => Id::of_content("adapter", own.collect::<Vec<_>>().join(" ").as_bytes()),
    };
    let mut whole = first.parts().clone();
    whole.id = id;
    let heads = parts.iter().flat_map(|part| part.heads().iter().cloned());
    whole.heads = heads.collect();
    if let Some(name) = folder.file_name() {
        whole.name = name.to_string_lossy().into_owned();
    }
    Ok(Some(first.with_parts(whole)))
}

/// What the libraries' files say, and no more.
fn load_files(folder: &Path) -> Result<Adapter> {
    if !folder.is_dir() {
        let what = if folder.exists() {
            "not a folder"
        } else {
            "no such folder"
        };
        return Err(Error::at_path(folder, what)
            .hint("expected an adapter's folder with adapter_config.json"));
    }
    let path = folder.join(CONFIG);
    if !path.is_file() && folder.join(sparse::FILE).is_file() {
        return beside::add(folder, sparse::load(folder)?);
    }
    if !path.is_file() {
        return Err(no_config(folder));
    }
    let json = read_json(&path)?;
    if json.get("config").is_some() {
        return beside::add(folder, adapterhub::load(folder, &json)?);
    }
    if json.get("peft_type").is_some() {
        return beside::add(folder, peft::load(folder, &json)?);
    }
    Err(
        Error::at_path(&path, "neither \"config\" nor \"peft_type\"")
            .hint("expected the configuration of an AdapterHub or a PEFT adapter"),
    )
}

/// The files that an adapter is saved as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A library's; without one the one that its kind is at home in. And the types of its numbers.
    Dense(Option<Format>, Types),
    /// Masks as bits and the kept values packed.
    Sparse,
}

/// The types of the numbers that an adapter is saved in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Types {
    /// Those that its tensors had in the files that it came from; in a soup those that all members
    /// had, else single precision.
    #[default]
    Keep,
    /// One for all.
    #[serde(untagged)]
    All(Precision),
}

/// Saves an adapter to `folder` with its head; with several heads, to one sub-folder a head.
/// Without a format it is the one that its kind is at home in. Returns the folders written.
///
/// An adapter in the folder is replaced, unless it is in the sparse layout; see [`may_replace`].
pub fn save(adapter: &Adapter, folder: &Path, format: Option<Format>) -> Result<Vec<PathBuf>> {
    if folder.join(sparse::FILE).exists() {
        return Err(
            Error::at_path(folder, "holds an adapter in the sparse layout")
                .hint("choose another folder, or remove it first"),
        );
    }
    save_over(adapter, folder, Layout::Dense(format, Types::Keep), false)
}

/// Saves an adapter in place of whatever adapter stands in the folder, and of its card, unless that
/// was edited and is to stay. All is written aside first, so that the adapter may come from the
/// folder itself.
pub fn save_over(
    adapter: &Adapter,
    folder: &Path,
    layout: Layout,
    keep_cards: bool,
) -> Result<Vec<PathBuf>> {
    let aside = Aside::of(folder)?;
    let root = aside.path();
    let written = match layout {
        Layout::Dense(format, types) => {
            aside.named(save_into(adapter, (&root, folder), format, types))?
        }
        Layout::Sparse => {
            aside.named(sparse::write(adapter, &root, folder))?;
            vec![root.clone()]
        }
    };
    let within = |path: PathBuf| match path.strip_prefix(&root) {
        Ok(part) if part.as_os_str().is_empty() => folder.to_path_buf(),
        Ok(part) => folder.join(part),
        Err(_) => path,
    };
    let folders: Vec<PathBuf> = written.iter().cloned().map(within).collect();
    if keep_cards {
        for (new, old) in written.iter().zip(&folders) {
            standing::keep_card(new, old)?;
        }
    }
    let stale = standing::stale(folder)?;
    aside.settle(&[CONFIG, origin::FILE], &stale)?;
    Ok(folders)
}

/// Writes an adapter to a folder that is not there yet, on its way to `to`.
fn save_into(
    adapter: &Adapter,
    (folder, to): (&Path, &Path),
    format: Option<Format>,
    types: Types,
) -> Result<Vec<PathBuf>> {
    let format = match format {
        Some(format) => format,
        None if peft::is_home(adapter) || !adapterhub::knows(adapter) => Format::Peft,
        None => Format::AdapterHub,
    };
    let heads = adapter.heads();
    if heads.len() < 2 {
        place::save_one(
            adapter,
            heads.first().map(|h| &**h),
            (folder, to),
            (format, types),
        )?;
        return Ok(vec![folder.to_path_buf()]);
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    for head in heads {
        // A head's name comes from a file or a script and must stay within the folder.
        let mut own = folder.join(place::plain(&head.name));
        while folders.contains(&own) {
            own.as_mut_os_string().push("_");
        }
        let to = own
            .file_name()
            .map_or(to.to_path_buf(), |name| to.join(name));
        place::save_one(adapter, Some(head), (&own, &to), (format, types))?;
        folders.push(own);
    }
    Ok(folders)
}

/// The folder in a saved soup's that holds its members, where they were asked for.
pub const MEMBERS: &str = "members";

/// Saves the adapters that a soup comes down to beside it, each in the format it is at home in.
pub fn save_inputs(adapter: &Adapter, folder: &Path) -> Result<()> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut waiting = vec![adapter.clone()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(next) = waiting.pop() {
        let Some(recipe) = next.recipe() else {
            let mut own = folder.join(MEMBERS).join(place::plain(next.name()));
            while folders.contains(&own) {
                own.as_mut_os_string().push("_");
            }
            if seen.insert(next.id().clone()) {
                save_over(&next, &own, Layout::Dense(None, Types::Keep), true)?;
                folders.push(own);
            }
            continue;
        };
        waiting.extend(recipe.inputs());
    }
    Ok(())
}

/// The configuration's file, in both layouts.
const CONFIG: &str = "adapter_config.json";

/// An error that names the adapters in sub-folders, where there are any.
fn no_config(folder: &Path) -> Error {
    let error = Error::at_path(&folder.join(CONFIG), "no such file");
    let inside = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = inside
        .filter(|entry| entry.path().join(CONFIG).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    match names.is_empty() {
        true if folder.join("config.json").is_file() => {
            error.hint("the folder holds a base model: read it with model")
        }
        true => error.hint("expected an adapter's folder in AdapterHub's or PEFT's layout"),
        false => Error::at_path(folder, "the folder holds several adapters, not one").hint(format!(
            "name one of them: {}; a soup's differ in their heads alone, and replay makes it whole",
            names.join(", ")
        )),
    }
}

fn read_json(path: &Path) -> Result<Value> {
    let text = crate::text::read(path)?;
    serde_json::from_str(&text).map_err(|e| Error::at_path(path, format!("not valid JSON: {e}")))
}
