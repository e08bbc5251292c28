//! The Adapter: an immutable value that knows where it came from.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::Dataset;
use crate::model::Architecture;
use crate::prune::Mask;
use crate::study::Id;
use crate::{Error, Result, bail};

use super::check;
use super::head::{Head, Labels};
use super::kind::Kind;
use super::metadata;
use super::source::{FileTensors, Shapes, Source};
use super::tensors::{Name, Tensors};

/// The base model an adapter belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// As the adapter's file or the script named it.
    pub name: String,
    /// The hash of its weights, where known: for adapters trained here.
    pub id: Option<String>,
    /// `bert`...
    pub model_type: String,
    /// Width of its hidden states.
    pub hidden_size: usize,
}

impl Base {
    /// Whether it may be a model of this configuration: of the same architecture, or of one whose
    /// tensors are named alike where only the names are known, and of the same width where that
    /// is known.
    fn suits(&self, config: &crate::model::Config) -> bool {
        let named_alike = || {
            let (own, other) = (
                Architecture::find(&self.model_type),
                Architecture::find(&config.model_type),
            );
            let from_names = self.hidden_size == 0;
            own.zip(other)
                .is_some_and(|(a, b)| from_names && (a.prefix, a.layers) == (b.prefix, b.layers))
        };
        (self.model_type.is_empty() || self.model_type == config.model_type || named_alike())
            && (self.hidden_size == 0 || self.hidden_size == config.hidden_size)
    }
}

/// How an adapter was trained here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Training {
    /// The dataset's name.
    pub dataset: String,
    /// The dataset's id.
    pub dataset_id: String,
    /// The seed its initial tensors were drawn under; none where it started from an adapter of
    /// which that is not known.
    pub init_seed: Option<u64>,
    /// The longest text in tokens.
    pub max_length: usize,
    /// The epoch that was kept, from 1.
    pub best_epoch: usize,
    /// Mean training loss, validation loss and validation score of each epoch.
    pub epochs: Vec<Epoch>,
    /// All options, as they counted.
    pub options: Value,
    /// The step after which it is a checkpoint of the training, from 1; none for the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The checkpoints that were kept beside the result, in order. Not in its files.
    #[serde(skip)]
    pub checkpoints: Arc<[Adapter]>,
}

/// What one epoch gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean training loss.
    pub loss: f64,
    /// Validation loss; none without a validation split.
    pub validation_loss: Option<f64>,
    /// Validation accuracy, or minus the squared error in regression; none without a validation
    /// split.
    pub validation_score: Option<f64>,
}

/// How an adapter's weights are made when they are needed.
pub trait Recipe: fmt::Debug + Send + Sync {
    /// Makes the weights.
    fn tensors(&self) -> Result<Tensors>;
    /// The adapters that go in.
    fn members(&self) -> &[Adapter];
    /// All adapters that it needs: the members, and what else it looks at.
    fn inputs(&self) -> Vec<Adapter> {
        self.members().to_vec()
    }
    /// How they go in, for people and for files.
    fn describe(&self) -> Value;
    /// Itself, for those who know recipes of its type.
    fn as_any(&self) -> &dyn Any;
    /// Number of weights, without making them.
    fn parameter_count(&self) -> Result<usize>;
    /// Names and shapes of the weights.
    fn shapes(&self) -> Result<Shapes> {
        let tensors = self.tensors()?;
        Ok(shapes_of(&tensors))
    }
    /// One of the weights, without the others where that can be.
    fn tensor(&self, name: &Name) -> Result<Tensor> {
        match self.tensors()?.remove(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("there is no tensor {name}"),
        }
    }
}

/// The shapes of tensors.
fn shapes_of(tensors: &Tensors) -> Shapes {
    let shapes = tensors.iter().map(|(n, t)| (n.clone(), t.dims().to_vec()));
    shapes.collect()
}

/// Everything an adapter is made of; see [`Adapter::new`].
#[derive(Debug, Clone)]
pub struct Parts {
    /// Display name: its dataset, or what it was loaded from.
    pub name: String,
    /// Its kind with settings.
    pub kind: Arc<dyn Kind>,
    /// The base it belongs to.
    pub base: Base,
    /// Its id: of its recipe or its content.
    pub id: Id,
    /// Its heads, at most one a dataset. Soups share their members'.
    pub heads: Vec<Arc<Head>>,
    /// Which entries are kept, where it was pruned.
    pub mask: Option<Arc<Mask>>,
    /// How it was trained, where it was trained here.
    pub training: Option<Training>,
    /// The seed its tensors were drawn under, where they are as before training; a training records
    /// its own.
    pub init_seed: Option<u64>,
    /// The dataset it was trained on, where it is at hand.
    pub domain: Option<Dataset>,
    /// The folder or the repository it was loaded from.
    pub source: Option<String>,
    /// What its folder says beside the weights, or its members' do.
    pub metadata: metadata::Source,
}

/// A set of adapter weights with its kind, base, heads and origin. Cheap to clone, immutable.
#[derive(Clone)]
pub struct Adapter(Arc<Inner>);

struct Inner {
    parts: Parts,
    weights: Weights,
}

enum Weights {
    Ready(Arc<Tensors>),
    /// Read when needed; kept while somebody uses them.
    Files(Arc<FileTensors>, Mutex<Weak<Tensors>>),
    /// Made when needed; kept while somebody uses them.
    Recipe(Arc<dyn Recipe>, Mutex<Weak<Tensors>>),
    /// Left to others, or to later.
    Unmade(Shapes),
}

impl Adapter {
    /// An adapter with these weights (f32, on the CPU). Errors on NaN or infinite values and on
    /// shapes that do not belong together.
    pub fn new(parts: Parts, tensors: Tensors) -> Result<Self> {
        check::finite(&parts.name, &tensors)?;
        for head in &parts.heads {
            head.validate()?;
            check::finite(&head.name, &head.tensors)?;
        }
        Ok(Self(Arc::new(Inner {
            parts,
            weights: Weights::Ready(Arc::new(tensors)),
        })))
    }

    /// An adapter whose weights come from files; large ones stay there until they are needed.
    pub fn from_source(parts: Parts, source: Source) -> Result<Self> {
        match source {
            Source::Ready(tensors) => Self::new(parts, tensors),
            Source::Files(files) => {
                for head in &parts.heads {
                    head.validate()?;
                    check::finite(&head.name, &head.tensors)?;
                }
                let weights = Weights::Files(files, Mutex::new(Weak::new()));
                Ok(Self(Arc::new(Inner { parts, weights })))
            }
        }
    }

    /// An adapter whose weights `recipe` makes when they are needed.
    pub fn from_recipe(parts: Parts, recipe: Arc<dyn Recipe>) -> Self {
        let weights = Weights::Recipe(recipe, Mutex::new(Weak::new()));
        Self(Arc::new(Inner { parts, weights }))
    }

    /// An adapter whose weights, of these shapes, this run does not make: whatever asks for them
    /// is pending.
    pub fn unmade(parts: Parts, shapes: Shapes) -> Self {
        let weights = Weights::Unmade(shapes);
        Self(Arc::new(Inner { parts, weights }))
    }

    fn pending(&self) -> Error {
        Error::pending(format!("{} is not trained yet", self.name()))
    }

    /// Its weights, made now if it is a recipe.
    pub fn tensors(&self) -> Result<Arc<Tensors>> {
        match &self.0.weights {
            Weights::Ready(tensors) => Ok(tensors.clone()),
            Weights::Files(files, cache) => cached(cache, || files.all()),
            Weights::Recipe(recipe, cache) => cached(cache, || {
                let tensors = recipe.tensors()?;
                check::finite(self.name(), &tensors)?;
                Ok(tensors)
            }),
            Weights::Unmade(_) => Err(self.pending()),
        }
    }

    /// Names and shapes of its weights, without the weights where they are not there yet.
    pub fn shapes(&self) -> Result<Shapes> {
        match &self.0.weights {
            Weights::Ready(tensors) => Ok(shapes_of(tensors)),
            Weights::Files(files, _) => Ok(files.shapes().clone()),
            Weights::Recipe(recipe, _) => recipe.shapes(),
            Weights::Unmade(shapes) => Ok(shapes.clone()),
        }
    }

    /// The shape of one of its weights; none where it has none of that name.
    pub fn shape(&self, name: &Name) -> Result<Option<Vec<usize>>> {
        Ok(match &self.0.weights {
            Weights::Ready(tensors) => tensors.get(name).map(|t| t.dims().to_vec()),
            Weights::Files(files, _) => files.shapes().get(name).cloned(),
            Weights::Recipe(recipe, _) => recipe.shapes()?.remove(name),
            Weights::Unmade(shapes) => shapes.get(name).cloned(),
        })
    }

    /// One of its weights, without the others where they are not there yet.
    pub fn tensor(&self, name: &Name) -> Result<Tensor> {
        let found = match &self.0.weights {
            Weights::Ready(tensors) => tensors.get(name).cloned(),
            Weights::Files(files, cache) => match peek(cache) {
                Some(tensors) => tensors.get(name).cloned(),
                None => return files.get(name),
            },
            Weights::Recipe(recipe, cache) => match peek(cache) {
                Some(tensors) => tensors.get(name).cloned(),
                None => {
                    let tensor = recipe.tensor(name)?;
                    check::finite_tensor(name, &tensor).map_err(|e| e.within(self.name()))?;
                    return Ok(tensor);
                }
            },
            Weights::Unmade(_) => return Err(self.pending()),
        };
        match found {
            Some(tensor) => Ok(tensor),
            None => bail!("{} has no tensor {name}", self.name()),
        }
    }

    /// The files its weights lie in, where they are not in memory.
    pub fn files(&self) -> Option<&FileTensors> {
        match &self.0.weights {
            Weights::Files(files, cache) if peek(cache).is_none() => Some(files),
            _ => None,
        }
    }

    /// Display name.
    pub fn name(&self) -> &str {
        &self.0.parts.name
    }

    /// Its id.
    pub fn id(&self) -> &Id {
        &self.0.parts.id
    }

    /// Its kind.
    pub fn kind(&self) -> &Arc<dyn Kind> {
        &self.0.parts.kind
    }

    /// Its base.
    pub fn base(&self) -> &Base {
        &self.0.parts.base
    }

    /// Its heads.
    pub fn heads(&self) -> &[Arc<Head>] {
        &self.0.parts.heads
    }

    /// Which entries are kept, where it was pruned.
    pub fn mask(&self) -> Option<&Arc<Mask>> {
        self.0.parts.mask.as_ref()
    }

    /// How it was trained, where it was trained here.
    pub fn training(&self) -> Option<&Training> {
        self.0.parts.training.as_ref()
    }

    /// The seed its initial tensors were drawn under, where it is recorded and, in a soup, shared.
    pub fn init_seed(&self) -> Option<u64> {
        let Some(recipe) = self.recipe() else {
            return match self.training() {
                Some(training) => training.init_seed,
                None => self.0.parts.init_seed,
            };
        };
        let members = recipe.members();
        let first = members.first()?.init_seed()?;
        let shared = |m: &Self| m.init_seed() == Some(first);
        members.iter().all(shared).then_some(first)
    }

    /// The dataset it was trained on, where it is at hand.
    pub fn domain(&self) -> Option<&Dataset> {
        self.0.parts.domain.as_ref()
    }

    /// Everything but the weights.
    pub fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// The recipe it is made by, if it is one.
    pub fn recipe(&self) -> Option<&Arc<dyn Recipe>> {
        match &self.0.weights {
            Weights::Ready(_) | Weights::Files(..) | Weights::Unmade(_) => None,
            Weights::Recipe(recipe, _) => Some(recipe),
        }
    }

    /// The adapters it was mixed from; itself where it was not mixed.
    pub fn members(&self) -> &[Adapter] {
        match self.recipe() {
            Some(recipe) => recipe.members(),
            None => std::slice::from_ref(self),
        }
    }

    /// Number of weights.
    pub fn parameter_count(&self) -> Result<usize> {
        match self.recipe() {
            Some(recipe) => recipe.parameter_count(),
            None => {
                let shapes = self.shapes()?;
                Ok(shapes.values().map(|s| s.iter().product::<usize>()).sum())
            }
        }
    }

    /// The same weights under other particulars.
    #[must_use]
    pub fn with_parts(&self, parts: Parts) -> Self {
        let weights = match &self.0.weights {
            Weights::Ready(tensors) => Weights::Ready(tensors.clone()),
            Weights::Files(files, _) => Weights::Files(files.clone(), Mutex::new(Weak::new())),
            Weights::Recipe(recipe, _) => Weights::Recipe(recipe.clone(), Mutex::new(Weak::new())),
            Weights::Unmade(shapes) => Weights::Unmade(shapes.clone()),
        };
        Self(Arc::new(Inner { parts, weights }))
    }

    /// The same adapter with this head alone.
    #[must_use]
    pub fn with_head(&self, head: Head) -> Self {
        let mut parts = self.parts().clone();
        let recipe = serde_json::json!({"adapter": parts.id.as_str(), "head": head_id(&head)});
        parts.id = Id::of_recipe("with_head/1", &recipe);
        parts.heads = vec![Arc::new(head)];
        self.with_parts(parts)
    }

    /// The head for a dataset: the one trained on it, else the only one of its name (trained on
    /// other rows of it), else the only one.
    pub fn head_for(&self, dataset: &Dataset) -> Result<&Head> {
        let heads = self.heads();
        let trained = heads
            .iter()
            .find(|h| h.dataset.as_deref() == Some(dataset.id()));
        let mut namesakes = heads.iter().filter(|h| h.name == dataset.name());
        let namesake = namesakes.next().filter(|_| namesakes.next().is_none());
        let runs = |head: &'_ Head| match head.form.layers() {
            Ok(_) => Ok(()),
            Err(error) => Err(error.within(format!("adapter {}", self.name()))),
        };
        match (trained.or(namesake), heads) {
            (Some(head), _) => runs(head).map(|()| &**head),
            (None, [only]) => runs(only).map(|()| &**only),
            (None, []) => Err(self.no_head()),
            (None, several) => Err(Error::new(format!(
                "adapter {} has {} heads ({}) and none was trained on {}",
                self.name(),
                several.len(),
                several
                    .iter()
                    .map(|h| h.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                dataset.name()
            ))
            .hint("choose one: a.with_head(member.head)")),
        }
    }

    /// The error of an adapter that has no head.
    pub fn no_head(&self) -> Error {
        let classifier = |name: &Name| {
            let mut parts = name.as_str().split('.');
            matches!(
                parts.next(),
                Some("classifier" | "score" | "pre_classifier")
            )
        };
        let saved = self.saved_shapes().unwrap_or_default();
        if let Some(name) = saved.keys().find(|name| classifier(name)) {
            return Error::new(format!(
                "adapter {} has {name}, and its configuration does not say whether that classifies texts or something else",
                self.name()
            ))
            .hint("if it classifies texts, write \"task_type\": \"SEQ_CLS\" into its adapter_config.json");
        }
        Error::new(format!("adapter {} has no head", self.name()))
            .hint("give it one: a.with_head(other.head)")
    }

    /// An error unless the adapter is for such a base: one of these weights where their hash is
    /// known, else one of this type and width. The tensors are not looked at.
    pub fn suits(&self, model: &crate::model::Model) -> Result<()> {
        let (base, config) = (self.base(), model.config());
        let reads_pooler = |head: &Arc<Head>| head.form.layers().is_ok_and(|own| own.pooler);
        let pooled = self.heads().iter().any(reads_pooler);
        let differs = |id: &str| crate::model::differ(id, model.id(), pooled);
        if base.id.as_deref().is_some_and(differs) {
            bail!(
                "adapter {} was trained on another base ({}, id {}), not on {} (id {})",
                self.name(),
                base.name,
                crate::model::short(base.id.as_deref().unwrap_or_default()),
                model.name(),
                crate::model::short(model.id())
            );
        }
        if !base.suits(config) {
            // PEFT's files do not say how wide a base is.
            let (of, width) = match base.hidden_size {
                0 => (String::new(), String::new()),
                own => (
                    format!(" of width {own}"),
                    format!(" of width {}", config.hidden_size),
                ),
            };
            bail!(
                "adapter {} is for {}{of} ({}), but {} is {}{width}",
                self.name(),
                base.model_type,
                base.name,
                model.name(),
                config.model_type
            );
        }
        Ok(())
    }

    /// An error unless the adapter can act in a model of this configuration and these weights.
    pub fn fits(&self, model: &crate::model::Model) -> Result<()> {
        self.suits(model)?;
        check::fits(self, model.config())
    }
}

/// What somebody still uses, or what `make` makes now.
fn cached(
    cache: &Mutex<Weak<Tensors>>,
    make: impl FnOnce() -> Result<Tensors>,
) -> Result<Arc<Tensors>> {
    // A poisoned lock only means that a build failed elsewhere; the cache is whole.
    let mut cached = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tensors) = cached.upgrade() {
        return Ok(tensors);
    }
    let tensors = Arc::new(make()?);
    *cached = Arc::downgrade(&tensors);
    Ok(tensors)
}

fn peek(cache: &Mutex<Weak<Tensors>>) -> Option<Arc<Tensors>> {
    cache
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .upgrade()
}

/// The content hash of a head.
pub fn head_id(head: &Head) -> String {
    let mut bytes = serde_json::to_vec(&head.labels).unwrap_or_default();
    bytes.extend(head.form.acting().to_string().as_bytes());
    bytes.extend(content(&head.tensors));
    Id::of_content("head", &bytes).as_str().to_string()
}

/// Names, shapes and little-endian values of tensors, for hashing.
pub fn content(tensors: &Tensors) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, tensor) in tensors {
        bytes.extend(name.as_str().as_bytes());
        bytes.extend(format!("{:?}", tensor.dims()).as_bytes());
        let values = tensor
            .to_dtype(DType::F32)
            .and_then(|t| t.flatten_all())
            .and_then(|t| t.to_vec1::<f32>())
            .unwrap_or_default();
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }
    bytes
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts();
        write!(f, "Adapter {}: {}", parts.name, parts.kind.name())?;
        if let Ok(n) = self.parameter_count() {
            write!(f, ", {n} parameters")?;
        }
        if let Some(mask) = &parts.mask {
            write!(f, ", sparsity {:.3}", mask.sparsity())?;
        }
        write!(f, ", on {}", parts.base.name)?;
        match &parts.heads[..] {
            [] => f.write_str(", no head")?,
            [head] => match head.labels {
                Labels::Tokens(_) => f.write_str(", head for the next token")?,
                Labels::Number => f.write_str(", head for numbers")?,
                _ if head.form.layers().is_err() => match head.form.task() {
                    Some(task) => write!(f, ", head of type {}", task.head_type())?,
                    None => f.write_str(", head of another type")?,
                },
                _ => write!(f, ", head for {} classes", head.labels.outputs())?,
            },
            heads => write!(f, ", {} heads", heads.len())?,
        }
        write!(f, ", id {}", parts.id.short())
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
