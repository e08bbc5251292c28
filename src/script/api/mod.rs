//! The natives, one file a topic users see.
//!
//! A topic is a file with a `register` function and one line in [`TOPICS`]: its functions' doc
//! comments are the help, the hints, the completion and the reference (how they are written stands
//! in [`super::docs`]), its [`NativeSpec`]s the tables of options.

use rhai::Engine;

use super::{NativeSpec, Session};

mod adapters;
mod attacking;
mod bench;
mod checkpoints;
mod choosing;
mod compared;
mod datasets;
mod evaluation;
mod evidence;
mod figures;
mod files;
mod grids;
mod kinds;
mod lists;
mod loading;
mod maps;
mod masks;
mod maths;
mod models;
mod pruning;
mod recipes;
mod relations;
mod reshaping;
mod sequences;
mod signs;
mod soups;
pub mod study;
mod tables;
mod tensors;
mod training;
mod types;

pub use types::{TYPES, TypeDoc};

pub(super) use datasets::Part;
pub(super) use files::read_as;
pub(super) use loading::missing_dataset;
pub(super) use models::missing_model;

/// The natives of one topic.
pub struct Topic {
    /// The title of its chapter in the reference.
    pub title: &'static str,
    /// Registers its natives and the types they need.
    pub register: fn(&mut Engine, &Session),
    /// The options of those that take a map.
    pub options: &'static [NativeSpec],
}

/// All topics, in the order of the reference.
pub static TOPICS: &[Topic] = &[
    topic("Models", models::register, models::OPTIONS),
    topic("Datasets", datasets::register, datasets::OPTIONS),
    topic("Adapters", adapters::register, adapters::OPTIONS),
    topic("Training", training::register, training::OPTIONS),
    topic("Checkpoints", checkpoints::register, &[]),
    topic("Evaluation", evaluation::register, evaluation::OPTIONS),
    topic("Attacks", attacking::register, attacking::OPTIONS),
    topic("Grids", grids::register, &[]),
    topic("Soups", soups::register, soups::OPTIONS),
    topic("Recipes", recipes::register, recipes::OPTIONS),
    topic("Choosing", choosing::register, choosing::OPTIONS),
    topic("Signs", signs::register, signs::OPTIONS),
    topic("Beside signs", compared::register, compared::OPTIONS),
    topic("Pruning", pruning::register, pruning::OPTIONS),
    topic("Masks", masks::register, &[]),
    topic("Tables", tables::register, tables::OPTIONS),
    topic("Tables reshaped", reshaping::register, reshaping::OPTIONS),
    topic("Tables compared", relations::register, relations::OPTIONS),
    topic("Figures", figures::register, figures::OPTIONS),
    topic("Tensors", tensors::register, tensors::OPTIONS),
    topic("Lists", lists::register, &[]),
    topic("Maps", maps::register, &[]),
    topic("Numbers", maths::register, &[]),
    topic("Sequences", sequences::register, &[]),
    topic("Studies", study::register, study::OPTIONS),
    topic("Files and parameters", files::register, files::OPTIONS),
    topic("Benchmarks", bench::register, bench::OPTIONS),
];

const fn topic(
    title: &'static str,
    register: fn(&mut Engine, &Session),
    options: &'static [NativeSpec],
) -> Topic {
    Topic {
        title,
        register,
        options,
    }
}

/// JSON as a value of the language: null is `()`.
pub fn json_to_dynamic(value: serde_json::Value) -> crate::Result<rhai::Dynamic> {
    files::from_json(value)
}

/// The options of the native called `name`, if it takes any.
pub fn options_of(name: &str) -> Option<&'static NativeSpec> {
    TOPICS
        .iter()
        .flat_map(|topic| topic.options)
        .find(|spec| spec.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_reads_its_own_default() {
        for spec in TOPICS.iter().flat_map(|topic| topic.options) {
            for option in spec.options {
                if let Err(error) = option.default_value() {
                    panic!("{}: {error}", spec.name);
                }
                assert!(
                    !option.doc.is_empty(),
                    "{}.{} says nothing",
                    spec.name,
                    option.name
                );
            }
        }
    }
}
