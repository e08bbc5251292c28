//! The number of threads: one place that settles it for every pool.

use crate::bail;
use rayon::prelude::*;
use std::num::NonZero;
use std::thread::available_parallelism;

/// The variable that rayon and candle's matrix products take their thread count from.
const RAYON: &str = "RAYON_NUM_THREADS";

/// The variable that candle's own pool for elementwise work takes its thread count from.
const CANDLE: &str = "CANDLE_NUM_THREADS";

/// Sizes rayon's pool to `threads`, or else to `RAYON_NUM_THREADS` where the user has set it, or
/// else to the processors this process may use; returns the number.
///
/// Three pools would compete otherwise: rayon's, candle's own rayon pool and candle's spinning
/// barrier pool. candle-core 0.11 sizes its two, and the split of its matrix products, from these
/// two variables and from nothing else, falling back on the physical cores, blind to the limits of
/// a container. So both are set here, before the first use of a pool: rayon's to the number, and
/// candle's to 1, because threads that spin for elementwise work take the processors from the
/// matrix products. candle's own rayon pool never starts as long as nothing calls
/// `Device::with_context`. Results do not depend on the number.
///
/// An error where `threads` is 0 or rayon's pool is already running.
///
/// # Safety
///
/// No other thread may be running: this writes to the process's environment.
pub unsafe fn init(threads: Option<usize>) -> crate::Result<usize> {
    let threads = count(threads, std::env::var(RAYON).ok().as_deref())?;
    // SAFETY: the caller has started no other thread.
    unsafe {
        std::env::set_var(RAYON, threads.to_string());
        std::env::set_var(CANDLE, "1");
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    if let Err(error) = pool.build_global() {
        bail!("threads: {error}"; hint: "set the number of threads before anything else");
    }
    Ok(threads)
}

/// Runs `work` on one of the pool's own threads. From outside, every parallel step inside would
/// wake the pool and sleep until it is done; from within, the thread takes part and steals work.
pub(crate) fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// What `one` gives for each of `items`, in their order: at most `at_once` under way at a time.
pub(crate) fn in_turns<T: Send, R: Send, E: Send>(
    items: Vec<T>,
    at_once: usize,
    one: impl Fn(T) -> Result<R, E> + Sync + Send,
) -> Result<Vec<R>, E> {
    if items.len() == 1 {
        return items.into_iter().map(one).collect();
    }
    let mut all = Vec::with_capacity(items.len());
    let mut items = items.into_iter();
    loop {
        let turn: Vec<T> = items.by_ref().take(at_once.max(1)).collect();
        if turn.is_empty() {
            return Ok(all);
        }
        all.extend(
            turn.into_par_iter()
                .map(&one)
                .collect::<Result<Vec<R>, E>>()?,
        );
    }
}

/// The number of threads that work now.
pub fn count_now() -> usize {
    rayon::current_num_threads()
}

fn count(asked: Option<usize>, variable: Option<&str>) -> crate::Result<usize> {
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
    fn turns_keep_the_order_and_the_number() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        for at_once in [1, 2, 3, 100] {
            most.store(0, SeqCst);
            let found = in_turns((0..20).collect(), at_once, |i| {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(1, SeqCst);
                Ok::<_, ()>(2 * i)
            });
            assert_eq!(found, Ok((0..20).map(|i| 2 * i).collect()));
            assert!(most.load(SeqCst) <= at_once);
            let several = at_once > 1 && rayon::current_num_threads() > 1;
            assert!(!several || most.load(SeqCst) > 1);
        }
        let failed = in_turns(vec![1, 2, 3], 2, |i| if i == 2 { Err(i) } else { Ok(i) });
        assert_eq!(failed, Err(2));
    }

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
