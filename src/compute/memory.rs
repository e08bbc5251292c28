//! The memory that computing keeps to: one place that settles it for the process.
//!
//! Work that would take more at once takes turns, or keeps less and computes it again. Pieces of
//! work are cut without regard to it, so results do not depend on it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Result, bail};

/// The budget in bytes; as much as there is where none is set.
static BUDGET: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sets the budget of the process: all that it holds, the program and its weights among it.
///
/// # Errors
/// Where the system does not tell what the process holds.
pub fn keep_to(budget: Option<u64>) -> Result<()> {
    if budget.is_some() && resident().is_none() {
        bail!("memory: this system does not tell how much memory a program has");
    }
    BUDGET.store(budget.unwrap_or(u64::MAX), Ordering::Relaxed);
    Ok(())
}

/// The budget, in bytes; none where none is set.
pub fn budget() -> Option<u64> {
    let budget = BUDGET.load(Ordering::Relaxed);
    (budget < u64::MAX).then_some(budget)
}

/// The share of a budget, as a divisor, that is kept free for what no one counts: the script's
/// values, tables and figures, and what the allocator holds back.
const SPARE: u64 = 16;

/// What is left of the budget, in bytes; none where none is set.
pub fn room() -> Option<u64> {
    let budget = budget()?;
    Some((budget - budget / SPARE).saturating_sub(resident().unwrap_or(0)))
}

/// How many pieces of work that take so many bytes each may be under way at once: at least one,
/// and any number where no budget is set.
pub fn at_once(bytes: impl FnOnce() -> u64) -> usize {
    room().map_or(usize::MAX, |room| fit(room, bytes()).max(1))
}

/// How many pieces of so many bytes each fit into a room.
pub fn fit(room: u64, bytes: u64) -> usize {
    usize::try_from(room / bytes.max(1)).unwrap_or(usize::MAX)
}

/// The memory that the process holds now, mapped files included; none where the system does not
/// tell.
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&status, "VmRSS:")
}

/// The bytes of the line of a system's table that begins with `name` and counts kilobytes.
pub fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_system_are_read() {
        let text = "VmRSS:\t  12 kB\nRssAnon:\t     100 kB\n";
        assert_eq!(kilobytes(text, "RssAnon:"), Some(102_400));
        assert_eq!(kilobytes(text, "RssShmem:"), None);
    }

    #[test]
    fn without_a_budget_there_is_room_for_all() {
        assert_eq!((budget(), room()), (None, None));
        assert_eq!(at_once(|| u64::MAX), usize::MAX);
        assert_eq!((fit(10, 3), fit(2, 3), fit(5, 0)), (3, 0, 5));
    }
}
