//! Which head an evaluation uses.
