//! Ctrl-C: the first asks the run to stop, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of an interrupted run.
const INTERRUPTED: i32 = 130;

/// Raises `stop` on Ctrl-C. Where signals cannot be had, Ctrl-C keeps its usual effect.
pub(super) fn install(stop: &Arc<AtomicBool>) {
    let stop = stop.clone();
    let handler = move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    };
    let _ = ctrlc::set_handler(handler);
}
