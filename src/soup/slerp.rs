//! Slerp: along the great circle from one member to the other.
//!
//! sin((1-t) theta)/sin(theta) T_1 + sin(t theta)/sin(theta) T_2 with theta the angle between
//! them, tensor by tensor; the straight line where their cosine is beyond 0.9995. Source:
//! mergekit 0.1.5.

use std::sync::Arc;

use crate::{Result, bail};

use super::method::{At, Combination, Gram, Number, PLAIN, Spec, Work};

/// The method.
pub const SPEC: Spec = Spec {
    name: "slerp",
    doc: "on the great circle between two members, the share t of the way from the first to the second",
    numbers: &[Number {
        name: "t",
        default: Some(0.5),
        least: 0.0,
        most: 1.0,
    }],
    weighted: false,
    most: 2,
    make: |_| Ok(Work::Combination(Arc::new(Slerp))),
    ..PLAIN
};

/// Beyond this cosine the circle is a line.
const STRAIGHT: f64 = 0.9995;

#[derive(Debug)]
struct Slerp;

impl Combination for Slerp {
    fn needs_products(&self) -> bool {
        true
    }

    fn coefficients(&self, at: &At<'_>, products: &Gram) -> Result<Vec<f64>> {
        match products.len() {
            1 => return Ok(vec![1.0]),
            2 => {}
            n => bail!("slerp takes two members, got {n}"; hint: "karcher takes any number"),
        }
        let t = at.number("t")?;
        let length = |i: usize| {
            let own = products[i][i].max(0.0).sqrt();
            if own > 0.0 { own } else { 1.0 }
        };
        let cosine = (products[0][1] / (length(0) * length(1))).clamp(-1.0, 1.0);
        if cosine.abs() > STRAIGHT {
            return Ok(vec![1.0 - t, t]);
        }
        let theta = libm::acos(cosine);
        let whole = libm::sin(theta);
        Ok(vec![
            libm::sin((1.0 - t) * theta) / whole,
            libm::sin(t * theta) / whole,
        ])
    }
}
