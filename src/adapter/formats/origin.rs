//! Where a saved adapter comes from: `tureen.json` beside its files.
//!
//! The other libraries do not look at it. It holds the id, the training and the recipe with all
//! that went into it, so that an adapter that is loaded again is the one that was saved, and a soup
//! can be made once more.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adapter::head::{Head, Labels};
use crate::adapter::metadata::Metadata;
use crate::adapter::source::LARGE;
use crate::adapter::value::{Adapter, Training};
use crate::adapter::with_values;
use crate::study::Id;
use crate::study::files::write_atomic;
use crate::{Context, Error, Result};

use super::{Types, read_json, standing};

/// The file's name.
pub const FILE: &str = "tureen.json";

/// Where an adapter comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Origin {
    /// The version that wrote it.
    pub tureen: String,
    /// The adapter's name.
    pub name: String,
    /// Its id.
    pub id: Id,
    /// The id of the adapter with all its heads, of which these files hold one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Id>,
    /// The id that the files alone give, where they hold the adapter as it is. Where they give
    /// another by now, somebody has changed them, and nothing here counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Id>,
    /// The id that the files alone give, also where they hold the adapter in another form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Id>,
    /// The hash of its base's weights, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_id: Option<String>,
    /// How it was trained, where it was trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// The seed it was drawn under, where it is as before training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_seed: Option<u64>,
    /// What it was loaded from: a folder, by the way to it from the one it is saved to, or a
    /// repository of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The recipe, as it describes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Value>,
    /// What its head's files leave out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadOrigin>,
    /// The types of numbers that were asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub types: Types,
    /// What the layout of its files has no place for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub metadata: Metadata,
    /// The hashes of the files that were written with it, by name: what is as it was written may be
    /// replaced when the adapter is saved again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What went into the recipe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Origin>,
}

/// What a head's files leave out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadOrigin {
    /// What it was trained for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The names of its classes in the order of its outputs, which PEFT's files have no place for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The id of the dataset it was trained on, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
}

impl HeadOrigin {
    /// Of the one head of an adapter.
    fn of(adapter: &Adapter) -> Option<Self> {
        let [head] = adapter.heads() else {
            return None;
        };
        let labels = match &head.labels {
            Labels::Named(labels) => labels.clone(),
            _ => Vec::new(),
        };
        Some(Self {
            name: Some(head.name.clone()),
            labels,
            dataset: head.dataset.clone(),
        })
    }

    /// Gives the head what its files do not say.
    fn restore(self, head: &mut Head) {
        if matches!(head.labels, Labels::Counted(n) if n == self.labels.len()) {
            head.labels = Labels::Named(self.labels);
        }
        head.name = self.name.unwrap_or_else(|| head.name.clone());
        head.dataset = head.dataset.take().or(self.dataset);
    }
}

impl Origin {
    /// Of an adapter that is saved to `folder`.
    pub fn of(adapter: &Adapter, folder: &Path) -> Self {
        let recipe = adapter.recipe();
        let inputs = recipe.map(|r| r.inputs()).unwrap_or_default();
        let source = adapter.parts().source.as_deref();
        Self {
            tureen: env!("CARGO_PKG_VERSION").into(),
            name: adapter.name().into(),
            id: adapter.id().clone(),
            whole: None,
            content: None,
            read: None,
            base_id: adapter.base().id.clone(),
            training: adapter.training().cloned(),
            init_seed: adapter.parts().init_seed,
            source: source.map(|source| portable(source, folder)),
            recipe: recipe.map(|r| r.describe()),
            head: HeadOrigin::of(adapter),
            types: Types::Keep,
            metadata: Metadata::default(),
            files: BTreeMap::new(),
            inputs: inputs.iter().map(|input| Self::of(input, folder)).collect(),
        }
    }

    /// That of a saved adapter; none where it has none.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        match serde_json::from_value(read_json(&path)?) {
            Ok(origin) => Ok(Some(origin)),
            Err(e) => {
                Err(Error::at_path(&path, e).hint("remove the file to load what is beside it"))
            }
        }
    }

    /// Whether it was written for the files in `folder`, which alone give `loaded`; none where it
    /// does not say.
    pub(super) fn is_of(&self, folder: &Path, loaded: &Adapter) -> Result<Option<bool>> {
        let ids = [&self.read, &self.content];
        if ids.into_iter().flatten().any(|id| id == loaded.id()) {
            return Ok(Some(true));
        }
        if !self.files.is_empty() {
            // What the files mean may be read in another way than it was by the version that wrote
            // them.
            return standing::are_as_written(folder, &self.files).map(Some);
        }
        Ok((self.read.is_some() || self.content.is_some()).then_some(false))
    }

    /// The adapter whose files alone gave `loaded`, with what its folder tells of it.
    pub fn restore(folder: &Path, loaded: Adapter, context: &Context) -> Result<Adapter> {
        let Some(origin) = Self::read(folder)? else {
            return Ok(loaded);
        };
        match origin.is_of(folder, &loaded)? {
            Some(true) => {}
            Some(false) => {
                context.notice_once(format!(
                    "{}: not of the weights or the configuration beside it, which were changed since; names of labels, the training and the recipe in it are left out",
                    folder.join(FILE).display()
                ));
                return Ok(loaded);
            }
            None => return Ok(loaded),
        }
        let mut parts = loaded.parts().clone();
        if origin.content.is_some() {
            parts.id = origin.id;
            parts.training = origin.training;
            parts.init_seed = origin.init_seed;
        }
        parts.base.id = parts.base.id.take().or(origin.base_id);
        if let (Some(told), [head]) = (origin.head, &mut parts.heads[..]) {
            told.restore(Arc::make_mut(head));
        }
        let mut metadata = (*parts.metadata.get()).clone();
        metadata.complete(origin.metadata);
        parts.metadata = metadata.into();
        Ok(loaded.with_parts(parts))
    }

    /// Writes that of an adapter whose files are in `folder`, on their way to `to`, where loading
    /// them gives `loaded`; `whole` is the id of the adapter of which this one has a head.
    pub fn write(
        adapter: &Adapter,
        whole: Option<&Id>,
        (folder, to): (&Path, &Path),
        types: Types,
        loaded: &Adapter,
    ) -> Result<()> {
        let mut origin = Self::of(adapter, to);
        origin.types = types;
        origin.metadata = adapter.parts().metadata.get().portable();
        origin.whole = whole.cloned();
        origin.files = standing::files_in(folder)?;
        origin.read = Some(loaded.id().clone());
        if same(adapter, loaded)? {
            origin.content = Some(loaded.id().clone());
        }
        let mut bytes =
            serde_json::to_vec_pretty(&origin).map_err(|e| Error::new(e.to_string()))?;
        bytes.push(b'\n');
        write_atomic(&folder.join(FILE), &bytes)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Where an adapter was loaded from, as a file in `folder` says it: a name of the hub as it is, a
/// folder by the way to it from there, since a full path says nothing to others.
fn portable(source: &str, folder: &Path) -> String {
    let path = Path::new(source);
    if !path.is_absolute() {
        return source.to_string();
    }
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    // Links are followed as far as the folders exist.
    let real = folder.ancestors().find_map(|above| {
        let rest = folder.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    });
    let folder = real.unwrap_or(folder);
    let shared = path.components().zip(folder.components());
    let shared = shared.take_while(|(a, b)| a == b).count();
    let (up, down) = (
        folder.components().skip(shared),
        path.components().skip(shared),
    );
    let mut all = vec![String::from(".")];
    all.extend(up.map(|_| "..".to_string()));
    all.extend(down.map(|part| part.as_os_str().to_string_lossy().into_owned()));
    all.join("/")
}

/// Whether a kind and its numbers came back as they were; not asked of what does not fit in
/// memory.
fn same(adapter: &Adapter, loaded: &Adapter) -> Result<bool> {
    if 4 * adapter.parameter_count()? > LARGE || adapter.kind().config() != loaded.kind().config() {
        return Ok(false);
    }
    let (own, theirs) = (adapter.tensors()?, loaded.tensors()?);
    if !own.keys().eq(theirs.keys()) {
        return Ok(false);
    }
    for (own, theirs) in own.values().zip(theirs.values()) {
        if own.dims() != theirs.dims() || !equal(own, theirs)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    let bits = |x: &f32, y: &f32| x.to_bits() == y.to_bits();
    with_values(a, |a| {
        with_values(b, |b| a.iter().zip(b).all(|(x, y)| bits(x, y)))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_the_way_to_it() {
        let of = |source: &str| portable(source, Path::new("/somewhere/out/soup"));
        assert_eq!(of("owner/name@main"), "owner/name@main");
        assert_eq!(of("/somewhere/a"), "./../../a");
        assert_eq!(of("/somewhere/out/soup/members/a"), "./members/a");
        assert_eq!(of("/elsewhere/a"), "./../../../elsewhere/a");
    }
}
