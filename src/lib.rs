//! Tureen: experiments on adapters as short scripts.
//!
//! The map of the crate, top to bottom; what stands below never knows what stands above.
//! [`script`] is the language; the folders between it and [`compute`] are the field's own
//! concepts, usable as a library without the language.

#[macro_use]
mod output;

pub mod adapter;
pub mod attack;
pub mod cli;
pub mod compute;
pub mod context;
pub mod data;
mod error;
pub mod evaluate;
#[doc(hidden)]
pub mod hostile;
pub mod hub;
pub mod input;
pub mod model;
pub mod prune;
pub mod repl;
pub mod report;
pub mod script;
pub mod select;
pub mod sign;
pub mod soup;
pub mod stats;
pub mod study;
pub mod tensorfile;
pub mod text;
pub mod train;

pub use context::Context;
pub use error::{About, Error, Kind, Result, nearest};
