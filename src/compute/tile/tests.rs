//! Each kernel this processor has against products written out, at every size of a tile.

use super::*;

/// What a tile is to give: one chain of fused multiply-adds an element.
fn chain(a: impl Fn(usize) -> f32, b: impl Fn(usize) -> f32, inner: usize) -> f32 {
    (0..inner).fold(0.0, |sum, i| a(i).mul_add(b(i), sum))
}

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.7).sin()).collect()
}

#[test]
fn every_size_of_a_tile_is_a_chain_of_fused_steps() {
    const UNTOUCHED: f32 = 7.0;
    let kernels = [Kernel::Avx512, Kernel::Avx2].into_iter();
    for kernel in kernels.filter(|kernel| kernel.available()) {
        let (most, width) = (kernel.rows(), kernel.columns());
        for rows in 1..=most {
            for columns in 1..=width {
                for (inner, transposed) in [(0, false), (1, true), (5, false), (33, true)] {
                    // Steps larger than the operands need, so that none is taken for another.
                    let (row, step) = match transposed {
                        true => (1, most + 2),
                        false => (inner + 3, 1),
                    };
                    let a = numbers((most + 2) * (inner + 3));
                    let b = numbers(inner.max(1) * (width + 1));
                    let mut out = vec![UNTOUCHED; rows * (width + 5)];
                    for accumulate in [false, true] {
                        let before = out.clone();
                        let tile = Tile {
                            inner,
                            left: (a.as_ptr(), row, step),
                            right: (b.as_ptr(), width + 1),
                            out: (out.as_mut_ptr(), width + 5),
                            columns,
                            scale: 0.3,
                            accumulate,
                            pairs: false,
                        };
                        // SAFETY: the kernel is available, and the vectors hold the sizes named.
                        unsafe { tile.run(kernel, rows) };
                        for (at, &found) in out.iter().enumerate() {
                            let (i, j) = (at / (width + 5), at % (width + 5));
                            let mut expected = before[at];
                            if j < columns {
                                let (a, b) = (&a[i * row..], &b[j..]);
                                let sum = chain(|k| a[k * step], |k| b[k * (width + 1)], inner);
                                expected = if accumulate { expected } else { 0.0 } + sum * 0.3;
                            }
                            assert_eq!(found, expected, "{kernel:?} {rows} {columns} {inner} {at}");
                        }
                    }
                }
            }
        }
    }
}
