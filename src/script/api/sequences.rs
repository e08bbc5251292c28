//! Sequences of numbers without drift.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FuncRegistration, NativeCallContext};

use crate::script::Session;
use crate::script::compare::number;
use crate::script::error::Fallible;
use crate::script::values::describe;
use crate::{Error, Result, bail};

const RANGE: &str = "/// Whole numbers from `from` up to, not including, `to`, each `step` (or 1) further, for loops.
/// Of fractions it would drift, and is refused: `steps` and `linspace` are exact.
///
/// ```rhai
/// let all = [];
/// for i in range(0, 6, 2) { all.push(i); }
/// all    // [0, 2, 4]
/// ```";

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    // The engine's own adds the step again and again: it drifts, and overshoots the end.
    let refused = || {
        FuncRegistration::new("range")
            .with_params_info(["from: number", "to: number", "step: number", "()"])
            .with_comments([RANGE])
    };
    refused().register_into_engine(engine, |a: f64, b: f64, step: f64| -> Fallible<()> {
        Err(drifts(&a.into(), &b.into(), &step.into()).into())
    });
    refused().register_into_engine(
        engine,
        |a: Dynamic, b: Dynamic, step: Dynamic| -> Fallible<()> {
            Err(drifts(&a, &b, &step).into())
        },
    );
    engine.register_global_module(rhai::exported_module!(natives).into());
}

#[export_module]
mod natives {
    /// Numbers at equal distances, exact in decimals; whole numbers where all three are.
    ///
    /// - `from`: the first number
    /// - `to`: the last, included where a step meets it
    /// - `step`: the distance, which may be negative
    ///
    /// ```rhai
    /// steps(0.1, 0.5, 0.1)    // [0.1, 0.2, 0.3, 0.4, 0.5]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn steps(
        context: NativeCallContext,
        from: Dynamic,
        to: Dynamic,
        step: Dynamic,
    ) -> Fallible<Array> {
        let session = Session::of(&context)?;
        Ok(decimals(&from, &to, &step, |count| {
            session.room_for("steps: a list", count)
        })?)
    }

    /// A count of numbers at equal distances.
    ///
    /// - `from`: the first
    /// - `to`: the last
    /// - `count`: how many, at least 2
    ///
    /// ```rhai
    /// linspace(0, 1, 5)    // [0.0, 0.25, 0.5, 0.75, 1.0]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn linspace(
        context: NativeCallContext,
        from: Dynamic,
        to: Dynamic,
        count: i64,
    ) -> Fallible<Array> {
        let (from, to) = (finite("linspace", &from)?, finite("linspace", &to)?);
        if count < 2 {
            bail!("linspace: expected a count of at least 2, got {count}");
        }
        Session::of(&context)?.room_for("linspace: a list", count as u128)?;
        let last = (count - 1) as f64;
        let at = |i: i64| {
            if i == count - 1 {
                to
            } else {
                from + (to - from) * (i as f64 / last)
            }
        };
        Ok((0..count).map(|i| Dynamic::from(at(i))).collect())
    }
}

/// The numbers; `room` refuses too many before they are made.
fn decimals(
    from: &Dynamic,
    to: &Dynamic,
    step: &Dynamic,
    room: impl FnOnce(u128) -> Result<()>,
) -> Result<Array> {
    let whole = from.is_int() && to.is_int() && step.is_int();
    let texts =
        [from, to, step].map(|value| finite("steps", value).map(|number| number.to_string()));
    let [from, to, step] = texts;
    let (from, to, step) = (from?, to?, step?);
    let places = [&from, &to, &step]
        .into_iter()
        .map(|text| fraction(text).len())
        .max()
        .unwrap_or(0);
    let scaled = |text: &str| -> Result<i128> {
        let digits = format!(
            "{}{:0<places$}",
            text.split('.').next().unwrap_or(""),
            fraction(text)
        );
        digits.parse().map_err(|_| {
            Error::new(format!("steps: {text} has too many digits")).hint("use linspace(a, b, n)")
        })
    };
    let (first, end, stride) = (scaled(&from)?, scaled(&to)?, scaled(&step)?);
    if stride == 0 {
        bail!("steps: the step is 0");
    }
    if (end - first).signum() * stride.signum() < 0 {
        bail!("steps: a step of {step} never leads from {from} to {to}");
    }
    let count = (end - first) / stride + 1;
    room(count.unsigned_abs())?;
    (0..count)
        .map(|i| {
            let value = first + i * stride;
            if whole {
                return Ok(Dynamic::from(value as i64));
            }
            let sign = if value < 0 { "-" } else { "" };
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = places + 1);
            let (units, rest) = digits.split_at(digits.len() - places);
            let number: f64 = format!("{sign}{units}.{rest}0")
                .parse()
                .map_err(|_| Error::new(format!("steps: {value} cannot be read")))?;
            Ok(number.into())
        })
        .collect()
}

fn fraction(text: &str) -> &str {
    text.split_once('.').map_or("", |(_, fraction)| fraction)
}

fn finite(native: &str, value: &Dynamic) -> Result<f64> {
    match number(value) {
        Some(number) if number.is_finite() => Ok(number),
        _ => bail!(
            "{native}: expected a finite number, got {}",
            describe(value)
        ),
    }
}

fn drifts(a: &Dynamic, b: &Dynamic, step: &Dynamic) -> Error {
    /// Enough to show what to write.
    const MOST: u128 = 1_000_000;
    let room = |count: u128| -> Result<()> {
        match count > MOST {
            true => bail!("{count} numbers"),
            false => Ok(()),
        }
    };
    match decimals(a, b, step, room) {
        Ok(mut numbers) => {
            // `range` leaves its end out.
            let end = number(b);
            if numbers.last().is_some_and(|last| number(last) == end) {
                numbers.pop();
            }
            let last = numbers
                .pop()
                .map_or_else(|| b.to_string(), |last| last.to_string());
            Error::new("range of fractions drifts")
                .hint(format!("write steps({a}, {last}, {step})"))
        }
        Err(_) => Error::new(format!(
            "range: expected whole numbers, got {}, {}, {}",
            describe(a),
            describe(b),
            describe(step)
        )),
    }
}
