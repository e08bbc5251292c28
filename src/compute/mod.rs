//! Tensor operations with their gradients, random streams, threads.
//!
//! The operations a frozen transformer with adapters needs, each one node of candle's graph with
//! its own backward pass. On the CPU (f32, f64) they run the kernels of this folder; elsewhere
//! the same result comes from candle's own operations. Sums are cut by size, never by thread,
//! and no kernel uses fused multiply-add, so bits depend on neither the thread count nor, but
//! for matrix products, the instruction set.

mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod bf16;
#[cfg(test)]
mod check;
mod class;
mod device;
mod dropout;
mod frozen_linear;
mod kernel;
mod layer_norm;
mod linear;
mod lora;
mod mask;
mod matrix;
pub mod memory;
mod packed;
pub mod random;
mod real;
mod rotary;
mod softmax;
mod stack;
#[cfg(test)]
mod suite;
pub mod threads;
#[cfg(target_arch = "x86_64")]
mod tile;
mod weight;

pub use activation::Activation;
pub use attention::{Attention, Disentangled};
pub use bf16::Precision;
pub use class::{check_kernels, class, class_in};
pub use device::{CUDA, device, device_name, driver};
pub use dropout::{Dropout, dropout};
pub use frozen_linear::FrozenLinear;
pub use kernel::widened;
pub use layer_norm::{add_layer_norm, layer_norm};
pub use linear::linear;
pub use lora::lora;
pub use mask::Mask;
pub use rotary::rotate;
pub use softmax::Sight;
pub use stack::{
    BlockWeights, EmbeddingWeights, Grouped, Join, Keeping, LinearSite, Order, Parts, Stack,
    SublayerSite, Texts, Tokens,
};
pub use weight::{Source, Weight};
