//! The places in a block where an adapter can act.

/// A linear map of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinearSite {
    /// Query projection of self-attention.
    Query,
    /// Key projection of self-attention.
    Key,
    /// Value projection of self-attention.
    Value,
    /// Output projection of self-attention.
    AttentionOutput,
    /// First map of the feed-forward block.
    Intermediate,
    /// Second map of the feed-forward block.
    Output,
}

/// A sublayer's output, before it joins the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SublayerSite {
    /// After self-attention.
    Attention,
    /// After the feed-forward block.
    FeedForward,
}

impl LinearSite {
    /// All sites, in the order a block computes them.
    pub const ALL: [Self; 6] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::AttentionOutput,
        Self::Intermediate,
        Self::Output,
    ];

    /// The canonical path within a layer.
    pub fn path(self) -> &'static str {
        match self {
            Self::Query => "attention.self.query",
            Self::Key => "attention.self.key",
            Self::Value => "attention.self.value",
            Self::AttentionOutput => "attention.output.dense",
            Self::Intermediate => "intermediate.dense",
            Self::Output => "output.dense",
        }
    }

    /// Input and output width in a model of this hidden and intermediate size.
    pub fn widths(self, hidden: usize, intermediate: usize) -> (usize, usize) {
        match self {
            Self::Intermediate => (hidden, intermediate),
            Self::Output => (intermediate, hidden),
            _ => (hidden, hidden),
        }
    }
}

impl SublayerSite {
    /// Both sites, in order.
    pub const ALL: [Self; 2] = [Self::Attention, Self::FeedForward];

    /// The canonical path within a layer.
    pub fn path(self) -> &'static str {
        match self {
            Self::Attention => "attention.output",
            Self::FeedForward => "output",
        }
    }
}
