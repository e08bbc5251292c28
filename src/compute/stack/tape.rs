//! What a pass through the blocks keeps: for its backward pass, and buffers for the next.

use super::super::real::Real;
use std::ops::{Deref, DerefMut};

/// The buffers of one chunk's passes.
#[derive(Debug)]
pub struct Tape<T> {
    /// One a block, or a single one for all where nothing is recorded.
    pub blocks: Vec<BlockTape<T>>,
    /// The states that enter the next block, or leave the last.
    pub states: Buffer<T>,
    /// What entered each block, where a pass keeps nothing else.
    pub entered: Vec<Buffer<T>>,
    /// The block that the buffers of the first are filled for, then.
    pub filled: Option<usize>,
    pub scratch: Scratch<T>,
}

impl<T> Default for Tape<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            states: Buffer::default(),
            entered: Vec::new(),
            filled: None,
            scratch: Scratch::default(),
        }
    }
}

/// What one block keeps. Rows are tokens; in a last block of which only the first tokens' states
/// are asked for, all but `input` and `qkv` have a row a text.
#[derive(Debug)]
pub struct BlockTape<T> {
    pub input: Buffer<T>,
    /// The rows of `input` that go on; empty where all do.
    pub first: Buffer<T>,
    /// Queries, keys and values.
    pub qkv: Buffer<T>,
    /// The queries of `first`; empty where it is.
    pub queries: Buffer<T>,
    /// Which attention weights dropout kept.
    pub kept: Buffer<u8>,
    /// What attention gathered.
    pub context: Buffer<T>,
    pub attention: EndTape<T>,
    /// The states after attention.
    pub hidden: Buffer<T>,
    /// The feed-forward layer inside, and the slope of its activation.
    pub inner: Buffer<T>,
    pub slope: Buffer<T>,
    pub output: EndTape<T>,
}

/// What the end of a sublayer keeps.
#[derive(Debug)]
pub struct EndTape<T> {
    /// The sublayer's output after dropout.
    pub out: Buffer<T>,
    /// Which values dropout kept.
    pub kept: Buffer<u8>,
    /// The layer norm that the adapter reads.
    pub normed: Buffer<T>,
    /// The bottleneck inside, and the slope of its activation.
    pub inner: Buffer<T>,
    pub slope: Buffer<T>,
    /// The adapter's output.
    pub sum: Buffer<T>,
}

/// Buffers that no backward pass reads.
#[derive(Debug)]
pub struct Scratch<T> {
    /// Of attention: matrices of one head.
    pub keys: Buffer<T>,
    pub weights: Buffer<T>,
    pub dropped: Buffer<T>,
    pub grads: Buffer<T>,
    /// Gradients of a sublayer's output, of the wide layer, of queries, keys and values.
    pub narrow: Buffer<T>,
    pub context: Buffer<T>,
    pub wide: Buffer<T>,
    pub qkv: Buffer<T>,
    pub queries: Buffer<T>,
    /// Of a bottleneck or low-rank change.
    pub inner: Buffer<T>,
    pub source: Buffer<T>,
    pub first: Buffer<T>,
    /// What attention gathered and the feed-forward layer inside, where no tape keeps them.
    pub passing: (Buffer<T>, Buffer<T>),
    /// The gradient of a block's middle states.
    pub middle: Buffer<T>,
    /// The gradient of a block's input.
    pub states: Buffer<T>,
    /// The output of a block that is computed again.
    pub again: Buffer<T>,
}

macro_rules! empty {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl<T> Default for $type<T> {
            fn default() -> Self {
                Self { $($field: Default::default()),* }
            }
        }
    };
}

empty!(BlockTape {
    input,
    first,
    qkv,
    queries,
    kept,
    context,
    attention,
    hidden,
    inner,
    slope,
    output,
});
empty!(EndTape {
    out,
    kept,
    normed,
    inner,
    slope,
    sum,
});
empty!(Scratch {
    keys,
    weights,
    dropped,
    grads,
    narrow,
    context,
    wide,
    qkv,
    queries,
    inner,
    source,
    first,
    passing,
    middle,
    states,
    again,
});

/// Values whose memory is kept when there are fewer of them for a while.
#[derive(Debug)]
pub struct Buffer<T> {
    values: Vec<T>,
    len: usize,
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[..self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[..self.len]
    }
}

/// The buffer with this length; its values are whatever they were.
pub fn sized<T: Copy + Default>(buffer: &mut Buffer<T>, len: usize) -> &mut [T] {
    if buffer.values.len() < len {
        buffer.values.resize(len, T::default());
    }
    buffer.len = len;
    buffer
}

/// The buffer with this length, all zeros.
pub fn zeroed<T: Real>(buffer: &mut Buffer<T>, len: usize) -> &mut [T] {
    let values = sized(buffer, len);
    values.fill(T::zero());
    values
}
