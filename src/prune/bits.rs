//! The kept entries of one tensor: one bit an entry.

/// The kept entries of one tensor, in row-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits {
    pub(super) dims: Vec<usize>,
    /// The first entry in the lowest bit; bits past the last entry are clear.
    pub(super) words: Vec<u64>,
}

impl Bits {
    /// One bit a value, set where `keep` says so.
    pub fn new<T: Copy>(dims: &[usize], values: &[T], mut keep: impl FnMut(T) -> bool) -> Self {
        let pack = |values: &[T]| {
            let bits = values.iter().enumerate();
            bits.fold(0, |word, (bit, value)| {
                word | u64::from(keep(*value)) << bit
            })
        };
        Self {
            dims: dims.to_vec(),
            words: values.chunks(64).map(pack).collect(),
        }
    }

    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub fn entries(&self) -> u64 {
        self.dims.iter().map(|&d| d as u64).product()
    }

    pub fn kept(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// Whether each entry is kept, in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        let entries = self.dims.iter().product();
        (0..entries).map(|i| self.words[i / 64] >> (i % 64) & 1 == 1)
    }

    pub fn zip_with(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        let words = self.words.iter().zip(&other.words);
        Self {
            dims: self.dims.clone(),
            words: words.map(|(a, b)| f(*a, *b)).collect(),
        }
    }

    pub fn not(&self) -> Self {
        let mut words: Vec<u64> = self.words.iter().map(|word| !word).collect();
        let used = self.entries() % 64;
        if let Some(last) = words.last_mut()
            && used != 0
        {
            *last &= (1 << used) - 1;
        }
        Self {
            dims: self.dims.clone(),
            words,
        }
    }
}
