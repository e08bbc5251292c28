//! Training adapters.

mod bench;
mod gradients;
mod gradual;
mod learner;
mod loss;
mod optimizer;
mod schedule;
mod trainer;
mod warmup;

pub use bench::{EpochTime, StepTimes, epoch, steps};
pub use gradients::{
    Gradients, curvature_of, curvature_over, fisher_over, gradients_of, gradients_over, inputs_over,
};
pub use gradual::{Gradual, GradualBy};
pub use loss::{Targets, loss, targets};
pub use optimizer::{AdamW, AdamWOptions, gradients};
pub use schedule::linear_warmup;
pub use trainer::{TrainOptions, initial, track, tracked, train, untrained};
pub use warmup::warmed;
