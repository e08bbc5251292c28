//! The identity of a base model, and adapters that meet another base than their own.
