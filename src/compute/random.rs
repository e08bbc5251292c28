//! Named random streams: every random number of a study comes from one of these.
//!
//! A stream is ChaCha with 8 rounds (a counter-based generator), its key hashed from
//! `(seed, purpose, item)`. So a number depends on what it is for and never on the order of
//! calls, the thread or the machine: the transform to normals uses `libm` only.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A reproducible sequence of random numbers, named by seed, purpose and item.
///
/// Equal names give equal sequences on every machine.
#[derive(Clone)]
pub struct Stream {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Stream {
    /// The version of the derivation; part of the ids of what is drawn.
    pub const VERSION: u32 = 1;

    /// The stream of `item` (a canonical tensor name, a row, a round) for `purpose`
    /// ("init", "shuffle", "dropout"...) under `seed`.
    pub fn new(seed: u64, purpose: &str, item: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tureen random stream 1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&(purpose.len() as u64).to_le_bytes());
        hasher.update(purpose.as_bytes());
        hasher.update(item.as_bytes());
        Self {
            rng: ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()),
            spare: None,
        }
    }

    /// The `lane`-th of 2^64 independent sequences under the same key: for numbers drawn in
    /// parallel, one lane a row, without hashing a key for each.
    #[must_use]
    pub fn lane(&self, lane: u64) -> Self {
        let mut rng = self.rng.clone();
        rng.set_stream(lane);
        rng.set_word_pos(0);
        Self { rng, spare: None }
    }

    /// Fills `bytes` with random bits.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.rng.fill_bytes(bytes);
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal, by Box and Muller's transform.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        let angle = 2.0 * std::f64::consts::PI * self.uniform();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }

    /// Uniform in 0..n, without bias; 0 where n is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // Numbers above the last multiple of n would favour small remainders: draw again.
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let x = self.next_u64();
            if x < limit {
                return x % n;
            }
        }
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_fixed_for_all_time() {
        let mut a = Stream::new(42, "init", "encoder.layer.0.output.adapter_down.weight");
        let first: Vec<u64> = (0..2).map(|_| a.next_u64()).collect();
        let mut b = Stream::new(42, "init", "encoder.layer.0.output.adapter_down.weight");
        assert_eq!(first, (0..2).map(|_| b.next_u64()).collect::<Vec<_>>());
        let mut c = Stream::new(42, "initencoder", ".layer.0.output.adapter_down.weight");
        assert_ne!(first[0], c.next_u64());
        assert_ne!(a.lane(1).next_u64(), a.lane(2).next_u64());
    }

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let mut stream = Stream::new(1, "test", "normal");
        let n = 100_000;
        let xs: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let mean = xs.iter().sum::<f64>() / f64::from(n);
        let var = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((var - 1.0).abs() < 0.02, "{var}");
    }

    #[test]
    fn below_is_uniform_and_shuffle_permutes() {
        let mut stream = Stream::new(1, "test", "below");
        let mut counts = [0usize; 3];
        for _ in 0..30_000 {
            counts[stream.below(3) as usize] += 1;
        }
        assert!(
            counts.iter().all(|c| (9_500..10_500).contains(c)),
            "{counts:?}"
        );
        let mut items: Vec<u32> = (0..50).collect();
        stream.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
