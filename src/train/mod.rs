//! Training adapters.

mod bench;
mod gradients;
mod learner;
mod loss;
mod optimizer;
mod schedule;
mod trainer;

pub use bench::{EpochTime, StepTimes, epoch, steps};
pub use gradients::{Gradients, fisher_over, gradients_of, gradients_over, inputs_over};
pub use loss::{Targets, loss, targets};
pub use optimizer::{AdamW, AdamWOptions, gradients};
pub use schedule::linear_warmup;
pub use trainer::{TrainOptions, initial, track, tracked, train};
