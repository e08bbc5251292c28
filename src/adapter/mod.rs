//! The Adapter value and its kinds.

mod alignment;
mod bottleneck;
mod check;
mod factor;
pub mod formats;
mod head;
mod ia3;
mod journal;
pub mod kind;
mod lora;
pub mod metadata;
mod modules;
mod relations;
pub mod saved;
mod selection;
mod source;
mod stored;
mod tensors;
mod value;
mod values;
mod watch;
mod why;

pub use alignment::check_aligned;
pub use bottleneck::{Bottleneck, Reduction, Residual, Scaling};
pub use factor::{Factor, FactorNames};
pub use head::{Form, Head, Labels, Layers, Task, forward as head_forward, states as head_states};
pub use ia3::Ia3;
pub use journal::tell;
pub use kind::Kind;
pub use lora::{
    Factors, Lora, OTHER_RANKS, check_change, deltas, factors, factors_at, has_factors,
    ranks_differ,
};
pub use modules::{Modules, Names, Targets};
pub use relations::{check_base, of_one_model};
pub use selection::Selection;
pub use source::{FileTensors, Shapes, Source};
pub use stored::Stored;
pub use tensors::{Name, Tensors, matrices, natural, on_model};
pub use value::{Adapter, Base, Epoch, Parts, Recipe, Training, content, head_id};
pub use values::with_values;
pub use watch::{Gram, Watch};
pub use why::why;
