//! The rows of a sign difference: by pair, by layer, by tensor.

/// A pair of members.
#[derive(Debug, Clone, PartialEq)]
pub struct PairRow {
    /// The first member's name.
    pub a: String,
    /// The second member's name.
    pub b: String,
    /// Positions.
    pub entries: u64,
    /// Positions where the signs are opposed.
    pub conflicts: u64,
    /// Conflicts as a share of the chosen denominator.
    pub rate: f64,
    /// Conflicts as a share of the positions where both are not zero.
    pub both_nonzero: f64,
    /// Conflicts as a share of the positions where either is not zero.
    pub union_nonzero: f64,
    /// Share of all positions whose signs differ, zero being a third sign.
    pub tristate: f64,
}

/// A layer, all its tensors together.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerRow {
    /// The layer's number; none for the tensors outside a layer, which come last.
    pub layer: Option<usize>,
    /// Positions.
    pub entries: u64,
    /// Positions in conflict.
    pub conflicts: u64,
    /// Conflicts as a share of the chosen denominator.
    pub rate: f64,
    /// Conflicts as a share of the positions where at least two members are not zero.
    pub both_nonzero: f64,
    /// The rate (of the same denominator) expected if the members' signs were independent.
    pub expected: f64,
}

/// A tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorRow {
    /// The layer's number; none outside a layer.
    pub layer: Option<usize>,
    /// Where in its layer the tensor acts.
    pub site: String,
    /// The tensor's name.
    pub tensor: String,
    /// Positions.
    pub entries: u64,
    /// Positions in conflict.
    pub conflicts: u64,
    /// Conflicts as a share of the chosen denominator.
    pub rate: f64,
    /// Conflicts as a share of the positions where at least two members are not zero.
    pub both_nonzero: f64,
    /// The rate (of the same denominator) expected if the members' signs were independent.
    pub expected: f64,
}
