//! What lists can do beyond the engine's own functions.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FnPtr, NativeCallContext};

use crate::script::Session;
use crate::script::compare::{number, order};
use crate::script::error::Fallible;
use crate::script::values::describe;
use crate::{Error, Result, bail};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The sum of a list of numbers, added in order; 0 for an empty list.
    ///
    /// ```rhai
    /// [1, 2, 3].sum()    // 6
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn sum(list: &mut Array) -> Fallible<Dynamic> {
        Ok(total(list)?)
    }

    /// The mean of a list of numbers.
    ///
    /// ```rhai
    /// [1, 2].mean()    // 1.5
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn mean(list: &mut Array) -> Fallible<f64> {
        if list.is_empty() {
            return Err(empty("mean").into());
        }
        let mut sum = 0.0;
        for (index, value) in list.iter().enumerate() {
            sum += number(value).ok_or_else(|| no_number(index, value))?;
        }
        Ok(sum / list.len() as f64)
    }

    /// The least value of a list of numbers or texts.
    ///
    /// ```rhai
    /// [3, 1, 2].min()    // 1
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn min(list: &mut Array) -> Fallible<Dynamic> {
        Ok(extreme(list, "min", std::cmp::Ordering::Less)?)
    }

    /// The greatest value of a list of numbers or texts.
    ///
    /// ```rhai
    /// [3, 1, 2].max()    // 3
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn max(list: &mut Array) -> Fallible<Dynamic> {
        Ok(extreme(list, "max", std::cmp::Ordering::Greater)?)
    }

    /// A sorted copy of a list of numbers or texts; `sort()` sorts in place.
    ///
    /// ```rhai
    /// [3, 1, 2].sorted()    // [1, 2, 3]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn sorted(list: &mut Array) -> Fallible<Array> {
        for pair in list.windows(2) {
            order(&pair[0], &pair[1])?;
        }
        if let [only] = list.as_slice() {
            order(only, only)?;
        }
        let mut sorted = list.clone();
        // Neighbours compare, and what compares with numbers (or texts) is one: all pairs do.
        sorted.sort_by(|a, b| order(a, b).unwrap_or(std::cmp::Ordering::Equal));
        Ok(sorted)
    }

    /// A copy without repeated values; of equal ones the first stays.
    ///
    /// ```rhai
    /// [1, 2, 1].unique()    // [1, 2]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn unique(context: NativeCallContext, list: &mut Array) -> Fallible<Array> {
        let mut kept: Array = Vec::new();
        let session = Session::of(&context)?;
        'values: for value in list.iter() {
            session.context().check()?;
            for known in &kept {
                let (mut a, mut b) = (known.clone(), value.clone());
                let same = context.call_native_fn_raw("==", true, &mut [&mut a, &mut b])?;
                if same.as_bool().unwrap_or(false) {
                    continue 'values;
                }
            }
            kept.push(value.clone());
        }
        Ok(kept)
    }

    /// Calls a function with each value of a list, in order.
    ///
    /// - `act`: a closure of a value
    ///
    /// ```rhai
    /// [1, 2].for_each(|x| print(x));
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn for_each(context: NativeCallContext, list: &mut Array, act: FnPtr) -> Fallible<()> {
        // The engine's own hands the index to a closure of one parameter.
        for value in list.iter() {
            let _value = act.call_raw(&context, None, [value.clone()])?;
        }
        Ok(())
    }

    /// A list of lists as one list, one level deep.
    ///
    /// ```rhai
    /// [[1, 2], [3]].flatten()    // [1, 2, 3]
    /// ```
    #[rhai_fn(pure)]
    pub fn flatten(list: &mut Array) -> Array {
        let mut flat = Vec::new();
        for value in list.iter() {
            match value.as_array_ref() {
                Ok(inner) => flat.extend(inner.iter().cloned()),
                Err(_) => flat.push(value.clone()),
            }
        }
        flat
    }
}

fn total(list: &[Dynamic]) -> Result<Dynamic> {
    if list.iter().all(Dynamic::is_int) {
        let mut sum = 0i64;
        for value in list.iter().filter_map(|value| value.as_int().ok()) {
            match sum.checked_add(value) {
                Some(next) => sum = next,
                None => bail!("sum: the total is too large for an integer"),
            }
        }
        return Ok(sum.into());
    }
    let mut sum = 0.0;
    for (index, value) in list.iter().enumerate() {
        sum += number(value).ok_or_else(|| no_number(index, value))?;
    }
    Ok(sum.into())
}

fn extreme(list: &[Dynamic], name: &str, wanted: std::cmp::Ordering) -> Result<Dynamic> {
    let mut best = list.first().ok_or_else(|| empty(name))?;
    order(best, best)?;
    for value in list {
        if order(value, best)? == wanted {
            best = value;
        }
    }
    Ok(best.clone())
}

fn empty(name: &str) -> Error {
    Error::new(format!("{name}: the list is empty"))
}

fn no_number(index: usize, value: &Dynamic) -> Error {
    Error::new(format!(
        "value {index} of the list is no number but {}",
        describe(value)
    ))
}
