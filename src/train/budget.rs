//! How a training keeps to the memory budget.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use candle_core::Var;

use crate::compute::{memory, threads};
use crate::model::{Model, Sites};
use crate::study::size;
use crate::{Error, Result};

use super::learner::Learner;

/// Bytes a value of an adapter or head: its moments and mask, the best epoch so far, and sums of
/// gradients.
const VALUE: u64 = 64;

/// Bytes a value in a piece under way: the adapter laid out for it, and gradients twice.
const PIECE: u64 = 24;

/// Bytes a value of a piece's gradients, which wait until they are added up.
const GRADIENT: u64 = 8;

/// What computing a piece again costs: three passes instead of two.
const AGAIN: (usize, usize) = (3, 2);

/// How long the allocator may take to give back what is free.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What a training takes, in bytes.
#[derive(Debug, Clone, Copy)]
struct Needs {
    /// Whatever it does.
    fixed: u64,
    /// A piece under way, and the same where blocks are computed again.
    piece: u64,
    again: Option<u64>,
    /// The gradients of all pieces of a batch.
    waiting: u64,
}

/// How the pieces of a batch are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    at_once: usize,
    again: bool,
}

/// Nothing is held back.
const FREE: Way = Way {
    at_once: usize::MAX,
    again: false,
};

impl Needs {
    /// The fastest way within so many bytes; none where one piece alone takes more.
    fn way(&self, room: u64, threads: usize) -> Option<Way> {
        let room = room.saturating_sub(self.fixed);
        // A thread that waits inside a piece may begin another.
        let all = (threads as u64 + 1).saturating_mul(self.piece);
        if room >= all.saturating_add(self.waiting) {
            return Some(FREE);
        }
        let whole = memory::fit(room, self.piece).min(threads);
        let again = self
            .again
            .map_or(0, |bytes| memory::fit(room, bytes).min(threads));
        let way = match again * AGAIN.1 > whole * AGAIN.0 {
            true => Way {
                at_once: again,
                again: true,
            },
            false => Way {
                at_once: whole,
                again: false,
            },
        };
        (way.at_once > 0).then_some(way)
    }

    /// The bytes that the slowest way takes.
    fn least(&self) -> u64 {
        self.fixed + self.again.unwrap_or(self.piece).min(self.piece)
    }
}

impl Learner<'_> {
    /// Settles how the batches are trained on within the memory budget, if there is one: how many
    /// pieces at once, and whether blocks are computed again for gradients. Returns what a user
    /// should know of that; nothing where nothing is held back.
    ///
    /// # Errors
    /// Where one piece alone takes more.
    pub fn settle(
        &mut self,
        batches: impl IntoIterator<Item = Vec<usize>>,
    ) -> Result<Option<String>> {
        let Some(budget) = memory::budget() else {
            return Ok(None);
        };
        if !self.model.device().is_cpu() {
            return self.settle_on_device(budget).map(Some);
        }
        let sites = self.sites()?;
        self.model.settle(sites.as_ref())?;
        let frugal = self.model.frugal()?;
        let needs = self.needs(batches, frugal.as_ref(), sites.as_ref())?;
        let threads = threads::count_now();
        // What an earlier training has freed may not have been given back yet.
        let start = Instant::now();
        let mut way = needs.way(room(budget), threads);
        while way != Some(FREE) && start.elapsed() < PATIENCE {
            std::thread::sleep(PATIENCE / 10);
            way = needs.way(room(budget), threads);
        }
        let Some(way) = way else {
            let held = memory::resident().unwrap_or(0);
            return Err(too_much(budget, held + needs.least()));
        };
        if way == FREE {
            return Ok(None);
        }
        self.at_once = way.at_once;
        let mut told = format!(
            "--memory {}: {} of {threads} pieces at once",
            size::bytes(budget),
            way.at_once
        );
        if let Some(frugal) = frugal.filter(|_| way.again) {
            self.model = frugal;
            told += ", blocks computed again for gradients";
        }
        Ok(Some(told))
    }

    /// On a GPU, whose results are equal but for rounding anyway, fewer rows go into a piece.
    fn settle_on_device(&mut self, budget: u64) -> Result<String> {
        let longest = self.lengths().into_iter().max().unwrap_or(1);
        let row = self
            .model
            .demand(&[vec![longest]], self.sites()?.as_ref())?;
        let taken = self.model.weight_bytes() + self.values() * (VALUE + PIECE);
        let rows = memory::fit(budget.saturating_sub(taken), row);
        if rows == 0 {
            return Err(too_much(budget, taken + row));
        }
        self.at_once = 1;
        self.token_budget = self.token_budget.min(rows * longest);
        let (budget, tokens) = (size::bytes(budget), self.token_budget);
        Ok(format!(
            "--memory {budget}: at most {tokens} tokens at once"
        ))
    }

    fn needs(
        &self,
        batches: impl IntoIterator<Item = Vec<usize>>,
        frugal: Option<&Model>,
        sites: &dyn Sites,
    ) -> Result<Needs> {
        let lengths = self.lengths();
        let (mut most, mut pieces) = (0, BTreeSet::new());
        for batch in batches {
            let own = self.pieces(&batch, &lengths);
            most = most.max(own.len());
            let own = own
                .into_iter()
                .map(|rows| rows.iter().map(|&row| lengths[row]).collect());
            pieces.extend(own);
        }
        let pieces: Vec<Vec<usize>> = pieces.into_iter().collect();
        let values = self.values();
        let piece = |model: &Model| Ok::<_, Error>(model.demand(&pieces, sites)? + values * PIECE);
        Ok(Needs {
            fixed: values * VALUE,
            piece: piece(&self.model)?,
            again: frugal.map(piece).transpose()?,
            waiting: values * GRADIENT * most as u64,
        })
    }

    /// The values that are trained.
    fn values(&self) -> u64 {
        let all = self.adapter.values().chain(self.head.values());
        all.map(|var: &Var| var.elem_count() as u64).sum()
    }
}

/// What is left of the budget.
fn room(budget: u64) -> u64 {
    memory::room().unwrap_or(budget)
}

fn too_much(budget: u64, least: u64) -> Error {
    // What the program holds besides grows a little until the training is done.
    let about = least + least / 8;
    let error = Error::new(format!(
        "training takes about {} of memory at least, more than --memory {}",
        size::bytes(about),
        size::bytes(budget)
    ));
    error.hint("a larger --memory helps or, where texts are long, a smaller max_length")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{DType, Device};

    use super::super::bench::random;
    use super::super::options::TrainOptions;
    use super::*;
    use crate::adapter::{Bottleneck, Kind, Lora};

    const NEEDS: Needs = Needs {
        fixed: 10,
        piece: 100,
        again: Some(30),
        waiting: 50,
    };

    #[test]
    fn the_fastest_way_within_the_room_is_taken() {
        let way = |room| NEEDS.way(room, 2).map(|way| (way.at_once, way.again));
        assert_eq!(way(360), Some((usize::MAX, false)));
        assert_eq!(way(359), Some((2, false)));
        assert_eq!(way(210), Some((2, false)));
        // Two again take less time than one whole.
        assert_eq!(way(209), Some((2, true)));
        assert_eq!(way(70), Some((2, true)));
        assert_eq!(way(69), Some((1, true)));
        assert_eq!(way(40), Some((1, true)));
        assert_eq!((way(39), way(0), NEEDS.least()), (None, None, 40));
        // One whole takes less time than one again.
        assert_eq!(NEEDS.way(110, 1).map(|way| way.again), Some(false));
        let whole = Needs {
            again: None,
            ..NEEDS
        };
        assert_eq!(whole.way(209, 2).map(|way| way.at_once), Some(1));
        assert_eq!((whole.way(109, 2), whole.least()), (None, 110));
    }

    #[test]
    fn turns_and_what_is_computed_again_change_no_bit() -> Result<()> {
        let model = Model::mini(DType::F32, &Device::Cpu)?;
        let kinds: [Arc<dyn Kind>; 2] =
            [Arc::new(Bottleneck::pfeiffer()), Arc::new(Lora::default())];
        for kind in kinds {
            let options = TrainOptions::new(kind, 0);
            let mut learner = random(&model, &options, (12, 40))?;
            let rows: Vec<usize> = (0..12).collect();
            // Into how many pieces a batch is cut depends on the processor's kernels.
            learner.token_budget = 3 * 40;
            assert!(learner.pieces(&rows, &learner.lengths()).len() > 2);
            let free = learner.gradients(&rows, 1)?;
            learner.at_once = 1;
            assert_eq!(free, learner.gradients(&rows, 1)?);
            learner.at_once = 2;
            learner.model = model.frugal()?.expect("an encoder like BERT");
            assert_eq!(free, learner.gradients(&rows, 1)?);
        }
        Ok(())
    }

    #[test]
    fn longer_texts_need_more_and_less_where_blocks_are_computed_again() -> Result<()> {
        let model = Model::mini(DType::F32, &Device::Cpu)?;
        let options = TrainOptions::new(Arc::new(Bottleneck::pfeiffer()), 0);
        let needs = |seq| {
            let learner = random(&model, &options, (12, seq))?;
            let sites = learner.sites()?;
            let frugal = model.frugal()?;
            learner.needs([(0..12).collect()], frugal.as_ref(), sites.as_ref())
        };
        let (short, long) = (needs(40)?, needs(400)?);
        assert!(short.piece < long.piece && short.again < long.again);
        assert!(long.again < Some(long.piece) && short.again < Some(short.piece));
        assert_eq!(short.fixed, long.fixed);
        Ok(())
    }

    #[test]
    fn what_is_told_of_too_little_names_both_sizes() {
        let told = too_much(1_000_000_000, 2_500_000_000).to_string();
        assert!(told.contains("about 2.8 GB of memory"), "{told}");
        assert!(told.contains("more than --memory 1 GB"), "{told}");
    }
}
