//! How batches are cut into pieces that are computed one by one or side by side.

use super::{Model, Sites};
use crate::compute::Stack;
use crate::data::batch::{evaluation_batches, micro_batches};

/// The most tokens, padding included, of a piece that is trained on node by node, and of one that is
/// read so: enough that reading the weights takes little of the time.
const TRAINED: usize = 512;
const READ: usize = 2048;

impl Model {
    /// Cuts a batch of texts into pieces that threads can train on side by side, so that the memory
    /// they take does not grow with the batch; one piece on a GPU. `lengths` has the tokens of all
    /// texts; it depends on those of the batch alone.
    pub fn cut(&self, batch: &[usize], lengths: &[usize]) -> Vec<Vec<usize>> {
        if !self.device().is_cpu() {
            return vec![batch.to_vec()];
        }
        if !self.0.encoder.cuts_itself() {
            return micro_batches(batch, lengths, TRAINED);
        }
        let own: Vec<usize> = batch.iter().map(|&row| lengths[row]).collect();
        let cuts = Stack::cut(&own).into_iter();
        cuts.map(|cut| batch[cut].to_vec()).collect()
    }

    /// The batches of `batch` texts of these lengths that are read without gradients for what acts
    /// at `sites`, as [`evaluation_batches`] orders them, cut where a pass does not do it itself.
    pub fn reading_batches(
        &self,
        lengths: &[usize],
        batch: usize,
        sites: &[&dyn Sites],
    ) -> Vec<Vec<usize>> {
        let batches = evaluation_batches(lengths, batch);
        if !self.device().is_cpu() || self.cuts_itself(sites) {
            return batches;
        }
        let cut = |rows: Vec<usize>| micro_batches(&rows, lengths, READ);
        batches.into_iter().flat_map(cut).collect()
    }

    /// Whether a pass with what acts at `sites` cuts its batch itself into pieces that threads take
    /// side by side.
    pub fn cuts_itself(&self, sites: &[&dyn Sites]) -> bool {
        self.0.encoder.cuts_itself() && sites.iter().all(|sites| sites.parts().is_some())
    }
}
