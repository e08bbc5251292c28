//! Ctrl-C: the first asks the run to stop; one too many ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The exit code of an interrupted run.
const INTERRUPTED: i32 = 130;

/// Raises `stop` on Ctrl-C. Pressed `patience` more times before that was taken back, it ends the
/// program. Where signals cannot be had, Ctrl-C keeps its usual effect.
pub(super) fn install(stop: &Arc<AtomicBool>, patience: u32) {
    let stop = stop.clone();
    let again = AtomicU32::new(0);
    let handler = move || {
        if !stop.swap(true, Ordering::Relaxed) {
            again.store(0, Ordering::Relaxed);
        } else if again.fetch_add(1, Ordering::Relaxed) + 1 >= patience {
            std::process::exit(INTERRUPTED);
        } else {
            crate::tell!("\nstopping; Ctrl-C once more leaves the program");
        }
    };
    let _ = ctrlc::set_handler(handler);
}
