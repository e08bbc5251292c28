//! Texts laid one after the other, without padding.

use super::super::class::AMX;
use std::ops::Range;

/// A run of texts of a batch that one thread takes through the whole stack.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Their rows in the batch.
    pub rows: Range<usize>,
    /// Where each text's tokens begin among the chunk's, and where the last one's end.
    starts: Vec<usize>,
}

/// Fewest tokens that a chunk is closed at: with fewer, reading the weights takes longer than
/// multiplying with them.
const FEWEST: usize = 64;

/// Most tokens that a chunk is closed at, and chunks that a batch is cut into while they have
/// fewer. Where products are fast, more tokens must share a reading of the weights; otherwise
/// smaller matrices, which stay in a core's cache, and more chunks, which more threads share, are
/// better.
fn size() -> (usize, usize) {
    if super::super::class() == AMX {
        (512, 2)
    } else {
        (160, 16)
    }
}

impl Chunk {
    /// The number of tokens of all texts.
    pub fn tokens(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The number of texts.
    pub fn texts(&self) -> usize {
        self.rows.len()
    }

    /// Each text's row in the batch and its tokens.
    pub fn spans(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let spans = self.starts.windows(2).map(|w| w[0]..w[1]);
        self.rows.clone().zip(spans)
    }

    /// Cuts texts of these lengths into chunks: by the lengths alone, so that sums over chunks do
    /// not depend on threads.
    pub fn cut(lengths: &[usize]) -> Vec<Self> {
        let total: usize = lengths.iter().sum();
        let (most, parts) = size();
        let target = (total / parts).clamp(FEWEST, most);
        let mut chunks = Vec::new();
        let mut first = 0;
        let mut starts = vec![0];
        let mut tokens = 0;
        for (row, length) in lengths.iter().enumerate() {
            tokens += length;
            starts.push(tokens);
            if tokens >= target || row + 1 == lengths.len() {
                let rows = first..row + 1;
                let starts = std::mem::replace(&mut starts, vec![0]);
                chunks.push(Self { rows, starts });
                (first, tokens) = (row + 1, 0);
            }
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_is_in_one_chunk(lengths in prop::collection::vec(0usize..300, 0..80)) {
            let chunks = Chunk::cut(&lengths);
            let spans: Vec<_> = chunks.iter().flat_map(Chunk::spans).collect();
            let found: Vec<usize> = spans.iter().map(|(_, span)| span.len()).collect();
            prop_assert_eq!(found, lengths);
            prop_assert!(spans.iter().enumerate().all(|(i, (row, _))| i == *row));
            for chunk in chunks {
                prop_assert_eq!(chunk.tokens(), chunk.spans().map(|(_, s)| s.len()).sum::<usize>());
            }
        }
    }
}
