//! What maps tell of themselves, in natural order: layer.2 before layer.10.
//!
//! The engine keeps maps by their keys' bytes, where layer.10 comes before layer.2; what is read
//! off a map beside a list of layers would then be another layer's.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use super::files::json;
use crate::script::Session;
use crate::script::error::Fallible;
use crate::script::values::in_order;

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The keys of a map, in natural order: layer.2 before layer.10.
    ///
    /// - `map`: whose keys
    ///
    /// ```rhai
    /// #{ "layer.10": 1, "layer.2": 2 }.keys()    // ["layer.2", "layer.10"]
    /// ```
    #[rhai_fn(pure)]
    pub fn keys(map: &mut Map) -> Array {
        let keys = in_order(map).into_iter();
        keys.map(|(key, _)| key.as_str().into()).collect()
    }

    /// The values of a map, in the order of its `keys`.
    ///
    /// - `map`: whose values
    ///
    /// ```rhai
    /// #{ "layer.10": 1, "layer.2": 2 }.values()    // [2, 1]
    /// ```
    #[rhai_fn(pure)]
    pub fn values(map: &mut Map) -> Array {
        let values = in_order(map).into_iter();
        values.map(|(_, value)| value.clone()).collect()
    }

    /// A map as JSON text, its keys in natural order.
    ///
    /// - `map`: what is written
    ///
    /// ```rhai
    /// #{ "layer.10": 1, "layer.2": 2 }.to_json()    // {"layer.2":2,"layer.10":1}
    /// ```
    #[rhai_fn(name = "to_json", pure, return_raw)]
    pub fn map_to_json(map: &mut Map) -> Fallible<String> {
        Ok(json(&Dynamic::from(map.clone()))?.to_string())
    }

    /// A map as text, its keys in natural order.
    ///
    /// - `map`: what is shown
    ///
    /// ```rhai
    /// print(#{ "layer.10": 1, "layer.2": 2 });
    /// debug(#{ a: 1 });
    /// ```
    #[rhai_fn(
        name = "to_string",
        name = "to_debug",
        name = "print",
        name = "debug",
        pure,
        return_raw
    )]
    pub fn shown_map(context: NativeCallContext, map: &mut Map) -> Fallible<ImmutableString> {
        let entries: Vec<String> = in_order(map)
            .into_iter()
            .map(|(key, value)| {
                let text: ImmutableString = context.call_native_fn("to_debug", (value.clone(),))?;
                Ok(format!("{:?}: {text}", key.as_str()))
            })
            .collect::<Fallible<_>>()?;
        Ok(format!("#{{{}}}", entries.join(", ")).into())
    }
}
