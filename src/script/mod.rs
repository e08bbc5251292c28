//! The language: Rhai with its traps closed, and the natives of [`api`].
//!
//! An [`Interpreter`] runs code in a [`Session`]; a failure is a [`Diagnostic`], one line with the
//! place in the script. Natives return [`Fallible`] and read their maps through [`Options`].

pub mod api;
mod arithmetic;
pub mod cards;
mod catalogue;
mod compare;
mod diagnostics;
pub mod docs;
mod engine;
mod error;
mod incomplete;
mod interpreter;
mod modules;
mod options;
mod paths;
mod race;
mod repositories;
mod reword;
mod session;
mod signatures;
mod spec;
mod values;

pub use api::json_to_dynamic;
pub use api::options_of;
pub use catalogue::{Catalogue, Form};
pub use diagnostics::Diagnostic;
pub use engine::{compile, engine, names};
pub use error::{Fallible, innermost, lowered, raised};
pub use incomplete::incomplete;
pub use interpreter::{Interpreter, State};
pub use options::Options;
pub use session::{Import, Mode, Session, Setup};
pub use spec::{Absent, Kind, NativeSpec, OptionSpec};
pub use values::{describe, type_name};
