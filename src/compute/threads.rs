//! The number of threads: one place that settles it for every pool.

use crate::{Result, bail};
use std::num::NonZero;
use std::thread::available_parallelism;

/// The variables that candle and rayon take their thread counts from.
const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// Sizes every pool to `threads`, or else to `RAYON_NUM_THREADS` where the user has set it, or
/// else to the processors this process may use; returns the number.
///
/// Three pools would compete otherwise: rayon's, candle's own rayon pool and candle's spinning
/// barrier pool. candle-core 0.11 sizes its two, and the split of its matrix products, from
/// `RAYON_NUM_THREADS` and `CANDLE_NUM_THREADS` and from nothing else, falling back on the
/// physical cores, blind to the limits of a container. So both variables are set here, before
/// the first use of a pool. candle's own rayon pool never starts as long as nothing calls
/// `Device::with_context`. Results do not depend on the number.
///
/// An error where `threads` is 0 or rayon's pool is already running.
///
/// # Safety
///
/// No other thread may be running: this writes to the process's environment.
pub unsafe fn init(threads: Option<usize>) -> Result<usize> {
    let threads = count(threads, std::env::var(VARIABLES[0]).ok().as_deref())?;
    for variable in VARIABLES {
        // SAFETY: the caller has started no other thread.
        unsafe { std::env::set_var(variable, threads.to_string()) };
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    if let Err(error) = pool.build_global() {
        bail!("threads: {error}"; hint: "set the number of threads before anything else");
    }
    Ok(threads)
}

fn count(asked: Option<usize>, variable: Option<&str>) -> Result<usize> {
    if asked == Some(0) {
        bail!("threads: expected at least 1, found 0");
    }
    let set = || {
        variable
            .and_then(|v| v.trim().parse().ok())
            .filter(|&n| n > 0)
    };
    let processors = || available_parallelism().map_or(1, NonZero::get);
    Ok(asked.or_else(set).unwrap_or_else(processors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_what_was_asked_for_or_set_or_there() {
        let processors = available_parallelism().unwrap().get();
        assert_eq!(count(Some(3), Some("5")), Ok(3));
        assert_eq!(count(None, Some("5")), Ok(5));
        assert_eq!(count(None, Some("0")), Ok(processors));
        assert_eq!(count(None, Some("many")), Ok(processors));
        assert_eq!(count(None, None), Ok(processors));
        assert!(count(Some(0), None).is_err());
    }
}
