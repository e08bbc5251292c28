//! Which signs flip in the course of a training.

use super::counts::{Counts, count_parallel};
use super::expected::Signs;
use super::{By, Place, SignPlanes};
use crate::adapter::{Name, check_aligned};
use crate::{Context, Result, bail};

/// From one checkpoint of a training to the next, at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct FlipRow {
    /// The later checkpoint's place among the checkpoints, from 1.
    pub step: usize,
    /// Where.
    pub place: Place,
    /// Positions.
    pub entries: u64,
    /// Positions whose sign is opposed to that at the checkpoint before.
    pub flips: u64,
    /// Positions that became zero.
    pub zeroed: u64,
    /// Positions that were zero and no longer are.
    pub grown: u64,
    /// Positions whose sign is opposed to that at the first checkpoint.
    pub since_start: u64,
}

impl FlipRow {
    /// Flips as a share of all positions.
    pub fn rate(&self) -> f64 {
        self.flips as f64 / self.entries as f64
    }

    /// The positions opposed to the first checkpoint, as a share of all.
    pub fn rate_since_start(&self) -> f64 {
        self.since_start as f64 / self.entries as f64
    }
}

/// The flips between neighbouring checkpoints, in order, each with its places in order. Fewer
/// than two checkpoints, or ones with other tensors, are errors.
pub fn flips(
    checkpoints: &[(&str, &SignPlanes)],
    by: By,
    context: &Context,
) -> Result<Vec<FlipRow>> {
    let [first, _, ..] = checkpoints else {
        bail!(
            "flips need at least two checkpoints, got {}",
            checkpoints.len()
        );
    };
    for other in &checkpoints[1..] {
        let (own, theirs) = ((first.0, first.1.tensors()), (other.0, other.1.tensors()));
        check_aligned(own, theirs, super::Planes::dims)?;
    }
    let places = by.places(first.1.tensors().keys());
    let mut rows = Vec::new();
    for (i, pair) in checkpoints.windows(2).enumerate() {
        let mut here: Vec<FlipRow> = places.iter().map(|place| blank(i + 1, place)).collect();
        for name in first.1.tensors().keys() {
            context.check()?;
            let place = by.place(name);
            if let Some(row) = here.iter_mut().find(|row| row.place == place) {
                add(row, name, [first.1, pair[0].1, pair[1].1]);
            }
        }
        rows.extend(here);
    }
    Ok(rows)
}

fn blank(step: usize, place: &Place) -> FlipRow {
    FlipRow {
        step,
        place: place.clone(),
        entries: 0,
        flips: 0,
        zeroed: 0,
        grown: 0,
        since_start: 0,
    }
}

fn add(row: &mut FlipRow, name: &Name, [start, before, after]: [&SignPlanes; 3]) {
    let [Some(start), Some(before), Some(after)] =
        [start, before, after].map(|planes| planes.tensors().get(name))
    else {
        return;
    };
    let pair: Counts = count_parallel(&[before, after]);
    let since: Counts = count_parallel(&[start, after]);
    row.entries += pair.entries;
    row.flips += pair.conflicts;
    row.zeroed += Signs::of(before).nonzero() - pair.both_nonzero;
    row.grown += Signs::of(after).nonzero() - pair.both_nonzero;
    row.since_start += since.conflicts;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::Planes;

    fn planes(values: [&[f32]; 2]) -> SignPlanes {
        ["layer.0.down.weight", "layer.1.down.weight"]
            .into_iter()
            .zip(values)
            .map(|(name, values)| {
                let name = Name::new(name);
                let planes = Planes::new(&name, values, &[values.len()]).unwrap();
                (name, planes)
            })
            .collect()
    }

    #[test]
    fn three_checkpoints_by_hand() {
        let all = [
            planes([&[1.0, -1.0, 0.0], &[1.0, 1.0]]),
            planes([&[-1.0, -1.0, 2.0], &[0.0, 1.0]]),
            planes([&[1.0, 1.0, 2.0], &[0.0, -1.0]]),
        ];
        let named: Vec<(&str, &SignPlanes)> = all.iter().map(|p| ("c", p)).collect();
        let seen = |row: &FlipRow| {
            (
                row.step,
                row.entries,
                row.flips,
                row.zeroed,
                row.grown,
                row.since_start,
            )
        };
        let flips = |named: &[_], by| flips(named, by, &Context::silent());
        let whole: Vec<_> = flips(&named, By::Whole).unwrap().iter().map(seen).collect();
        assert_eq!(whole, [(1, 5, 1, 1, 1, 1), (2, 5, 3, 0, 0, 2)]);
        let layers = flips(&named, By::Layer).unwrap();
        let layers: Vec<_> = layers.iter().map(|r| (r.place.layer, seen(r))).collect();
        assert_eq!(layers[3], (Some(1), (2, 2, 1, 0, 0, 1)));
        assert_eq!(layers.len(), 4);
        assert!(flips(&named[..1], By::Whole).is_err());
    }
}
