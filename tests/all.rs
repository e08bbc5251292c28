//! All integration tests, in one binary so that they are linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
mod bundle;
mod cases;
mod commands;
mod common;
mod conformance;
mod domains;
mod errors;
mod folders;
mod gradients;
mod hostile;
mod merges;
mod merging;
mod oracle;
mod packed;
mod packs;
mod pruning;
mod published;
mod references;
mod repl;
mod resume;
mod rows;
mod sandbox;
mod schema;
mod script;
mod shards;
mod signs;
mod soups;
mod studies;
mod training;
