//! The operations of a training step alone, at the sizes of MiniLM on 32 texts of 64 tokens.
//!
//! `cargo bench --bench ops`, with `-- NAME` for some of them.

// A benchmark that cannot be set up should stop.
#![allow(clippy::expect_used)]

use candle_core::{DType, Device, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tureen::compute::random::Stream;
use tureen::compute::{
    Activation, Attention, Dropout, FrozenLinear, Mask, Sight, add_layer_norm, dropout, linear,
    lora,
};

const BATCH: usize = 32;
const SEQ: usize = 64;
const WIDTH: usize = 384;
const HEADS: usize = 12;

fn random(shape: &[usize]) -> Tensor {
    let mut stream = Stream::new(1, "bench", "values");
    let len = shape.iter().product();
    let values: Vec<f32> = (0..len).map(|_| stream.normal() as f32 * 0.1).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values as the shape has")
}

/// Times an operation of one tensor, and with its backward pass.
fn both(c: &mut Criterion, name: &str, shape: &[usize], f: impl Fn(&Tensor) -> Tensor) {
    let x = random(shape);
    c.bench_function(&format!("{name} forward"), |b| b.iter(|| f(black_box(&x))));
    let x = Var::from_tensor(&x).expect("a tensor on the CPU");
    c.bench_function(&format!("{name} forward and backward"), |b| {
        b.iter(|| {
            let sum = f(black_box(&x)).sum_all().expect("a tensor");
            sum.backward().expect("a scalar")
        });
    });
}

fn ops(c: &mut Criterion) {
    let states = [BATCH, SEQ, WIDTH];
    let wide = [BATCH, SEQ, 4 * WIDTH];

    let map = FrozenLinear::new(random(&[4 * WIDTH, WIDTH]), Some(random(&[4 * WIDTH])));
    let map = map.expect("shapes fit");
    both(c, "frozen linear", &states, |x| {
        map.forward(x).expect("fits")
    });

    let (down, bias) = (random(&[24, WIDTH]), random(&[24]));
    both(c, "linear", &states, |x| {
        linear(x, &down, Some(&bias)).expect("fits")
    });

    let (a, b, y) = (random(&[8, WIDTH]), random(&[WIDTH, 8]), random(&states));
    both(c, "lora", &states, |x| {
        lora(x, &y, &a, &b, 1.0).expect("fits")
    });

    let attention = Attention {
        heads: HEADS,
        mask: Mask::all(BATCH, SEQ),
        sight: Sight::All,
        bias: None,
        dropout: None,
    };
    both(c, "attention", &[BATCH, SEQ, 3 * WIDTH], |qkv| {
        attention.apply(qkv).expect("fits")
    });

    let weight = Tensor::ones(WIDTH, DType::F32, &Device::Cpu).expect("a tensor");
    let zeros = weight.zeros_like().expect("a tensor");
    both(c, "layer norm of a sum", &states, |x| {
        add_layer_norm(x, &y, &weight, &zeros, 1e-12).expect("fits")
    });

    for activation in [Activation::Gelu, Activation::GeluNew, Activation::Relu] {
        both(c, activation.name(), &wide, |x| {
            activation.apply(x).expect("fits")
        });
    }

    let rows: Vec<u64> = (0..BATCH as u64).collect();
    let noise = Dropout::new(Stream::new(1, "bench", "dropout"), 0.1, rows).expect("a share");
    both(c, "dropout", &states, |x| {
        dropout(x, &noise, 1).expect("fits")
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = ops
}
criterion_main!(benches);
