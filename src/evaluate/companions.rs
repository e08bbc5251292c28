//! What a grid's sign difference is held against: angle, distance and mass in conflict.

use std::collections::HashMap;

use crate::adapter::Adapter;
use crate::sign::{By, Likeness, Members, View, likeness};
use crate::{Context, Kind, Result};

/// Means over the pairs of a soup's members, from the same numbers as its sign difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Companions {
    /// The cosine of the angle between two members.
    pub cosine: f64,
    /// The Euclidean distance between them.
    pub l2: f64,
    /// The share of their mass that lies where they are in conflict.
    pub conflict_mass: f64,
}

/// The pairs of a grid's members, each compared once.
#[derive(Debug, Default)]
pub(super) struct Pairs(HashMap<(String, String), Likeness>);

impl Pairs {
    /// The means over the pairs of these members; none for one member or for members whose tensors
    /// cannot be compared entry by entry.
    pub fn of(
        &mut self,
        members: &[Adapter],
        view: &View,
        context: &Context,
    ) -> Result<Option<Companions>> {
        let mut sums = [0.0; 3];
        let mut count = 0.0;
        for (i, a) in members.iter().enumerate() {
            for b in &members[i + 1..] {
                let Some(pair) = self.pair(a, b, view, context)? else {
                    return Ok(None);
                };
                let own = [pair.cosine(), pair.l2(), pair.mass.conflict_share()];
                sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
                count += 1.0;
            }
        }
        let [cosine, l2, conflict_mass] = sums.map(|sum| sum / count);
        Ok((count > 0.0).then_some(Companions {
            cosine,
            l2,
            conflict_mass,
        }))
    }

    fn pair(
        &mut self,
        a: &Adapter,
        b: &Adapter,
        view: &View,
        context: &Context,
    ) -> Result<Option<Likeness>> {
        let mut key = (a.id().as_str().to_string(), b.id().as_str().to_string());
        // Every one of them is the same either way round.
        if key.0 > key.1 {
            std::mem::swap(&mut key.0, &mut key.1);
        }
        if let Some(found) = self.0.get(&key) {
            return Ok(Some(*found));
        }
        let members = match Members::of(&[a.clone(), b.clone()], view) {
            Ok(members) => members,
            Err(error) if error.kind() != Kind::Invalid => return Err(error),
            Err(_) => return Ok(None),
        };
        let row = likeness(&members, By::Whole, context)?.into_iter().next();
        let found = row.map(|row| row.likeness);
        if let Some(found) = found {
            self.0.insert(key, found);
        }
        Ok(found)
    }
}
