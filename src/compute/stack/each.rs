//! Several adapters on the same texts.

use super::super::real::Real;
use super::chunk::Chunk;
use super::parts::Stage;
use super::tape::BlockTape;
use super::{Layers, Op};
use std::mem::take;

/// A chunk's part of each pass's result; `values` are those of each one's adapter.
pub(super) fn run_chunk<T: Real>(
    layers: &Layers<T>,
    ops: &[Op<T>],
    values: &[Vec<T>],
    chunk: &Chunk,
) -> candle_core::Result<Vec<Vec<T>>> {
    let Some(any) = ops.first() else {
        return Ok(Vec::new());
    };
    let size = any.shape().elem_count() / any.texts.mask.dims().0.max(1) * chunk.texts();
    if size == 0 {
        return Ok(vec![Vec::new(); ops.len()]);
    }
    let mut tape = layers.tape();
    if tape.blocks.len() < 2 {
        tape.blocks.resize_with(2, BlockTape::default);
    }
    let mut states = take(&mut tape.states);
    any.embed(chunk, &mut states, &mut tape)?;
    // Where the first adapter of any acts, all of this is the same for each.
    let last = layers.blocks.len() - 1;
    let first = ops.iter().filter_map(|op| op.parts.first()).min();
    let (layer, stage) = first.unwrap_or((last, Stage::End));
    let (shared, own) = tape.blocks.split_at_mut(1);
    let ([shared], [own, ..]) = (shared, own) else {
        candle_core::bail!("a tape of two blocks has two");
    };
    for before in 0..layer {
        let pass = any.pass(before, chunk, &values[0]);
        states = pass.forward(states, own, &mut tape.scratch)?;
    }
    shared.input = states;
    if stage == Stage::End {
        any.pass(layer, chunk, &values[0])
            .enter(shared, &mut tape.scratch)?;
    }
    let mut all = Vec::with_capacity(ops.len());
    let mut states = take(&mut tape.states);
    for (op, values) in ops.iter().zip(values) {
        let pass = op.pass(layer, chunk, values);
        if stage != Stage::End {
            pass.enter(shared, &mut tape.scratch)?;
        }
        pass.finish(shared, &mut states)?;
        for layer in layer + 1..=last {
            let pass = op.pass(layer, chunk, values);
            states = pass.forward(states, own, &mut tape.scratch)?;
        }
        let mut out = vec![T::zero(); size];
        op.place(chunk, &states, &mut out);
        all.push(out);
    }
    tape.states = states;
    layers.give_back(tape);
    Ok(all)
}
