//! Texts of files: their encoding, lines of separated cells, JSON lines, and what a cell means.
//!
//! `dataset` and `read_table` read files through this module, so that both find the same cells in
//! the same file.

mod cells;
mod encoding;
pub mod json;
mod records;
mod separated;

pub use cells::{Number, boolean, is_missing, is_plain, number};
pub use encoding::{decode, gunzip, read, unmarked, unmarked_bytes};
pub use records::{Field, Record};
pub use separated::{
    Dialect, QUOTES_ARE_TEXT, SEPARATORS, Separated, name_needs_quotes, needs_quotes, separated,
    unequal,
};

pub(crate) use encoding::room;
