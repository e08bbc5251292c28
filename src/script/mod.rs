//! The language: Rhai with its traps closed, and the natives of [`api`].
//!
//! An [`Interpreter`] runs code in a [`Session`]; a failure is a [`Diagnostic`], one line with the
//! place in the script. Natives return [`Fallible`] and read their maps through [`Options`].

mod acts;
pub mod api;
mod arithmetic;
pub mod cards;
mod catalogue;
mod check;
mod code;
mod compare;
mod diagnostics;
pub mod docs;
mod engine;
mod error;
mod excerpt;
mod foreign;
mod growth;
mod incomplete;
mod inputs;
mod interpreter;
mod limits;
mod links;
mod misfit;
mod modules;
mod operators;
mod options;
mod overwriting;
mod parsing;
mod paths;
mod pending;
mod race;
mod recursion;
mod repositories;
mod reserved;
mod reword;
mod session;
mod signatures;
mod sources;
mod spec;
mod spot;
mod trace;
mod unknown;
mod values;
mod watch;

pub use acts::Acts;
pub use api::json_to_dynamic;
pub use api::options_of;
pub use catalogue::{Catalogue, Form};
pub use check::{Finding, check};
pub use diagnostics::{Diagnostic, Severity};
pub use engine::{compile, engine, names};
pub use error::{Fallible, innermost, lowered, raised};
pub use excerpt::Excerpt;
pub use incomplete::incomplete;
pub use interpreter::{Interpreter, State};
pub use limits::Limits;
pub use modules::is_standard_module;
pub use options::Options;
pub use session::{Import, Mode, Session, Setup};
pub use spec::{Absent, Kind, NativeSpec, OptionSpec};
pub use trace::Frame;
pub use values::{describe, type_name};
pub use watch::{GiveUp, machine_memory};
