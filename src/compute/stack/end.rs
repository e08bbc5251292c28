//! The end of a sublayer: its output, perhaps through a bottleneck, joins the residual stream.
//!
//! With f the sublayer's output and x its input, the frozen block gives LN(f + x). How a
//! bottleneck changes that is AdapterHub's `adapters` 1.3.0.

use super::super::layer_norm::{gradient, normalise};
use super::super::matrix::{Mat, MatMut, Threads, multiply, multiply_add};
use super::super::real::Real;
use super::parts::Bottleneck;
use super::rows::{add, add_columns, fill, scale};
use super::tape::{Buffer, EndTape, sized, zeroed};
use super::weights::Norm;

/// The end of one sublayer: its norm, the bottleneck there and the values of all tensors.
#[derive(Clone, Copy)]
pub struct End<'a, T> {
    pub norm: &'a Norm<T>,
    pub part: Option<&'a Bottleneck>,
    pub values: &'a [T],
}

impl<T: Real> End<'_, T> {
    /// Writes the next states to `out`; f is `tape.out`.
    pub fn forward(
        &self,
        x: &[T],
        tape: &mut EndTape<T>,
        out: &mut [T],
    ) -> candle_core::Result<()> {
        let Some(part) = self.part else {
            self.normalise(&tape.out, Some(x), out);
            return Ok(());
        };
        let join = part.join;
        if join.norm_before && !join.parallel {
            let normed = sized(&mut tape.normed, x.len());
            self.normalise(&tape.out, Some(x), normed);
        }
        let (source, residual) = sides(part, x, &tape.out, &tape.normed);
        let (rows, inner) = (source.len() / part.down.columns, part.down.rows);
        let pre = sized(&mut tape.slope, rows * inner);
        fill(pre, &self.values[part.down_bias.at.clone()], T::one());
        let source = Mat::new(source, part.down.columns);
        let down = part.down.of(self.values);
        multiply_add(
            source,
            down.t(),
            T::one(),
            &mut MatMut::new(pre, inner),
            Threads::One,
        );
        let inside = sized(&mut tape.inner, rows * inner);
        join.activation.both(pre, inside)?;

        let scaling = T::of(join.scaling);
        let sum = sized(&mut tape.sum, x.len());
        fill(sum, &self.values[part.up_bias.at.clone()], scaling);
        let inside = Mat::new(inside, inner);
        let up = part.up.of(self.values);
        let mut view = MatMut::new(sum, part.up.rows);
        multiply_add(inside, up.t(), scaling, &mut view, Threads::One);
        add(sum, residual);
        match (join.norm_after, join.parallel) {
            (true, _) => self.normalise(&tape.sum, Some(x), out),
            (false, parallel) => {
                out.copy_from_slice(&tape.sum);
                if parallel {
                    add(out, x);
                }
            }
        }
        Ok(())
    }

    /// Writes the gradients of f and of x to `df` and `dx`, given that of the next states, and
    /// adds those of the bottleneck to `grads`. Where `only_part`, that is all.
    #[allow(clippy::too_many_arguments)] // four gradients, two inputs and what was kept
    pub fn backward(
        &self,
        x: &[T],
        tape: &EndTape<T>,
        grad: &[T],
        grads: &mut [T],
        (df, dx): (&mut Buffer<T>, &mut Buffer<T>),
        (inner, source_grad): (&mut Buffer<T>, &mut Buffer<T>),
        only_part: bool,
    ) {
        let (df, dx) = (sized(df, x.len()), sized(dx, x.len()));
        let Some(part) = self.part else {
            self.gradient(&tape.out, x, grad, df);
            dx.copy_from_slice(df);
            return;
        };
        let join = part.join;
        // What reaches the adapter's output, and beside it x.
        match join.norm_after {
            true => self.gradient(&tape.sum, x, grad, df),
            false => df.copy_from_slice(grad),
        }
        match join.norm_after || join.parallel {
            true => dx.copy_from_slice(df),
            false => dx.fill(T::zero()),
        }

        let scaling = T::of(join.scaling);
        let (width, hidden) = (part.down.rows, part.down.columns);
        let rows = x.len() / hidden;
        let (source, _) = sides(part, x, &tape.out, &tape.normed);
        let (source, inside) = (Mat::new(source, hidden), Mat::new(&tape.inner, width));
        let out_grad = Mat::new(&*df, hidden);
        multiply_add(
            out_grad.t(),
            inside,
            scaling,
            &mut part.up.of_mut(grads),
            Threads::One,
        );
        add_columns(df, scaling, &mut grads[part.up_bias.at.clone()]);
        let inner = sized(inner, rows * width);
        let up = part.up.of(self.values);
        multiply(
            out_grad,
            up,
            scaling,
            &mut MatMut::new(inner, width),
            Threads::One,
        );
        scale(inner, &tape.slope);
        let d_inner = Mat::new(&*inner, width);
        multiply_add(
            d_inner.t(),
            source,
            T::one(),
            &mut part.down.of_mut(grads),
            Threads::One,
        );
        add_columns(inner, T::one(), &mut grads[part.down_bias.at.clone()]);
        if only_part {
            return;
        }

        // The gradient of what the adapter read, and where that goes.
        let down = part.down.of(self.values);
        if join.parallel {
            multiply_add(
                d_inner,
                down,
                T::one(),
                &mut MatMut::new(dx, hidden),
                Threads::One,
            );
            return;
        }
        if !join.norm_before {
            multiply_add(
                d_inner,
                down,
                T::one(),
                &mut MatMut::new(df, hidden),
                Threads::One,
            );
            return;
        }
        let read = zeroed(source_grad, 2 * x.len());
        let (read, through) = read.split_at_mut(x.len());
        multiply(
            d_inner,
            down,
            T::one(),
            &mut MatMut::new(read, hidden),
            Threads::One,
        );
        if !join.residual_before_norm {
            add(read, df);
            df.fill(T::zero());
        }
        self.gradient(&tape.out, x, read, through);
        add(df, through);
        add(dx, through);
    }

    fn normalise(&self, x: &[T], residual: Option<&[T]>, out: &mut [T]) {
        let norm = self.norm;
        normalise(x, residual, &norm.weight, &norm.bias, norm.eps, out);
    }

    fn gradient(&self, f: &[T], x: &[T], grad: &[T], out: &mut [T]) {
        let norm = self.norm;
        gradient(f, Some(x), &norm.weight, grad, norm.eps, out);
    }
}

/// What a bottleneck reads, and what its output is added to.
fn sides<'a, T>(part: &Bottleneck, x: &'a [T], f: &'a [T], normed: &'a [T]) -> (&'a [T], &'a [T]) {
    match part.join {
        join if join.parallel => (x, f),
        join if !join.norm_before => (f, f),
        join if join.residual_before_norm => (normed, f),
        _ => (normed, normed),
    }
}
