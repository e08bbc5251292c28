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

const FUNCTIONS: &[(&str, Function, &str, &str)] = &[
    ("sqrt", libm::sqrt, "The square root.", "sqrt(4)    // 2.0"),
    ("exp", libm::exp, "e to the power `x`.", "exp(0)    // 1.0"),
    ("ln", libm::log, "The natural logarithm.", "ln(1)    // 0.0"),
    (
        "log",
        libm::log10,
        "The logarithm to base 10.",
        "log(100)    // 2.0",
    ),
    (
        "sin",
        libm::sin,
        "The sine of an angle in radians.",
        "sin(0)    // 0.0",
    ),
    (
        "cos",
        libm::cos,
        "The cosine of an angle in radians.",
        "cos(0)    // 1.0",
    ),
    (
        "tan",
        libm::tan,
        "The tangent of an angle in radians.",
        "tan(0)    // 0.0",
    ),
    (
        "asin",
        libm::asin,
        "The angle, in radians, whose sine is `x`.",
        "asin(0)    // 0.0",
    ),
    (
        "acos",
        libm::acos,
        "The angle, in radians, whose cosine is `x`.",
        "acos(1)    // 0.0",
    ),
    (
        "atan",
        libm::atan,
        "The angle, in radians, whose tangent is `x`.",
        "atan(0)    // 0.0",
    ),
    (
        "sinh",
        libm::sinh,
        "The hyperbolic sine.",
        "sinh(0)    // 0.0",
    ),
    (
        "cosh",
        libm::cosh,
        "The hyperbolic cosine.",
        "cosh(0)    // 1.0",
    ),
    (
        "tanh",
        libm::tanh,
        "The hyperbolic tangent.",
        "tanh(0)    // 0.0",
    ),
    (
        "asinh",
        libm::asinh,
        "The inverse hyperbolic sine.",
        "asinh(0)    // 0.0",
    ),
    (
        "acosh",
        libm::acosh,
        "The inverse hyperbolic cosine.",
        "acosh(1)    // 0.0",
    ),
    (
        "atanh",
        libm::atanh,
        "The inverse hyperbolic tangent.",
        "atanh(0)    // 0.0",
    ),
    (
        "to_radians",
        f64::to_radians,
        "An angle in degrees as radians.",
        "to_radians(180)    // 3.141592653589793",
    ),
    (
        "to_degrees",
        f64::to_degrees,
        "An angle in radians as degrees.",
        "to_degrees(3.141592653589793)    // 180.0",
    ),
    (
        "floor",
        libm::floor,
        "The greatest whole number not above `x`, as a float.",
        "floor(1.7)    // 1.0",
    ),
    (
        "ceiling",
        libm::ceil,
        "The least whole number not below `x`, as a float.",
        "ceiling(1.2)    // 2.0",
    ),
    (
        "round",
        libm::round,
        "The nearest whole number, as a float; halves away from zero.",
        "round(2.5)    // 3.0",
    ),
];

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    for &(name, function, doc, example) in FUNCTIONS {
        let registration = || {
            FuncRegistration::new(name)
                .with_params_info(["x: number", "float"])
                .with_comments([format!(
                    "/// {doc}\n///\n/// ```rhai\n/// {example}\n/// ```"
                )])
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

    /// The same to another base.
    ///
    /// - `base`: the base
    ///
    /// ```rhai
    /// log(8, 2)    // 3.0
    /// ```
    #[rhai_fn(name = "log", return_raw)]
    pub fn log_base(x: Dynamic, base: Dynamic) -> Fallible<f64> {
        let (x, base) = (needed("log", &x)?, needed("log", &base)?);
        Ok(checked("log", |x| libm::log(x) / libm::log(base), x)?)
    }

    /// The length of the hypotenuse of sides `x` and `y`.
    ///
    /// ```rhai
    /// hypot(3, 4)    // 5.0
    /// ```
    #[rhai_fn(return_raw)]
    pub fn hypot(x: Dynamic, y: Dynamic) -> Fallible<f64> {
        Ok(libm::hypot(needed("hypot", &x)?, needed("hypot", &y)?))
    }

    /// The angle, in radians, of the point at `y` up and `x` to the right.
    ///
    /// ```rhai
    /// atan(0, 1)    // 0.0
    /// ```
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
