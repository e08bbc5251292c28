//! The operations against their own differences, their composite forms and their laws.

use super::super::check;
use super::super::random::Stream;
use super::*;
use candle_core::{DType, Device};

/// Keeps all but some middle keys, and no key at all of the last row.
fn holes(batch: usize, seq: usize) -> Mask {
    let keep: Vec<bool> = (0..batch * seq)
        .map(|i| i % seq != 1 && (batch == 1 || i / seq + 1 < batch))
        .collect();
    Mask::new(keep, batch, seq).unwrap()
}

fn dropout(batch: u64) -> Option<(Dropout, u64)> {
    let rows: Vec<u64> = (10..10 + batch).collect();
    let stream = Stream::new(1, "dropout", "attention");
    Some((Dropout::new(stream, 0.3, rows).unwrap(), 6))
}

fn every(heads: usize, batch: usize, seq: usize) -> Vec<Attention> {
    let plain = Attention {
        heads,
        mask: Mask::all(batch, seq),
        sight: Sight::All,
        bias: None,
        dropout: None,
    };
    let masked = Attention {
        mask: holes(batch, seq),
        ..plain.clone()
    };
    let causal = Attention {
        sight: Sight::Before,
        ..masked.clone()
    };
    let near = Attention {
        sight: Sight::Near(2),
        ..masked.clone()
    };
    // Distances up to 3 are told apart.
    let apart = Attention {
        bias: Some(check::random(&[heads, 7], "bias", DType::F64)),
        ..masked.clone()
    };
    let dropped = Attention {
        dropout: dropout(batch as u64),
        ..masked.clone()
    };
    vec![plain, masked, causal, near, apart, dropped]
}

#[test]
fn gradients_match_differences() {
    for (batch, seq, heads, head) in [(1, 1, 1, 1), (3, 4, 2, 3), (1, 17, 1, 2)] {
        let qkv = check::random(&[batch, seq, 3 * heads * head], "qkv", DType::F64);
        for attention in every(heads, batch, seq) {
            check::gradients(std::slice::from_ref(&qkv), |p| attention.apply(&p[0]));
        }
    }
}

#[test]
fn forward_matches_the_composite() -> Result<()> {
    for (batch, seq, heads, head) in [(2, 1, 3, 5), (3, 19, 2, 8)] {
        for qkv in check::layouts(&[batch, seq, 3 * heads * head], DType::F32) {
            for attention in every(heads, batch, seq) {
                let expected = attention.composite(&qkv)?;
                check::close(&attention.apply(&qkv)?, &expected, 1e-5);
            }
        }
    }
    Ok(())
}

#[test]
fn the_composite_has_gradients_and_takes_half_precision() -> Result<()> {
    let qkv = check::random(&[2, 3, 6], "qkv", DType::F64);
    for attention in every(2, 2, 3) {
        check::gradients(std::slice::from_ref(&qkv), |p| attention.composite(&p[0]));
        let half = attention.apply(&qkv.to_dtype(DType::F16)?)?;
        check::close(&half, &attention.apply(&qkv)?, 1e-2);
    }
    Ok(())
}

#[test]
fn threads_do_not_change_bits() {
    let qkv = check::random(&[5, 33, 3 * 24], "qkv", DType::F32);
    for attention in every(3, 5, 33) {
        check::threads(std::slice::from_ref(&qkv), |p| attention.apply(&p[0]));
    }
}

#[test]
fn padding_does_not_change_a_row() -> Result<()> {
    let long = check::random(&[1, 9, 3 * 8], "qkv", DType::F32);
    let with = |seq: usize| Attention {
        heads: 2,
        mask: Mask::from_lengths(&[6], seq),
        sight: Sight::All,
        bias: None,
        dropout: dropout(1),
    };
    let short = with(6).apply(&long.narrow(1, 0, 6)?)?;
    check::close(&with(9).apply(&long)?.narrow(1, 0, 6)?, &short, 1e-6);
    Ok(())
}

#[test]
fn an_empty_batch_gives_an_empty_result() -> Result<()> {
    for (batch, seq) in [(0, 4), (2, 0)] {
        let qkv = Tensor::zeros((batch, seq, 6), DType::F32, &Device::Cpu)?;
        let attention = &every(1, batch, seq.max(1))[0];
        let attention = Attention {
            mask: Mask::all(batch, seq),
            ..attention.clone()
        };
        assert_eq!(attention.apply(&qkv)?.dims(), [batch, seq, 2]);
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_an_error() {
    let qkv = check::random(&[2, 3, 12], "qkv", DType::F32);
    let [attention, ..] = &every(3, 2, 3)[..] else {
        panic!("there are several");
    };
    assert!(attention.apply(&qkv).is_err());
    let mask = Mask::all(2, 4);
    let other = Attention {
        heads: 2,
        mask,
        ..attention.clone()
    };
    assert!(other.apply(&qkv).is_err());
}

fn relative(heads: usize, batch: usize, seq: usize) -> Vec<Disentangled> {
    // The farthest are in one place.
    let places = (0..2 * seq - 1).map(|at| at.clamp(1, 2 * seq - 2).min(6) as u32 - 1);
    let plain = Disentangled {
        heads,
        mask: Mask::all(batch, seq),
        dropout: None,
        places: places.collect(),
    };
    let masked = Disentangled {
        mask: holes(batch, seq),
        ..plain.clone()
    };
    let dropped = Disentangled {
        dropout: dropout(batch as u64),
        ..masked.clone()
    };
    vec![plain, masked, dropped]
}

#[test]
fn gradients_of_disentangled_attention_match_differences() {
    for (batch, seq, heads, head) in [(1, 2, 1, 1), (3, 4, 2, 3)] {
        let width = 3 * heads * head;
        let qkv = check::random(&[batch, seq, width], "qkv", DType::F64);
        let positions = check::random(&[6, width], "positions", DType::F64);
        for attention in relative(heads, batch, seq) {
            check::gradients(&[qkv.clone(), positions.clone()], |p| {
                // Values of positions would get no gradient but zero, which is right.
                attention.apply(&p[0], &p[1])
            });
        }
    }
}

#[test]
fn disentangled_attention_matches_the_composite() -> Result<()> {
    let positions = check::random(&[6, 48], "positions", DType::F32);
    for qkv in check::layouts(&[3, 19, 48], DType::F32) {
        for attention in relative(2, 3, 19) {
            let expected = attention.composite(&qkv, &positions)?;
            check::close(&attention.apply(&qkv, &positions)?, &expected, 1e-5);
        }
    }
    Ok(())
}

#[test]
fn threads_do_not_change_bits_of_disentangled_attention() {
    let qkv = check::random(&[5, 17, 3 * 24], "qkv", DType::F32);
    let positions = check::random(&[6, 3 * 24], "positions", DType::F32);
    for attention in relative(3, 5, 17) {
        check::threads(&[qkv.clone(), positions.clone()], |p| {
            attention.apply(&p[0], &p[1])
        });
    }
}

#[test]
fn distances_that_do_not_fit_are_an_error() {
    let qkv = check::random(&[2, 3, 12], "qkv", DType::F32);
    let positions = check::random(&[6, 12], "positions", DType::F32);
    let [attention, ..] = &relative(2, 2, 3)[..] else {
        panic!("there are several");
    };
    assert!(attention.apply(&qkv, &positions).is_ok());
    let few = positions.narrow(0, 0, 2).unwrap();
    assert!(attention.apply(&qkv, &few).is_err());
    let other = Disentangled {
        places: [0].into(),
        ..attention.clone()
    };
    assert!(other.apply(&qkv, &positions).is_err());
    let biased = Attention {
        heads: 2,
        bias: Some(check::random(&[2, 4], "bias", DType::F32)),
        ..every(2, 2, 3)[0].clone()
    };
    assert!(biased.apply(&qkv).is_err());
}
