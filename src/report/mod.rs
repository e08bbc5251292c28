//! Tables and figures, and the screens they are shown on.

pub mod figure;
mod screen;
pub mod table;

pub use screen::{Colours, Images, Screen};
