//! Comparisons that never lie.
//!
//! The engine answers `false` when it does not know how to compare two values, takes floats within
//! one epsilon as equal (1e-17 == 0.0) and lets `() > 2` be false. Here every comparison works or
//! raises. A type that registers its own operators is asked first.

use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};

use rhai::{Dynamic, Engine, NativeCallContext};

use super::error::Fallible;
use super::values::describe;
use crate::{Error, Result, bail};

/// Registers the six operators for all pairs of values that have none of their own.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn(
        "==",
        |context: NativeCallContext, a: Dynamic, b: Dynamic| equal(&context, a, b),
    );
    engine.register_fn(
        "!=",
        |context: NativeCallContext, a: Dynamic, b: Dynamic| {
            equal(&context, a, b).map(|equal| !equal)
        },
    );
    type Test = fn(Ordering) -> bool;
    let tests: [(&str, Test); 4] = [
        ("<", Ordering::is_lt),
        ("<=", Ordering::is_le),
        (">", Ordering::is_gt),
        (">=", Ordering::is_ge),
    ];
    for (operator, test) in tests {
        engine.register_fn(operator, move |a: Dynamic, b: Dynamic| -> Fallible<bool> {
            Ok(test(order(&a, &b)?))
        });
    }
}

/// Whether two values are equal. `()` may stand on the right, to test for a missing value.
fn equal(context: &NativeCallContext, mut a: Dynamic, mut b: Dynamic) -> Fallible<bool> {
    if b.is_unit() {
        return Ok(a.is_unit());
    }
    if let (Ok(a), Ok(b)) = (a.as_bool(), b.as_bool()) {
        return Ok(a == b);
    }
    if let Some(same) = equal_ranges(&a, &b) {
        return Ok(same);
    }
    match order(&a, &b) {
        Ok(order) => Ok(order.is_eq()),
        // A type with an `==` of its own gets `!=` from it; one without comes here again, as `==`.
        Err(_) if context.fn_name() == "!=" && a.type_id() == b.type_id() => {
            let same = context.call_native_fn_raw("==", true, &mut [&mut a, &mut b])?;
            Ok(same.as_bool().unwrap_or(false))
        }
        Err(error) => Err(error.into()),
    }
}

fn equal_ranges(a: &Dynamic, b: &Dynamic) -> Option<bool> {
    let bounds = |value: &Dynamic| {
        if let Some(range) = value.read_lock::<Range<i64>>() {
            return Some((range.start, range.end));
        }
        let range = value.read_lock::<RangeInclusive<i64>>()?;
        Some((*range.start(), range.end().saturating_add(1)))
    };
    Some(bounds(a)? == bounds(b)?)
}

/// The order of two numbers or two texts; anything else is an error.
pub(super) fn order(a: &Dynamic, b: &Dynamic) -> Result<Ordering> {
    if let (Ok(a), Ok(b)) = (a.as_int(), b.as_int()) {
        return Ok(a.cmp(&b));
    }
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return match a.partial_cmp(&b) {
            Some(order) => Ok(order),
            None => bail!("NaN compares with nothing"; hint: "test with x.is_nan first"),
        };
    }
    if let (Some(a), Some(b)) = (text(a), text(b)) {
        return Ok(a.cmp(&b));
    }
    let error = Error::new(format!(
        "cannot compare {} with {}",
        describe(a),
        describe(b)
    ));
    Err(if a.is_unit() || b.is_unit() {
        error.hint("a value is missing; test for it with `x == ()` first")
    } else {
        error
    })
}

/// The value of an int or a float.
pub(super) fn number(value: &Dynamic) -> Option<f64> {
    match value.as_int() {
        Ok(whole) => Some(whole as f64),
        Err(_) => value.as_float().ok(),
    }
}

fn text(value: &Dynamic) -> Option<String> {
    match value.as_char() {
        Ok(letter) => Some(letter.to_string()),
        Err(_) => value
            .as_immutable_string_ref()
            .ok()
            .map(|text| text.to_string()),
    }
}
