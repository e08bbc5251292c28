//! An adapter's tensors as its files hold them, to be compared with its configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{FileTensors, Shapes};
use super::tensors::Name;
use super::value::Base;
use crate::model::Architecture;
use crate::{Error, Result};

/// The tensors of an adapter's files, which are compared with its configuration when they are
/// loaded: what does not agree acts in another way than it was trained.
#[derive(Debug)]
pub struct Stored<'a> {
    files: &'a FileTensors,
    /// The architecture of the base, where it is known here.
    pub architecture: Option<&'static Architecture>,
    /// The width of the base's hidden states; 0 where the files do not say it.
    pub hidden: usize,
}

impl<'a> Stored<'a> {
    /// The tensors of these files, of an adapter for this base.
    pub fn new(files: &'a FileTensors, base: &Base) -> Self {
        Self {
            files,
            architecture: Architecture::find(&base.model_type),
            hidden: base.hidden_size,
        }
    }

    /// Names and shapes.
    pub fn shapes(&self) -> &'a Shapes {
        self.files.shapes()
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &Name) -> Option<&'a [usize]> {
        self.shapes().get(name).map(|shape| &shape[..])
    }

    /// The error of a tensor of another shape than the configuration says.
    pub fn misshapen(&self, name: &Name, expected: &str, why: &str) -> Error {
        let found = self.shape(name).unwrap_or_default();
        Error::new(format!(
            "tensor {} has shape {found:?}, expected {expected}: {why}",
            self.files.full(name)
        ))
        .hint("the configuration belongs to other weights, or was edited")
    }

    /// The error of a tensor that is not there, where `beside` is.
    pub fn missing(&self, name: &Name, beside: &Name) -> Error {
        Error::new(format!(
            "tensor {name} is missing, while {} is there",
            self.files.full(beside)
        ))
        .hint("the file is not whole: save the adapter again")
    }

    /// The error of a tensor that the configuration has no place for.
    pub fn extra(&self, name: &Name, why: &str) -> Error {
        Error::new(format!("tensor {}: {why}", self.files.full(name)))
            .hint("the configuration belongs to other weights, or was edited")
    }

    /// An error unless what an adapter changes in the layers of its base is what `expected` says of
    /// each path within each layer up to the last one that is changed. `found` are the modules that
    /// are changed, each with one of its tensors. Says nothing of bases that are not known here.
    pub fn placed(
        &self,
        found: &BTreeMap<String, Name>,
        paths: &[&str],
        expected: &dyn Fn(usize, &str) -> Result<bool>,
        what: &str,
    ) -> Result<()> {
        let Some(architecture) = self.architecture else {
            return Ok(());
        };
        let within = |stem: &str| {
            let own = stem.strip_prefix(architecture.layers)?.strip_prefix('.')?;
            own.split_once('.')?.0.parse::<usize>().ok()
        };
        let layers: BTreeSet<usize> = found.keys().filter_map(|stem| within(stem)).collect();
        let last = layers.last().map_or(0, |layer| layer + 1);
        for layer in 0..last {
            for path in paths {
                let stem = architecture.path(layer, path);
                match (found.get(&stem), expected(layer, path)?) {
                    (Some(name), false) => {
                        return Err(self.extra(
                            name,
                            &format!("its module is not among those that {what} names"),
                        ));
                    }
                    (None, true) => {
                        return Err(Error::new(format!(
                            "{stem} has no tensors, which {what} names among the modules that are changed"
                        ))
                        .hint("the file is not whole, or the configuration belongs to other weights"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
