//! Values that a run leaves to others, or to later: in a shard or a dry run, scores and Tables of
//! evaluations that are not made yet.
//!
//! What is read off a pending value, or made of it by its methods, is pending too, so that a study
//! runs through to its end; only what must know the value stops it.

use std::any::TypeId;

use rhai::{Dynamic, Engine, ImmutableString, Variant};

use super::error::Fallible;
use super::signatures::parameters;
use crate::study::Extent;
use crate::{Error, Kind, Result};

/// A value that is not known yet, and why.
#[derive(Debug, Clone)]
pub(super) struct Pending(ImmutableString);

/// The type of what a native gives: a `T`, or a pending value where that is not computed.
pub(super) type Later<T> = <T as Late>::Value;

/// See [`Later`].
pub(super) trait Late {
    /// A value of either type.
    type Value;
}

impl<T> Late for T {
    type Value = Dynamic;
}

/// What a native gives for a result that may be pending.
pub(super) fn later<T: Variant + Clone>(made: Result<T>) -> Fallible<Dynamic> {
    match made {
        Ok(value) => Ok(Dynamic::from(value)),
        Err(error) if error.kind() == Kind::Pending => {
            Ok(Dynamic::from(Pending(error.message().into())))
        }
        Err(error) => Err(error.into()),
    }
}

/// What is to be written of a result that may be pending: nothing then.
pub(super) fn written(made: Result<()>) -> Fallible<()> {
    match made {
        Err(error) if error.kind() == Kind::Pending => Ok(()),
        made => Ok(made?),
    }
}

/// Whether a value is pending.
pub(super) fn is_pending(value: &Dynamic) -> bool {
    value.is::<Pending>()
}

/// An error where one of these is pending.
pub(super) fn all_known<'a>(values: impl IntoIterator<Item = &'a Dynamic>) -> Result<()> {
    let pending = |value: &Dynamic| value.read_lock::<Pending>().map(|p| p.0.clone());
    match values.into_iter().find_map(pending) {
        Some(why) => Err(Error::pending(why)),
        None => Ok(()),
    }
}

/// The name of the type in messages.
const NAME: &str = "Pending";
/// Types that only results have.
const OF_RESULTS: [&str; 6] = [
    "Attack",
    "Correlation",
    "Figure",
    "Groups",
    "Score",
    "Table",
];

/// Gives pending values the methods and properties of results, for a run in which there may be
/// some.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Pending>(NAME);
    engine.register_fn("to_string", |p: &mut Pending| format!("pending: {}", p.0));
    engine.register_fn("to_debug", |p: &mut Pending| format!("pending: {}", p.0));
    engine.register_indexer_get(|p: &mut Pending, _: ImmutableString| p.clone());
    engine.register_indexer_get(|p: &mut Pending, _: i64| p.clone());
    let mut methods: Vec<(String, usize)> = engine.collect_fn_metadata(
        None,
        |info| {
            let (_, receiver) = parameters(info.metadata).into_iter().next()?;
            let name = info.metadata.name.as_str();
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let shown = name == "to_string" || name == "to_debug";
            (plain && !shown && OF_RESULTS.contains(&receiver.as_str()))
                .then(|| (name.to_string(), info.metadata.num_params))
        },
        false,
    );
    methods.sort();
    methods.dedup();
    for (name, count) in methods {
        let mut types = vec![TypeId::of::<Dynamic>(); count];
        types[0] = TypeId::of::<Pending>();
        engine.register_raw_fn(name, types, |_, values| Ok(values[0].clone()));
    }
}

/// The error of a script in a run that leaves something: where the script must know a pending
/// value, that is no mistake.
pub(super) fn waits(extent: Extent, error: Error) -> Error {
    // Paths and the like in a message are longer words.
    let joins = |c: char| c.is_alphanumeric() || "_-./\\".contains(c);
    let mut words = error.message().split(|c| !joins(c));
    match extent != Extent::All && words.any(|word| word == NAME) {
        true => Error::pending("this needs what is not computed yet"),
        false => error,
    }
}
