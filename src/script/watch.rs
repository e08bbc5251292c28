//! Looks after a running script from beside it: time, memory, operations.
//!
//! The script's own thread counts operations. A second thread looks at the clock and the memory,
//! since a native may compute for hours; it raises the flag that natives poll, and what they give
//! then (they were interrupted) becomes the error that says which limit it was. A run that does not
//! stop for that is ended as a kill would end it: it resumes as well.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::limits::{Limits, reached};
use crate::Error;
use crate::compute::memory::kilobytes;
use crate::study::size;

/// How often time and memory are looked at.
const PERIOD: Duration = Duration::from_millis(20);

/// How long after its end a run may take to stop.
const GRACE: Duration = Duration::from_secs(60);

/// Ends the program with an error: for what does not stop when it is asked to.
pub type GiveUp = fn(&Error) -> !;

/// The watch of one session.
pub(super) struct Watch {
    shared: Arc<Shared>,
    operations: Cell<u64>,
    most: u64,
}

struct Shared {
    stop: Arc<AtomicBool>,
    limits: Limits,
    give_up: Option<GiveUp>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since when the code runs; none between two inputs.
    since: Option<Instant>,
    /// Why it is to stop, where not the user asked for it.
    reason: Option<Error>,
}

impl Watch {
    /// A watch that keeps `limits` and raises `stop`.
    pub(super) fn new(limits: &Limits, stop: &Arc<AtomicBool>, give_up: Option<GiveUp>) -> Self {
        let shared = Arc::new(Shared {
            stop: stop.clone(),
            limits: limits.clone(),
            give_up,
            state: Mutex::default(),
        });
        if limits.time.is_some() || limits.memory.is_some() {
            let watched = Arc::downgrade(&shared);
            std::thread::spawn(move || look(&watched));
        }
        Self {
            shared,
            operations: Cell::new(0),
            most: limits.operations,
        }
    }

    /// The clock and the count begin: at each script or input.
    pub(super) fn begin(&self) {
        self.operations.set(0);
        let mut state = self.shared.state();
        state.since = Some(Instant::now());
        state.reason = None;
    }

    /// The clock stands.
    pub(super) fn end(&self) {
        self.shared.state().since = None;
    }

    /// One operation more; why the script must stop, if so.
    pub(super) fn step(&self) -> Option<Error> {
        let operations = self.operations.get() + 1;
        self.operations.set(operations);
        if operations > self.most {
            let message = format!("the script does more than {} operations", self.most);
            return Some(reached(message, "operations", "N"));
        }
        let stopped = self.shared.stop.load(Ordering::Relaxed);
        stopped.then(|| self.reason().unwrap_or_else(Error::interrupted))
    }

    /// The limit that was reached, if one was.
    pub(super) fn reason(&self) -> Option<Error> {
        self.shared.state().reason.clone()
    }

    /// Asks what runs to stop for this reason.
    pub(super) fn halt(&self, reason: Error) {
        self.shared.halt(reason);
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn halt(&self, reason: Error) {
        let mut state = self.state();
        // The first reason is the one that is told.
        if state.reason.is_none() {
            state.reason = Some(reason);
        }
        self.stop.store(true, Ordering::Relaxed);
    }

    fn give_up(&self, error: &Error) {
        if let Some(give_up) = self.give_up {
            give_up(error);
        }
    }

    fn look(&self) {
        let Some(since) = self.state().since else {
            return;
        };
        if let Some(most) = self.limits.time {
            let passed = since.elapsed();
            if passed >= most + GRACE {
                self.give_up(&overtime(most));
            } else if passed >= most {
                self.halt(overtime(most));
            }
        }
        if let (Some(most), Some(taken)) = (self.limits.memory, taken()) {
            // What comes so fast that it cannot be asked to stop ends before the machine does.
            if taken > most + most / 4 {
                self.give_up(&overfull(most));
            }
            if taken > most {
                self.halt(overfull(most));
            }
        }
    }
}

fn look(watched: &Weak<Shared>) {
    while let Some(shared) = watched.upgrade() {
        shared.look();
        drop(shared);
        std::thread::sleep(PERIOD);
    }
}

fn overtime(most: Duration) -> Error {
    let message = format!("the run takes longer than {}", size::duration(most));
    let error = reached(message, "time", "DURATION");
    let hint = error.advice().unwrap_or_default().to_string();
    error.hint(format!("{hint}; what is finished is kept for the next run"))
}

fn overfull(most: u64) -> Error {
    let message = format!("the run takes more than {} of memory", size::bytes(most));
    reached(message, "memory", "SIZE")
}

/// The memory that the program takes, mapped files left out; unknown outside Linux.
fn taken() -> Option<u64> {
    kilobytes(
        &std::fs::read_to_string("/proc/self/status").ok()?,
        "RssAnon:",
    )
}

/// The memory that the machine has, or the part that the program may have of it; unknown outside
/// Linux.
pub fn machine_memory() -> Option<u64> {
    let all = kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let groups = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let allowed = groups.iter().filter_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        text.trim().parse::<u64>().ok()
    });
    Some(allowed.fold(all, u64::min))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(limits: Limits) -> Watch {
        Watch::new(&limits, &Arc::default(), None)
    }

    #[test]
    fn operations_are_counted_anew_for_each_input() {
        let watch = watch(Limits {
            operations: 2,
            ..Limits::default()
        });
        watch.begin();
        assert!(watch.step().is_none() && watch.step().is_none());
        assert_eq!(
            watch.step().unwrap().to_string(),
            "the script does more than 2 operations; raise the limit with --max-operations N"
        );
        watch.begin();
        assert!(watch.step().is_none());
    }

    #[test]
    fn time_and_memory_stop_what_runs_and_nothing_else() {
        for (limits, flag) in [
            (
                Limits {
                    time: Some(Duration::ZERO),
                    ..Limits::default()
                },
                "--max-time",
            ),
            (
                Limits {
                    memory: Some(1),
                    ..Limits::default()
                },
                "--max-memory",
            ),
        ] {
            let watch = watch(limits);
            watch.shared.look();
            assert!(watch.reason().is_none(), "nothing runs");
            watch.begin();
            watch.shared.look();
            if flag == "--max-memory" && taken().is_none() {
                continue;
            }
            let reason = watch.reason().unwrap().to_string();
            assert!(reason.contains(flag), "{reason}");
            assert!(watch.step().is_some());
        }
    }
}
