//! Counting the ones of what two planes make together.
//!
//! With AVX-512's own population count nothing is faster than counting every word. AVX2 has
//! none: there, carry-save adders (Harley and Seal; Muła, Kurz & Lemire 2018) add sixteen vectors
//! up in binary digits, and only every sixteenth vector is counted, by a table of nibbles.

use multiversion::multiversion;

/// The bits that differ: the conflicts of two members without zeros.
pub(super) fn differing(p: &[u64], q: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if adders() {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::differing(p, q) };
    }
    differing_by_word(p, q)
}

/// The positions where one is positive and the other negative, and those where both are not zero.
pub(super) fn opposed(p: &[u64], n: &[u64], q: &[u64], m: &[u64]) -> (u64, u64) {
    #[cfg(target_arch = "x86_64")]
    if adders() {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::opposed(p, n, q, m) };
    }
    opposed_by_word(p, n, q, m)
}

/// Whether carry-save adders are the fastest way.
#[cfg(target_arch = "x86_64")]
fn adders() -> bool {
    is_x86_feature_detected!("avx2") && !is_x86_feature_detected!("avx512vpopcntdq")
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx512vpopcntdq+popcnt",
    "x86_64+popcnt"
))]
fn differing_by_word(p: &[u64], q: &[u64]) -> u64 {
    p.iter()
        .zip(q)
        .map(|(p, q)| u64::from((p ^ q).count_ones()))
        .sum()
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx512vpopcntdq+popcnt",
    "x86_64+popcnt"
))]
fn opposed_by_word(p: &[u64], n: &[u64], q: &[u64], m: &[u64]) -> (u64, u64) {
    let (mut conflicts, mut both) = (0, 0);
    for (((p, n), q), m) in p.iter().zip(n).zip(q).zip(m) {
        conflicts += u64::from((p & m | n & q).count_ones());
        both += u64::from(((p | n) & (q | m)).count_ones());
    }
    (conflicts, both)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi8, _mm256_add_epi64, _mm256_and_si256, _mm256_extract_epi64,
        _mm256_or_si256, _mm256_sad_epu8, _mm256_set_epi64x, _mm256_set1_epi8, _mm256_setr_epi8,
        _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_xor_si256,
    };

    /// Words that are added up before one vector is counted.
    const STEP: usize = 64;

    #[target_feature(enable = "avx2,popcnt")]
    pub fn differing(p: &[u64], q: &[u64]) -> u64 {
        let (p, p_rest) = p.as_chunks::<STEP>();
        let (q, q_rest) = q.as_chunks::<STEP>();
        let mut digits = Digits::default();
        for (p, q) in p.iter().zip(q) {
            digits.add(|i| _mm256_xor_si256(vector(p, i), vector(q, i)));
        }
        digits.sum() + super::differing_by_word(p_rest, q_rest)
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub fn opposed(p: &[u64], n: &[u64], q: &[u64], m: &[u64]) -> (u64, u64) {
        let (p, p_rest) = p.as_chunks::<STEP>();
        let (n, n_rest) = n.as_chunks::<STEP>();
        let (q, q_rest) = q.as_chunks::<STEP>();
        let (m, m_rest) = m.as_chunks::<STEP>();
        let (mut conflicts, mut both) = (Digits::default(), Digits::default());
        for (((p, n), q), m) in p.iter().zip(n).zip(q).zip(m) {
            conflicts.add(|i| {
                _mm256_or_si256(
                    _mm256_and_si256(vector(p, i), vector(m, i)),
                    _mm256_and_si256(vector(n, i), vector(q, i)),
                )
            });
            both.add(|i| {
                _mm256_and_si256(
                    _mm256_or_si256(vector(p, i), vector(n, i)),
                    _mm256_or_si256(vector(q, i), vector(m, i)),
                )
            });
        }
        let (c, b) = super::opposed_by_word(p_rest, n_rest, q_rest, m_rest);
        (conflicts.sum() + c, both.sum() + b)
    }

    /// The number of ones at each bit of a vector: four binary digits, and sixteens counted.
    struct Digits {
        ones: __m256i,
        twos: __m256i,
        fours: __m256i,
        eights: __m256i,
        /// Sixteens, four sums.
        sixteens: __m256i,
    }

    impl Digits {
        #[inline]
        #[target_feature(enable = "avx2")]
        fn default() -> Self {
            let zero = _mm256_setzero_si256();
            Self {
                ones: zero,
                twos: zero,
                fours: zero,
                eights: zero,
                sixteens: zero,
            }
        }

        /// Adds sixteen vectors.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn add(&mut self, x: impl Fn(usize) -> __m256i) {
            let mut eights = [_mm256_setzero_si256(); 2];
            for (half, eights) in eights.iter_mut().enumerate() {
                let mut fours = [_mm256_setzero_si256(); 2];
                for (quarter, fours) in fours.iter_mut().enumerate() {
                    let at = 8 * half + 4 * quarter;
                    let first = carry(&mut self.ones, x(at), x(at + 1));
                    let second = carry(&mut self.ones, x(at + 2), x(at + 3));
                    *fours = carry(&mut self.twos, first, second);
                }
                *eights = carry(&mut self.fours, fours[0], fours[1]);
            }
            let sixteens = carry(&mut self.eights, eights[0], eights[1]);
            self.sixteens = _mm256_add_epi64(self.sixteens, counted(sixteens));
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn sum(&self) -> u64 {
            let mut sum = self.sixteens;
            for digit in [self.eights, self.fours, self.twos, self.ones] {
                sum = _mm256_add_epi64(_mm256_add_epi64(sum, sum), counted(digit));
            }
            total(sum)
        }
    }

    /// A full adder at each bit: the sum stays in `digit`, the carry is returned.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn carry(digit: &mut __m256i, a: __m256i, b: __m256i) -> __m256i {
        let half = _mm256_xor_si256(*digit, a);
        let carry = _mm256_or_si256(_mm256_and_si256(*digit, a), _mm256_and_si256(half, b));
        *digit = _mm256_xor_si256(half, b);
        carry
    }

    /// The ones of each 64 bits.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn counted(x: __m256i) -> __m256i {
        let nibbles = _mm256_setr_epi8(
            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2,
            3, 3, 4,
        );
        let low = _mm256_set1_epi8(15);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(x), low);
        let bytes = _mm256_add_epi8(
            _mm256_shuffle_epi8(nibbles, _mm256_and_si256(x, low)),
            _mm256_shuffle_epi8(nibbles, high),
        );
        _mm256_sad_epu8(bytes, _mm256_setzero_si256())
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn total(x: __m256i) -> u64 {
        let sums = [
            _mm256_extract_epi64::<0>(x),
            _mm256_extract_epi64::<1>(x),
            _mm256_extract_epi64::<2>(x),
            _mm256_extract_epi64::<3>(x),
        ];
        sums.iter().sum::<i64>() as u64
    }

    /// The `i`-th four words.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn vector(words: &[u64; STEP], i: usize) -> __m256i {
        let (vectors, _) = words.as_chunks::<4>();
        let [a, b, c, d] = vectors[i].map(|word| word as i64);
        _mm256_set_epi64x(d, c, b, a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn adders_count_what_words_count(
            words in (0usize..700).prop_flat_map(|n| {
                proptest::collection::vec(proptest::collection::vec(any::<u64>(), n), 4)
            })
        ) {
            let [p, n, q, m] = &words[..] else { unreachable!() };
            prop_assert_eq!(differing(p, q), differing_by_word(p, q));
            prop_assert_eq!(opposed(p, n, q, m), opposed_by_word(p, n, q, m));
        }
    }

    #[test]
    fn all_ones_carry_through_every_digit() {
        let (ones, zeros) = (vec![!0; 64 * 5 + 3], vec![0; 64 * 5 + 3]);
        assert_eq!(differing(&ones, &zeros), 64 * (64 * 5 + 3));
        assert_eq!(
            opposed(&ones, &zeros, &zeros, &ones),
            (64 * (64 * 5 + 3), 64 * (64 * 5 + 3))
        );
    }
}
