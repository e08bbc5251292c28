//! Tensor operations with their gradients, random streams, threads.

pub mod random;
