//! The natives, one file a topic users see.
//!
//! A topic is a file with a `register` function and one line in [`TOPICS`]: its functions' doc
//! comments are the help, the hints, the completion and the reference, its [`NativeSpec`]s the
//! tables of options.

use rhai::Engine;

use super::{NativeSpec, Session};

mod files;
mod lists;
mod maths;
mod sequences;

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
    Topic {
        title: "Lists",
        register: lists::register,
        options: &[],
    },
    Topic {
        title: "Numbers",
        register: maths::register,
        options: &[],
    },
    Topic {
        title: "Sequences",
        register: sequences::register,
        options: &[],
    },
    Topic {
        title: "Files and parameters",
        register: files::register,
        options: &[],
    },
];

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
