//! How much the process lets its files grow.
//!
//! One count for the whole process, as for the limits that a system has: whatever writes goes
//! through it, from whichever thread.

use std::sync::atomic::{AtomicU64, Ordering};

use super::size;
use crate::{Error, Result};

static WRITTEN: AtomicU64 = AtomicU64::new(0);
static MOST: AtomicU64 = AtomicU64::new(u64::MAX);

/// From now on, what is written by this process may grow by so many bytes; without an end where
/// none are given.
pub fn limit(most: Option<u64>) {
    MOST.store(most.unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Counts bytes that are about to be written; an error where they are too many.
pub fn take(bytes: u64) -> Result<()> {
    take_of(&WRITTEN, MOST.load(Ordering::Relaxed), bytes)
}

/// Gives bytes back that no longer lie on the disk.
pub fn give_back(bytes: u64) {
    give_back_to(&WRITTEN, bytes);
}

fn take_of(written: &AtomicU64, most: u64, bytes: u64) -> Result<()> {
    let add = |so_far: u64| so_far.checked_add(bytes).filter(|sum| *sum <= most);
    let relaxed = Ordering::Relaxed;
    match written.fetch_update(relaxed, relaxed, add) {
        Ok(_) => Ok(()),
        Err(_) => Err(
            Error::limit(format!("the run writes more than {}", size::bytes(most)))
                .hint("raise the limit with --max-disk SIZE"),
        ),
    }
}

fn give_back_to(written: &AtomicU64, bytes: u64) {
    let relaxed = Ordering::Relaxed;
    let less = |so_far: u64| Some(so_far.saturating_sub(bytes));
    // The closure always gives a value.
    let _ = written.fetch_update(relaxed, relaxed, less);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_goes_makes_room() {
        let written = AtomicU64::new(0);
        take_of(&written, 10, 8).unwrap();
        let error = take_of(&written, 10, 3).unwrap_err().to_string();
        assert_eq!(
            error,
            "the run writes more than 10 B; raise the limit with --max-disk SIZE"
        );
        give_back_to(&written, 5);
        take_of(&written, 10, 7).unwrap();
        assert!(take_of(&written, u64::MAX, u64::MAX).is_err());
    }
}
