//! One table of what a closure gives for every combination of parameters.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FnPtr, Map, NativeCallContext};

use super::tables::to_value;
use crate::report::table::{Table, Value};
use crate::script::Session;
use crate::script::error::Fallible;
use crate::script::pending::{Later, is_pending, later};
use crate::script::values::describe;
use crate::{Result, bail};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The Tables that a closure gives for every combination of parameters, below each other in one
    /// Table with a further column for each parameter. The parameters go by name; the last changes
    /// fastest.
    ///
    /// - `parameters`: a map of lists of numbers, texts or truth values
    /// - `cell`: a closure that takes a map with one value of each and returns a Table
    ///
    /// # Errors
    /// A parameter without values; what the closure returns is no Table, or has other columns than
    /// the first one, or a column named as a parameter.
    ///
    /// ```rhai
    /// let all = grid(#{ kind: ["x", "y"], seed: [1, 2] }, |c| table([#{ score: c.seed }]));
    /// all.columns         // ["score", "kind", "seed"]
    /// all.column("kind")    // ["x", "x", "y", "y"]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn grid(
        context: NativeCallContext,
        parameters: Map,
        cell: FnPtr,
    ) -> Fallible<Later<Table>> {
        let axes = axes(&parameters)?;
        let lengths = axes.iter().map(|(_, values)| values.len() as u128);
        let total = lengths.fold(1, u128::saturating_mul);
        Session::of(&context)?.room_for("grid: a list", total)?;
        let mut tables = Vec::new();
        let mut pending = None;
        for at in 0..total as usize {
            let point = point(&axes, at);
            let map: Map = point
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).clone()))
                .collect();
            let given: Dynamic = cell.call_within_context(&context, (map,))?;
            if is_pending(&given) {
                // What the other combinations leave is wanted too.
                pending = Some(given);
                continue;
            }
            let Some(mut table) = given.read_lock::<Table>().map(|table| table.clone()) else {
                bail!("grid: the closure gives a Table, got {}", describe(&given));
            };
            for (name, value) in point {
                if table.has(name) {
                    bail!("grid: the closure's Table has a column `{name}` already"; hint: "rename it, or the parameter");
                }
                let cells = vec![to_value(value)?; table.len()];
                table = table.with_column(name, cells)?;
            }
            tables.push(table);
        }
        match pending {
            Some(pending) => Ok(pending),
            None => later(Table::concat(&tables).map_err(|error| error.within("grid"))),
        }
    }
}

/// The parameters with their values.
fn axes(parameters: &Map) -> Result<Vec<(&str, Array)>> {
    if parameters.is_empty() {
        bail!("grid: there are no parameters");
    }
    parameters
        .iter()
        .map(|(name, values)| Ok((name.as_str(), values_of(name, values)?)))
        .collect()
}

/// The values of one parameter.
fn values_of(name: &str, values: &Dynamic) -> Result<Array> {
    let Ok(list) = values.as_array_ref() else {
        bail!("grid: {name} is a list of values, got {}", describe(values); hint: "such as {name}: [1, 2, 3]");
    };
    if list.is_empty() {
        bail!("grid: {name} has no values");
    }
    for value in list.iter() {
        if matches!(to_value(value), Err(_) | Ok(Value::Null)) {
            bail!(
                "grid: {name} holds numbers, texts or truth values, got {}",
                describe(value)
            );
        }
    }
    Ok(list.clone())
}

/// One combination.
fn point<'a>(axes: &'a [(&'a str, Array)], mut at: usize) -> Vec<(&'a str, &'a Dynamic)> {
    let mut point: Vec<(&str, &Dynamic)> = axes
        .iter()
        .rev()
        .map(|(name, values)| {
            let value = &values[at % values.len()];
            at /= values.len();
            (*name, value)
        })
        .collect();
    point.reverse();
    point
}
