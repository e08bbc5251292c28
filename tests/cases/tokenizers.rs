//! Token ids as transformers computes them.
