//! The Adapter value and its kinds.

mod alignment;
mod bottleneck;
mod check;
pub mod formats;
mod head;
pub mod kind;
mod lora;
mod selection;
mod tensors;
mod value;
mod values;

pub use alignment::check_aligned;
pub use bottleneck::Bottleneck;
pub use head::{Head, Labels, forward as head_forward};
pub use kind::Kind;
pub use lora::{Lora, deltas};
pub use selection::Selection;
pub use tensors::{Name, Tensors, matrices, natural, on_model};
pub use value::{Adapter, Base, Epoch, Parts, Recipe, Training, content, head_id};
pub use values::with_values;
