//! Mixing adapters in weight space, one file a method.
//!
//! A soup is a recipe: its weights are made when first needed and dropped when nobody uses them.
//! The methods are listed in [`METHODS`].

mod base;
mod breadcrumbs;
mod consensus;
mod dare;
mod della;
mod factors;
mod form;
mod heads;
mod karcher;
mod linear;
mod magnitude;
mod make;
mod members;
mod method;
mod model_stock;
mod recipe;
mod sce;
mod settings;
mod slerp;
mod sparsify;
mod subsets;
mod task_arithmetic;
mod threshold;
mod ties;

pub use base::{Asked, Base, initialisation};
pub use form::LoraMixing;
pub use heads::Heads;
pub use make::{Options, combine, delta, soup};
pub use members::compatible;
pub use method::{Choice, METHODS, Number, On, Spec, Work};
pub use recipe::{Soup, Weights};
pub use settings::{Place, Setting, Settings};
pub use subsets::subsets;
