//! Heads for tasks other than the classification of texts.
