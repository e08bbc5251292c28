//! Mixing adapters in weight space, one file a method.
//!
//! A soup is a recipe: its weights are made when first needed and dropped when nobody uses them.
//! The methods are listed in [`METHODS`].
//!
#![doc = include_str!("LAWS.md")]

mod base;
mod breadcrumbs;
pub mod checkpoints;
mod consensus;
mod dare;
mod della;
mod dense;
mod explain;
mod factors;
mod fisher;
mod form;
mod heads;
mod karcher;
mod linear;
mod magnitude;
mod make;
mod members;
mod method;
mod mixture;
mod model_stock;
mod ready;
mod recipe;
mod regmean;
mod replay;
mod saved;
mod sce;
mod settings;
mod slerp;
mod sparsify;
mod subsets;
mod task_arithmetic;
mod threshold;
mod ties;

pub use base::{Asked, Base, initialisation, shared};
pub use dense::dense;
pub use explain::{Leaf, leaves};
pub use fisher::fisher;
pub use form::{LoraMixing, full_rank, largest_rank};
pub use heads::{Heads, with_heads_of};
pub use make::{Options, combine, delta, soup};
pub use members::compatible;
pub use method::{Choice, METHODS, Number, On, Spec, Work};
pub use ready::ready;
pub use recipe::{Soup, Weights};
pub use regmean::regmean;
pub use replay::{Find, replay};
pub use saved::Saved;
pub use settings::{Place, Setting, Settings};
pub use subsets::{Draw, subset_count, subsets};
