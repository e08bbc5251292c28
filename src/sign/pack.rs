//! Numbers to signs: a word of each plane from 64 numbers.

use std::mem::MaybeUninit;

/// Numbers whose signs a word holds.
pub(super) const WORD: usize = 64;

/// The bits of an infinity: those of a NaN are larger, its sign aside.
const INFINITY: u32 = 0x7f80_0000;

/// Words of a plane that are still to be written.
pub(super) type Words = [MaybeUninit<u64>];

/// Packs numbers, given as little-endian bytes, into a plane of positive and one of negative
/// entries; false if there is a NaN. The planes have a word for every 64 numbers begun, all of
/// which are written.
pub(super) fn pack(bytes: &[u8], positive: &mut Words, negative: &mut Words) -> bool {
    let words = bytes.len().div_ceil(4 * WORD);
    assert!(positive.len() == words && negative.len() == words);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::pack(bytes, positive, negative) };
    }
    pack_by_number(bytes, positive, negative)
}

fn pack_by_number(bytes: &[u8], positive: &mut Words, negative: &mut Words) -> bool {
    let mut ordered = true;
    let words = positive.iter_mut().zip(negative);
    for (bytes, (positive, negative)) in bytes.chunks(4 * WORD).zip(words) {
        let (mut p, mut n) = (0u64, 0u64);
        let (numbers, _) = bytes.as_chunks::<4>();
        for (bit, number) in numbers.iter().enumerate() {
            let bits = u32::from_le_bytes(*number);
            let size = bits & !(1 << 31);
            let (sign, some) = (u64::from(bits >> 31), u64::from(size != 0));
            p |= (some & !sign) << bit;
            n |= (some & sign) << bit;
            ordered &= size <= INFINITY;
        }
        positive.write(p);
        negative.write(n);
    }
    ordered
}

/// A slice of numbers as the little-endian bytes that [`pack`] takes.
pub(super) fn bytes_of(values: &[f32]) -> std::borrow::Cow<'_, [u8]> {
    #[cfg(target_endian = "little")]
    {
        // SAFETY: the bytes are those of the values, which have no padding and any alignment
        // will do for bytes; the borrow keeps the values where they are.
        let bytes = unsafe {
            std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values))
        };
        bytes.into()
    }
    #[cfg(not(target_endian = "little"))]
    {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        bytes.into()
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi32, _mm256_loadu_si256,
        _mm256_max_epi32, _mm256_movemask_epi8, _mm256_packs_epi16, _mm256_packs_epi32,
        _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256,
    };

    use super::{INFINITY, WORD, Words};

    #[target_feature(enable = "avx2")]
    pub fn pack(bytes: &[u8], positive: &mut Words, negative: &mut Words) -> bool {
        let (words, rest) = bytes.as_chunks::<{ 4 * WORD }>();
        let size = _mm256_set1_epi32(i32::MAX);
        let mut most = _mm256_setzero_si256();
        let planes = positive.iter_mut().zip(negative.iter_mut());
        for (word, (positive, negative)) in words.iter().zip(planes) {
            let (mut sign, mut zero) = (0u64, 0u64);
            let (vectors, _) = word.as_chunks::<32>();
            for (half, vectors) in vectors.chunks_exact(4).enumerate() {
                let [a, b, c, d] = vectors else { continue };
                // Written out, not mapped: closures passed to others are compiled without AVX2.
                let x = [load(a), load(b), load(c), load(d)];
                let mut sizes = x;
                for sizes in &mut sizes {
                    *sizes = _mm256_and_si256(*sizes, size);
                    most = _mm256_max_epi32(most, *sizes);
                }
                let none = _mm256_cmpeq_epi8(narrowed(sizes), _mm256_setzero_si256());
                sign |= u64::from(_mm256_movemask_epi8(narrowed(x)) as u32) << (32 * half);
                zero |= u64::from(_mm256_movemask_epi8(none) as u32) << (32 * half);
            }
            positive.write(!sign & !zero);
            negative.write(sign & !zero);
        }
        let nan = _mm256_cmpgt_epi32(most, _mm256_set1_epi32(INFINITY as i32));
        let done = words.len();
        let rest = super::pack_by_number(rest, &mut positive[done..], &mut negative[done..]);
        rest && _mm256_movemask_epi8(nan) == 0
    }

    /// 32 numbers to bytes in order, by saturation: signs stay, and what is not zero stays so.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn narrowed([a, b, c, d]: [__m256i; 4]) -> __m256i {
        let bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        // Narrowing works within halves of a vector.
        _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: the bytes are as many as are read, and any alignment will do.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_way_gives_the_signs_of_the_numbers(values in proptest::collection::vec(
            prop_oneof![Just(0f32), Just(-0f32), any::<f32>(), any::<u32>().prop_map(f32::from_bits)],
            0..400,
        )) {
            let words = values.len().div_ceil(WORD);
            for way in [pack, pack_by_number] {
                let blank = || vec![MaybeUninit::new(0u64); words];
                let (mut positive, mut negative) = (blank(), blank());
                let ordered = way(&bytes_of(&values), &mut positive, &mut negative);
                // SAFETY: they were made of zeros.
                let read = |plane: Vec<MaybeUninit<u64>>| -> Vec<u64> {
                    plane.into_iter().map(|word| unsafe { word.assume_init() }).collect()
                };
                let (positive, negative) = (read(positive), read(negative));
                prop_assert_eq!(ordered, !values.iter().any(|v| v.is_nan()));
                if ordered {
                    for i in 0..words * WORD {
                        let bit = |plane: &[u64]| plane[i / WORD] >> (i % WORD) & 1 == 1;
                        let value = values.get(i).copied().unwrap_or(0.0);
                        prop_assert_eq!(bit(&positive), value > 0.0);
                        prop_assert_eq!(bit(&negative), value < 0.0);
                    }
                }
            }
        }
    }
}
