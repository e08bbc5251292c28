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
use crate::adapter::source::LARGE;
use crate::adapter::value::{Adapter, Training, head_id};
use crate::adapter::with_values;
use crate::study::Id;
use crate::study::files::write_atomic;
use crate::{Error, Result};

use super::{read_json, standing};

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
    /// The id that the files alone give. Where they give another by now, somebody has changed
    /// them, and nothing here counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Id>,
    /// How it was trained, where it was trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// The seed it was drawn under, where it is as before training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_seed: Option<u64>,
    /// What it was loaded from: a folder, or a repository of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The recipe, as it describes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Value>,
    /// What its head's outputs mean, which PEFT's files have no place for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadOrigin>,
    /// The hashes of the files that were written with it, by name: what is as it was written may be
    /// replaced when the adapter is saved again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What went into the recipe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Origin>,
}

/// What a saved head's outputs mean.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeadOrigin {
    /// The names of its classes in the order of its outputs.
    pub labels: Vec<String>,
    /// The id of the head as the files alone give it. Where they give another by now, nothing here
    /// counts.
    pub content: String,
    /// The id of the dataset it was trained on, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
}

impl HeadOrigin {
    /// Of the one head of an adapter, where it has names that the files beside do not have.
    fn of(adapter: &Adapter, loaded: &Adapter) -> Option<Self> {
        let ([head], [read]) = (adapter.heads(), loaded.heads()) else {
            return None;
        };
        match (&head.labels, &read.labels) {
            (Labels::Named(labels), Labels::Counted(n)) if labels.len() == *n => Some(Self {
                labels: labels.clone(),
                content: head_id(read),
                dataset: head.dataset.clone(),
            }),
            _ => None,
        }
    }

    /// Gives the head what its files do not say.
    fn restore(self, head: &mut Head) {
        let counted = matches!(head.labels, Labels::Counted(n) if n == self.labels.len());
        if counted && head_id(head) == self.content {
            head.labels = Labels::Named(self.labels);
            head.dataset = head.dataset.take().or(self.dataset);
        }
    }
}

impl Origin {
    /// Of an adapter.
    pub fn of(adapter: &Adapter) -> Self {
        let recipe = adapter.recipe();
        let inputs = recipe.map(|r| r.inputs()).unwrap_or_default();
        Self {
            tureen: env!("CARGO_PKG_VERSION").into(),
            name: adapter.name().into(),
            id: adapter.id().clone(),
            whole: None,
            content: None,
            training: adapter.training().cloned(),
            init_seed: adapter.parts().init_seed,
            source: adapter.parts().source.clone(),
            recipe: recipe.map(|r| r.describe()),
            head: None,
            files: BTreeMap::new(),
            inputs: inputs.iter().map(Self::of).collect(),
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

    /// The adapter whose files alone gave `loaded`, with what its folder tells of it.
    pub fn restore(folder: &Path, loaded: Adapter) -> Result<Adapter> {
        let Some(origin) = Self::read(folder)? else {
            return Ok(loaded);
        };
        let mut parts = loaded.parts().clone();
        if let (Some(told), [head]) = (origin.head, &mut parts.heads[..]) {
            told.restore(Arc::make_mut(head));
        }
        if origin.content.as_ref() == Some(loaded.id()) {
            parts.id = origin.id;
            parts.training = origin.training;
            parts.init_seed = origin.init_seed;
        }
        Ok(loaded.with_parts(parts))
    }

    /// Writes that of an adapter whose files are in `folder`, where loading them gives `loaded`;
    /// `whole` is the id of the adapter of which this one has a head.
    pub fn write(
        adapter: &Adapter,
        whole: Option<&Id>,
        folder: &Path,
        loaded: &Adapter,
    ) -> Result<()> {
        let mut origin = Self::of(adapter);
        origin.whole = whole.cloned();
        origin.files = standing::files_in(folder)?;
        origin.head = HeadOrigin::of(adapter, loaded);
        if same(adapter, loaded)? {
            origin.content = Some(loaded.id().clone());
        }
        let mut bytes =
            serde_json::to_vec_pretty(&origin).map_err(|e| Error::new(e.to_string()))?;
        bytes.push(b'\n');
        write_atomic(&folder.join(FILE), &bytes)
    }
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
