//! Tables, figures, pages of runs, and the screens they are shown on.

pub mod figure;
mod page;
mod screen;
pub mod table;
mod text;

pub use page::write_page;
pub use screen::{Colours, Images, Screen};
pub use text::{escaped, number};
