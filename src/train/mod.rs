//! Training adapters.

mod bench;
mod budget;
mod fresh;
mod gradients;
mod gradual;
mod job;
mod journal;
mod kept;
mod learner;
mod loss;
mod optimizer;
mod options;
mod schedule;
mod state;
mod trainer;
mod unmade;
mod vars;
mod warmup;

pub use bench::{EpochTime, StepTimes, epoch, steps};
pub use fresh::{initial, untrained};
pub use gradients::{
    Gradients, curvature_of, curvature_over, fisher_over, gradients_of, gradients_over, inputs_over,
};
pub use gradual::{Gradual, GradualBy};
pub use loss::{Targets, loss, targets};
pub use optimizer::{AdamW, AdamWOptions, gradients};
pub use options::{Keep, TrainOptions};
pub use schedule::linear_warmup;
pub use trainer::train;
pub use vars::{track, tracked};
pub use warmup::warmed;
