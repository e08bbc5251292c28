//! The flags of what a script may take of the machine.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use crate::script::{Limits, machine_memory};
use crate::study::{disk, size};
use crate::{Error, Result};

/// The word for a limit that is taken off.
const NONE: &str = "none";

/// Calls within each other, for which there is room on the stack.
const DEEPEST: usize = 4096;

/// What a script may take; each can be `none`, the depth alone cannot.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitFlags {
    /// The most operations of the script itself; what its functions compute is not counted
    /// (default: 10000000000).
    #[arg(long, value_name = "N", value_parser = count)]
    max_operations: Option<u64>,
    /// The most calls of functions within each other, up to 4096 (default: 64).
    #[arg(long, value_name = "N")]
    max_depth: Option<NonZeroUsize>,
    /// The longest text that a call may make or read (default: 256MB).
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_string: Option<u64>,
    /// The most values of a list, or rows or cells of a table, that a call may make
    /// (default: 10000000).
    #[arg(long, value_name = "N", value_parser = count)]
    max_array: Option<u64>,
    /// The most memory of the whole program, where the system tells it (default: three quarters of
    /// the machine's).
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_memory: Option<u64>,
    /// The longest time: 90s, 30m, 12h. What is finished by then is kept (default: none).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_time: Option<Duration>,
    /// The most that files may grow, the store's and downloads among them (default: 20GB).
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_disk: Option<u64>,
}

impl LimitFlags {
    /// Those of a command that says itself what it takes and what it writes.
    pub(super) fn of_command() -> Self {
        Self {
            max_disk: Some(u64::MAX),
            ..Self::default()
        }
    }

    /// The limits, that of the disk set for the process.
    pub(super) fn set(&self) -> Result<Limits> {
        let usual = Limits::default();
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let depth = self.max_depth.map_or(usual.depth, NonZeroUsize::get);
        if depth > DEEPEST {
            return Err(Error::new(format!(
                "--max-depth {depth}: expected at most {DEEPEST}"
            )));
        }
        let memory = self.max_memory.or_else(|| Some(machine_memory()? / 4 * 3));
        let limits = Limits {
            operations: self.max_operations.unwrap_or(usual.operations),
            depth,
            string: self.max_string.map_or(usual.string, whole),
            array: self.max_array.map_or(usual.array, whole),
            memory: memory.filter(|most| *most < u64::MAX),
            time: self.max_time.filter(|most| *most < Duration::MAX),
            disk: Some(self.max_disk.unwrap_or(Limits::DISK)).filter(|most| *most < u64::MAX),
        };
        disk::limit(limits.disk);
        Ok(limits)
    }

    /// The stack that so deep calls need, in bytes. Memory is taken as it is used.
    pub(super) fn stack(&self) -> usize {
        /// For an expression as deep as the parser allows, in each call.
        const CALL: usize = 512 << 10;
        const REST: usize = 64 << 20;
        let depth = self.max_depth.map_or(0, NonZeroUsize::get);
        REST + CALL * depth.clamp(Limits::default().depth, DEEPEST)
    }
}

fn count(text: &str) -> Result<u64> {
    if text == NONE {
        return Ok(u64::MAX);
    }
    let digits = text.replace('_', "");
    digits
        .parse()
        .map_err(|_| Error::new("expected a whole number, or none"))
}

fn bytes(text: &str) -> Result<u64> {
    match text {
        NONE => Ok(u64::MAX),
        text => size::read_bytes(text),
    }
}

fn duration(text: &str) -> Result<Duration> {
    match text {
        NONE => Ok(Duration::MAX),
        text => size::read_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_what_they_limit_and_none_takes_it_off() {
        let flags = LimitFlags {
            max_operations: Some(count("1_000").unwrap()),
            max_memory: Some(bytes("none").unwrap()),
            max_time: Some(duration("90s").unwrap()),
            max_disk: Some(bytes("none").unwrap()),
            ..LimitFlags::default()
        };
        let limits = flags.set().unwrap();
        assert_eq!(limits.operations, 1000);
        assert_eq!((limits.memory, limits.disk), (None, None));
        assert_eq!(limits.time, Some(Duration::from_secs(90)));
        assert_eq!(limits.array, Limits::default().array);
        assert!(count("1e9").is_err() && bytes("10").is_err() && duration("5").is_err());
        let deep = LimitFlags {
            max_depth: NonZeroUsize::new(5000),
            ..LimitFlags::default()
        };
        let told = deep.set().unwrap_err().to_string();
        assert_eq!(told, "--max-depth 5000: expected at most 4096");
    }
}
