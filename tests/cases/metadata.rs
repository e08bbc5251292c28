//! What a saved adapter says about itself.
