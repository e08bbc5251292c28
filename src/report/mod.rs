//! Tables and figures.

pub mod figure;
pub mod table;
