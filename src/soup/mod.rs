//! Mixing adapters in weight space, one file a method.
//!
//! A soup is a recipe: its weights are made when first needed and dropped when nobody uses them.

mod linear;
mod lora;
mod members;
mod subsets;

pub use linear::{Linear, combine, soup};
pub use lora::LoraMixing;
pub use members::compatible;
pub use subsets::subsets;
