//! Functions of numbers, for whole numbers and fractions alike.
//!
//! They go through `libm`, so that a study has the same numbers on every system.

use rhai::plugin::*;
use rhai::{Dynamic, Engine, FuncRegistration};

use crate::script::Session;
use crate::script::compare::number;
use crate::script::error::Fallible;
use crate::script::values::describe;
use crate::{Result, bail};

type Function = fn(f64) -> f64;

const FUNCTIONS: &[(&str, Function, &str)] = &[
    ("sqrt", libm::sqrt, "The square root."),
    ("exp", libm::exp, "e to the power `x`."),
    ("ln", libm::log, "The natural logarithm."),
    (
        "log",
        libm::log10,
        "The logarithm to base 10; `log(x, base)` takes another base.",
    ),
    ("sin", libm::sin, "The sine of an angle in radians."),
    ("cos", libm::cos, "The cosine of an angle in radians."),
    ("tan", libm::tan, "The tangent of an angle in radians."),
    (
        "asin",
        libm::asin,
        "The angle, in radians, whose sine is `x`.",
    ),
    (
        "acos",
        libm::acos,
        "The angle, in radians, whose cosine is `x`.",
    ),
    (
        "atan",
        libm::atan,
        "The angle, in radians, whose tangent is `x`.",
    ),
    ("sinh", libm::sinh, "The hyperbolic sine."),
    ("cosh", libm::cosh, "The hyperbolic cosine."),
    ("tanh", libm::tanh, "The hyperbolic tangent."),
    ("asinh", libm::asinh, "The inverse hyperbolic sine."),
    ("acosh", libm::acosh, "The inverse hyperbolic cosine."),
    ("atanh", libm::atanh, "The inverse hyperbolic tangent."),
    (
        "to_radians",
        f64::to_radians,
        "An angle in degrees as radians.",
    ),
    (
        "to_degrees",
        f64::to_degrees,
        "An angle in radians as degrees.",
    ),
    (
        "floor",
        libm::floor,
        "The greatest whole number not above `x`, as a float.",
    ),
    (
        "ceiling",
        libm::ceil,
        "The least whole number not below `x`, as a float.",
    ),
    (
        "round",
        libm::round,
        "The nearest whole number, as a float; halves away from zero.",
    ),
];

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    for &(name, function, doc) in FUNCTIONS {
        let registration = || {
            FuncRegistration::new(name)
                .with_params_info(["x: number", "f64"])
                .with_comments([format!("/// {doc}")])
        };
        registration().register_into_engine(engine, move |x: f64| -> Fallible<f64> {
            Ok(checked(name, function, x)?)
        });
        registration().register_into_engine(engine, move |x: i64| -> Fallible<f64> {
            Ok(checked(name, function, x as f64)?)
        });
    }
    engine.register_global_module(rhai::exported_module!(natives).into());
}

#[export_module]
mod natives {
    /// The whole number of times that `b` goes into `a`, rounded down.
    ///
    /// ```rhai
    /// quotient(7, 2)    // 3
    /// ```
    #[rhai_fn(return_raw)]
    pub fn quotient(a: i64, b: i64) -> Fallible<i64> {
        match a.checked_div_euclid(b) {
            // Euclid rounds up where the divisor is negative; rounding down is one rule for all.
            Some(times) if b < 0 && a.rem_euclid(b) != 0 => Ok(times - 1),
            Some(times) => Ok(times),
            None => bail!("quotient({a}, {b}) is no integer"),
        }
    }

    /// The logarithm of `x` to `base`.
    #[rhai_fn(name = "log", return_raw)]
    pub fn log_base(x: Dynamic, base: Dynamic) -> Fallible<f64> {
        let (x, base) = (needed("log", &x)?, needed("log", &base)?);
        Ok(checked("log", |x| libm::log(x) / libm::log(base), x)?)
    }

    /// The length of the hypotenuse of sides `x` and `y`.
    #[rhai_fn(return_raw)]
    pub fn hypot(x: Dynamic, y: Dynamic) -> Fallible<f64> {
        Ok(libm::hypot(needed("hypot", &x)?, needed("hypot", &y)?))
    }

    /// The angle, in radians, of the point at `y` up and `x` to the right.
    #[rhai_fn(name = "atan", return_raw)]
    pub fn atan2(y: Dynamic, x: Dynamic) -> Fallible<f64> {
        Ok(libm::atan2(needed("atan", &y)?, needed("atan", &x)?))
    }
}

fn needed(name: &str, value: &Dynamic) -> Result<f64> {
    match number(value) {
        Some(number) => Ok(number),
        None => bail!("{name}: expected a number, got {}", describe(value)),
    }
}

fn checked(name: &str, function: impl Fn(f64) -> f64, x: f64) -> Result<f64> {
    let value = function(x);
    if x.is_finite() && !value.is_finite() {
        bail!("{name}({x}) is not a finite number");
    }
    Ok(value)
}
