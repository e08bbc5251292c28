//! The states that enter the first block.

use super::super::layer_norm::normalise;
use super::super::matrix::{Mat, MatMut};
use super::super::real::Real;
use super::chunk::Chunk;
use super::op::Op;
use super::rows::add;
use super::tape::{Buffer, Tape, sized};

impl<T: Real> Op<T> {
    /// The states that enter the first block: the norm of the embeddings' sums, with dropout,
    /// projected where the blocks are of another width.
    pub fn embed(
        &self,
        chunk: &Chunk,
        out: &mut Buffer<T>,
        tape: &mut Tape<T>,
    ) -> candle_core::Result<()> {
        let embeddings = &self.layers.embeddings;
        let (_, seq) = self.texts.mask.dims();
        let norm = &embeddings.norm;
        let width = norm.weight.len();
        let sums = sized(&mut tape.scratch.narrow, chunk.tokens() * width);
        for (row, span) in chunk.spans() {
            let tokens = row * seq..row * seq + span.len();
            let (ids, types) = (&self.texts.ids[tokens.clone()], &self.texts.types[tokens]);
            let sums = &mut sums[span.start * width..span.end * width];
            embeddings.sum(ids, types, sums)?;
        }
        let Some(projection) = &embeddings.projection else {
            let out = sized(out, sums.len());
            normalise(sums, None, &norm.weight, &norm.bias, norm.eps, out);
            self.thin(chunk, width, out);
            return Ok(());
        };
        let normed = sized(&mut tape.scratch.context, sums.len());
        normalise(sums, None, &norm.weight, &norm.bias, norm.eps, normed);
        self.thin(chunk, width, normed);
        let wide = projection.out_width();
        let mut out = MatMut::new(sized(out, chunk.tokens() * wide), wide);
        let x = Mat::new(normed, width);
        projection
            .forward()
            .multiply(x, 0..width, 0..wide, false, &mut out, |_, at, y| {
                add(y, &projection.bias[at..]);
            });
        Ok(())
    }

    /// Dropout of the embeddings.
    fn thin(&self, chunk: &Chunk, width: usize, states: &mut [T]) {
        let Some(dropout) = self.texts.hidden.as_ref().filter(|d| !d.is_identity()) else {
            return;
        };
        let mut kept = Buffer::default();
        for (row, span) in chunk.spans() {
            let states = &mut states[span.start * width..span.end * width];
            dropout.kept(row, 0, 0, sized(&mut kept, states.len()));
            dropout.thin(&kept, states);
        }
    }
}
