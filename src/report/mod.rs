//! Tables and figures.

pub mod table;
