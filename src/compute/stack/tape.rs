//! What a pass through the blocks keeps: for its backward pass, and buffers for the next.

use super::super::real::Real;

/// The buffers of one chunk's passes.
#[derive(Debug)]
pub struct Tape<T> {
    /// One a block, or a single one for all where nothing is recorded.
    pub blocks: Vec<BlockTape<T>>,
    /// The states that enter the next block, or leave the last.
    pub states: Vec<T>,
    pub scratch: Scratch<T>,
}

impl<T> Default for Tape<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            states: Vec::new(),
            scratch: Scratch::default(),
        }
    }
}

/// What one block keeps. Rows are tokens; in a last block of which only the first tokens' states
/// are asked for, all but `input` and `qkv` have a row a text.
#[derive(Debug)]
pub struct BlockTape<T> {
    pub input: Vec<T>,
    /// The rows of `input` that go on; empty where all do.
    pub first: Vec<T>,
    /// Queries, keys and values.
    pub qkv: Vec<T>,
    /// The queries of `first`; empty where it is.
    pub queries: Vec<T>,
    /// Which attention weights dropout kept.
    pub kept: Vec<u8>,
    /// What attention gathered.
    pub context: Vec<T>,
    pub attention: EndTape<T>,
    /// The states after attention.
    pub hidden: Vec<T>,
    /// The feed-forward layer inside, and the slope of its activation.
    pub inner: Vec<T>,
    pub slope: Vec<T>,
    pub output: EndTape<T>,
}

/// What the end of a sublayer keeps.
#[derive(Debug)]
pub struct EndTape<T> {
    /// The sublayer's output after dropout.
    pub out: Vec<T>,
    /// Which values dropout kept.
    pub kept: Vec<u8>,
    /// The layer norm that the adapter reads.
    pub normed: Vec<T>,
    /// The bottleneck inside, and the slope of its activation.
    pub inner: Vec<T>,
    pub slope: Vec<T>,
    /// The adapter's output.
    pub sum: Vec<T>,
}

/// Buffers that no backward pass reads.
#[derive(Debug)]
pub struct Scratch<T> {
    /// Of attention: matrices of one head.
    pub keys: Vec<T>,
    pub weights: Vec<T>,
    pub dropped: Vec<T>,
    pub grads: Vec<T>,
    /// Gradients of a sublayer's output, of the wide layer, of queries, keys and values.
    pub narrow: Vec<T>,
    pub context: Vec<T>,
    pub wide: Vec<T>,
    pub qkv: Vec<T>,
    pub queries: Vec<T>,
    /// Of a bottleneck or low-rank change.
    pub inner: Vec<T>,
    pub source: Vec<T>,
    pub first: Vec<T>,
    /// The gradient of a block's middle states.
    pub middle: Vec<T>,
    /// The gradient of a block's input.
    pub states: Vec<T>,
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
    middle,
    states,
});

/// The buffer with this length; its values are whatever they were.
pub fn sized<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    buffer.resize(len, T::default());
    buffer
}

/// The buffer with this length, all zeros.
pub fn zeroed<T: Real>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    buffer.clear();
    buffer.resize(len, T::zero());
    buffer
}
