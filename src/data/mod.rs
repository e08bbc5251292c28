//! Datasets: readers, splits, batches.
//!
//! A [`Dataset`] is read from a file or a folder ([`Dataset::load`]), made from maps
//! ([`Dataset::from_rows`]) or comes with the binary ([`bundled`]). [`batch`] orders its rows for
//! training and evaluation.

mod arrow;
pub mod batch;
pub mod bundled;
mod columns;
mod cut;
mod dataset;
mod entity;
mod glue;
mod id;
mod labels;
mod layout;
mod load;
mod parquet;
mod raw;
mod repository;
mod row;
mod saved;
mod separated;
mod table;
#[cfg(test)]
mod tests;

pub use columns::Columns;
pub use dataset::Dataset;
pub use labels::{made_up, name as plain_name};
pub use load::{LoadOptions, Tell};
pub use repository::{Chosen, README};
pub use row::{Label, Numbering, Order, Row, Rows, Split, Task};
