//! Arithmetic whose silent surprises are errors: `1/3`, `2^3`, `1.0/0.0`, `"a" + ()`.
//!
//! Powers go through `libm`, so that a study has the same numbers on every system.

use rhai::{Engine, ImmutableString};

use super::error::Fallible;
use crate::{Error, Result, bail};

/// Replaces the engine's own operators.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("/", |a: i64, b: i64| -> Fallible<i64> { Ok(divide(a, b)?) });
    engine.register_fn("/", |a: f64, b: f64| -> Fallible<f64> { Ok(ratio(a, b)?) });
    engine.register_fn("/", |a: i64, b: f64| -> Fallible<f64> {
        Ok(ratio(a as f64, b)?)
    });
    engine.register_fn("/", |a: f64, b: i64| -> Fallible<f64> {
        Ok(ratio(a, b as f64)?)
    });
    engine.register_fn("/=", |a: &mut i64, b: i64| -> Fallible<()> {
        *a = divide(*a, b)?;
        Ok(())
    });
    engine.register_fn("/=", |a: &mut f64, b: f64| -> Fallible<()> {
        *a = ratio(*a, b)?;
        Ok(())
    });
    engine.register_fn("/=", |a: &mut f64, b: i64| -> Fallible<()> {
        *a = ratio(*a, b as f64)?;
        Ok(())
    });

    engine.register_fn("^", |a: i64, b: i64| -> Fallible<i64> {
        Err(xor(a, b).into())
    });
    engine.register_fn("^", |a: f64, b: i64| -> Fallible<i64> {
        Err(xor(a, b).into())
    });
    engine.register_fn("^", |a: i64, b: f64| -> Fallible<i64> {
        Err(xor(a, b).into())
    });
    engine.register_fn("^", |a: f64, b: f64| -> Fallible<i64> {
        Err(xor(a, b).into())
    });
    engine.register_fn("^=", |a: &mut i64, b: i64| -> Fallible<()> {
        Err(xor(*a, b).into())
    });

    engine.register_fn("**", |a: f64, b: f64| libm::pow(a, b));
    engine.register_fn("**", |a: i64, b: f64| libm::pow(a as f64, b));
    engine.register_fn("**", |a: f64, b: i64| libm::pow(a, b as f64));

    engine.register_fn("+", |_: ImmutableString, (): ()| -> Fallible<()> {
        Err(nothing().into())
    });
    engine.register_fn("+", |(): (), _: ImmutableString| -> Fallible<()> {
        Err(nothing().into())
    });
    engine.register_fn("+=", |_: &mut ImmutableString, (): ()| -> Fallible<()> {
        Err(nothing().into())
    });
}

fn divide(a: i64, b: i64) -> Result<i64> {
    if b == 0 {
        bail!("{a} / 0: division by zero");
    }
    match a.checked_rem(b) {
        Some(0) => Ok(a / b),
        None => bail!("{a} / {b} is too large for an integer"),
        Some(_) => bail!("{a} / {b} is not a whole number";
            hint: "write {a}.0 / {b} (x.to_float() / y) for the fraction, quotient({a}, {b}) to round down"),
    }
}

fn ratio(a: f64, b: f64) -> Result<f64> {
    if b == 0.0 {
        bail!("{a} / 0: division by zero");
    }
    Ok(a / b)
}

fn xor(a: impl std::fmt::Display, b: impl std::fmt::Display) -> Error {
    Error::new("`^` is not the power of numbers").hint(format!("write {a} ** {b}"))
}

fn nothing() -> Error {
    Error::new("text + (): there is no value to append")
        .hint("a function without a result, or a missing value, gives ()")
}
