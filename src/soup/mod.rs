//! Mixing adapters in weight space.
