//! Erdos-Renyi densities (Mocanu et al. 2018; Evci et al., arXiv 1911.11134), entries at random.

use super::{Criterion, Random, Scope, Target};

/// Keeps entries at random, more of small matrices than of large ones: the densities are those of
/// [`Scope::ErdosRenyi`].
#[derive(Debug, Clone, Copy)]
pub struct ErdosRenyi;

impl Criterion for ErdosRenyi {
    fn name(&self) -> &'static str {
        "er"
    }

    fn scope(&self) -> Option<Scope> {
        Some(Scope::ErdosRenyi)
    }

    fn scores(&self, target: &Target<'_>) -> Vec<f32> {
        Random.scores(target)
    }
}
