//! The rows of a sign difference: by pair, by place, by row of a matrix.

use super::counts::{Counts, count};
use super::{MixtureIndex, Place, Planes};
use crate::adapter::Name;
use crate::{Context, Result};
use rayon::prelude::*;

/// A pair of members.
#[derive(Debug, Clone, PartialEq)]
pub struct PairRow {
    /// The first member's name.
    pub a: String,
    /// The second member's name.
    pub b: String,
    /// Positions.
    pub entries: u64,
    /// Positions where the signs are opposed.
    pub conflicts: u64,
    /// Conflicts as a share of the chosen denominator.
    pub rate: f64,
    /// Conflicts as a share of the positions where both are not zero.
    pub both_nonzero: f64,
    /// Conflicts as a share of the positions where either is not zero.
    pub union_nonzero: f64,
    /// Share of all positions whose signs differ, zero being a third sign.
    pub tristate: f64,
}

/// A layer, a site or a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceRow {
    /// Which.
    pub place: Place,
    /// Positions.
    pub entries: u64,
    /// Positions in conflict.
    pub conflicts: u64,
    /// Conflicts as a share of the chosen denominator.
    pub rate: f64,
    /// Conflicts as a share of the positions where at least two members are not zero.
    pub both_nonzero: f64,
    /// The rate (of the same denominator) expected if the members' signs were independent: the sum
    /// of what is expected at each tensor, over that of the denominator's positions. NaN where none
    /// of those are expected.
    pub expected: f64,
}

/// A row of a matrix: what one unit has of it.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixRow {
    /// The tensor.
    pub tensor: Name,
    /// The row's place, from 0; a vector is one row.
    pub row: usize,
    /// The members' counts there.
    pub counts: Counts,
}

/// The counts of every row of every tensor, over all members.
pub fn by_row(index: &MixtureIndex<'_>, context: &Context) -> Result<Vec<MatrixRow>> {
    let of_tensor = |(name, planes): (&&Name, &Vec<&Planes>)| -> Result<Vec<MatrixRow>> {
        let rows = planes.first().map_or(0, |planes| planes.rows());
        (0..rows)
            .map(|row| {
                context.check()?;
                let own: Vec<Planes> = planes.iter().map(|planes| planes.row(row)).collect();
                Ok(MatrixRow {
                    tensor: (**name).clone(),
                    row,
                    counts: count(&own.iter().collect::<Vec<_>>()),
                })
            })
            .collect()
    };
    let tensors: Vec<Vec<MatrixRow>> = index
        .names()
        .par_iter()
        .zip(index.tensors())
        .map(of_tensor)
        .collect::<Result<_>>()?;
    Ok(tensors.into_iter().flatten().collect())
}
