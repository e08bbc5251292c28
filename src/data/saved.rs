//! Folders that the datasets library's `save_to_disk` wrote: Arrow files with their list.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::layout::Layout;
use crate::{Error, Result, text};

/// The file beside the Arrow files of one split, and the one beside the folders of several.
const STATE: &str = "state.json";
const SPLITS: &str = "dataset_dict.json";

/// The files of each split; none where the folder is not one of these. A folder of a single dataset
/// has all its rows in every role.
pub(super) fn layout(folder: &Path) -> Result<Option<Layout>> {
    if folder.join(SPLITS).is_file() {
        let path = folder.join(SPLITS);
        let listed = json(&path)?;
        let names = listed.get("splits").and_then(Value::as_array);
        let names = names.ok_or_else(|| Error::at_path(&path, "no list \"splits\""))?;
        let split = |name: &Value| {
            let name = plain(&path, name)?;
            Ok((name.to_string(), shards(&folder.join(name))?))
        };
        let splits = names.iter().map(split).collect::<Result<_>>()?;
        return Layout::of_splits(splits).map(Some);
    }
    // A folder of other files may have a state.json, too.
    let arrow = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|e| e == "arrow");
    let mut inside = std::fs::read_dir(folder).into_iter().flatten().flatten();
    if !folder.join(STATE).is_file() || !inside.any(arrow) {
        return Ok(None);
    }
    Ok(Some(Layout {
        all: shards(folder)?,
        ..Layout::default()
    }))
}

/// The files of one split, in their order.
fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let path = folder.join(STATE);
    let state = json(&path)?;
    let files = state.get("_data_files").and_then(Value::as_array);
    let files = files.ok_or_else(|| Error::at_path(&path, "no list \"_data_files\""))?;
    if state
        .get("_indices_files")
        .is_some_and(|files| !files.is_null())
    {
        return Err(Error::at_path(
            &path,
            "the rows are chosen by a file of indices, which is not read",
        )
        .hint("call flatten_indices() in Python before save_to_disk()"));
    }
    let file = |file: &Value| {
        let name = file.get("filename").unwrap_or(&Value::Null);
        Ok(folder.join(plain(&path, name)?))
    };
    files.iter().map(file).collect()
}

/// A name that stays within the folder.
fn plain<'j>(path: &Path, name: &'j Value) -> Result<&'j str> {
    let name = name.as_str().unwrap_or_default();
    match name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
        true => Err(Error::at_path(path, format!("{name:?} is no file's name"))),
        false => Ok(name),
    }
}

fn json(path: &Path) -> Result<Value> {
    let content = text::read(path)?;
    text::json::value(&content).map_err(|e| text::json::bad(1, &content, &e).within(path.display()))
}
