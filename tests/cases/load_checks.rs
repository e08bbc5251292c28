//! Tensors that disagree with the configuration they are loaded with.
