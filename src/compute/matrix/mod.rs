//! Matrices inside slices, and their products.

mod product;
#[cfg(test)]
mod tests;
mod view;

#[cfg(target_arch = "x86_64")]
pub use product::multiply_tiled;
pub use product::{Threads, multiply, multiply_add, product, product_scaled};
pub use view::{Mat, MatMut};
