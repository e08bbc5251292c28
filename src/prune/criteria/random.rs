//! Random: every entry is as likely to stay, by a stream of its own for each tensor.

use super::Criterion;
use crate::compute::random::Stream;

pub(super) const CRITERION: Criterion = Criterion {
    name: "random",
    score: |name, values, seed| {
        let mut stream = Stream::new(seed, "prune", name.as_str());
        values.iter().map(|_| stream.uniform()).collect()
    },
};
