//! What an evaluation would take.

use std::time::Instant;

use crate::model::{Encoding, Frozen, Model};
use crate::study::{Cost, Work};
use crate::{Context, Result};

use super::encoded::Encoded;
use super::run::BATCH;

/// Rows whose time is taken.
const TIMED: usize = 2 * BATCH;
/// Bytes that a row's answers take in the store, about; and those of the rest of a score.
const ROW_BYTES: usize = 40;
const SCORE_BYTES: usize = 400;

impl Encoded {
    /// Tokens of all rows.
    pub fn tokens(&self) -> u64 {
        self.encodings.iter().map(|e| e.ids.len() as u64).sum()
    }

    /// What evaluating one adapter alone on these rows takes.
    pub fn cost(&self, model: &Model, context: &Context) -> Result<Cost> {
        let tokens = self.tokens();
        Ok(Cost {
            work: Work::Evaluation,
            tokens,
            seconds: tokens as f64 * self.rate(model, context)?,
            bytes: (ROW_BYTES * self.encodings.len() + SCORE_BYTES) as u64,
        })
    }

    /// How many seconds the model reads one token of these rows for, on the machine as it is; 0
    /// where the plan does not ask.
    pub fn rate(&self, model: &Model, context: &Context) -> Result<f64> {
        context.plan().rate(model.id(), || {
            let texts: Vec<&Encoding> = self.encodings.iter().take(TIMED).collect();
            let tokens: usize = texts.iter().map(|e| e.ids.len()).sum();
            let pass = || -> Result<()> {
                for batch in texts.chunks(BATCH) {
                    context.check()?;
                    model.forward_summary_each(&model.pad(batch)?, &[&Frozen])?;
                }
                Ok(())
            };
            // The first pass finds memory and caches as no later one does.
            pass()?;
            let start = Instant::now();
            pass()?;
            Ok(start.elapsed().as_secs_f64() / tokens.max(1) as f64)
        })
    }
}
