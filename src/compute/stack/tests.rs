//! The operation against its own differences, and its own laws. That it computes what the blocks
//! of a model compute, node by node, is tested where models are.

use super::super::activation::Activation;
use super::super::check;
use super::super::frozen_linear::FrozenLinear;
use super::super::random::Stream;
use super::super::weight::Weight;
use super::*;
use candle_core::{Device, Var};

const LAYERS: usize = 2;
const WIDTH: usize = 6;
const WIDE: usize = 10;

fn random(shape: &[usize], item: &str, dtype: DType) -> Tensor {
    (check::random(shape, item, dtype) * 0.5).unwrap()
}

fn stack(dtype: DType) -> Stack {
    let linear = |item: &str, from: usize, to: usize| {
        let bias = random(&[to], &format!("{item} bias"), dtype);
        FrozenLinear::new(random(&[to, from], item, dtype), Some(bias)).unwrap()
    };
    let norm = |item: &str| {
        let weight = (random(&[WIDTH], &format!("{item} weight"), dtype) + 1.0).unwrap();
        (weight, random(&[WIDTH], &format!("{item} bias"), dtype))
    };
    let maps: Vec<[FrozenLinear; 4]> = (0..LAYERS)
        .map(|l| {
            [
                linear(&format!("{l} qkv"), WIDTH, 3 * WIDTH),
                linear(&format!("{l} attention"), WIDTH, WIDTH),
                linear(&format!("{l} intermediate"), WIDTH, WIDE),
                linear(&format!("{l} output"), WIDE, WIDTH),
            ]
        })
        .collect();
    let norms: Vec<_> = (0..=2 * LAYERS)
        .map(|i| norm(&format!("norm {i}")))
        .collect();
    let of = |i: usize| (&norms[i].0, &norms[i].1, 1e-5);
    let blocks: Vec<BlockWeights<'_>> = maps
        .iter()
        .enumerate()
        .map(|(l, [qkv, attention, intermediate, output])| BlockWeights {
            qkv,
            attention_output: attention,
            attention_norm: of(2 * l),
            intermediate,
            activation: Activation::Gelu,
            output,
            output_norm: of(2 * l + 1),
        })
        .collect();
    let embeddings = EmbeddingWeights {
        words: &Weight::new(&random(&[20, WIDTH], "words", dtype)).unwrap(),
        positions: &random(&[8, WIDTH], "positions", dtype),
        types: &random(&[2, WIDTH], "types", dtype),
        norm: of(2 * LAYERS),
        projection: None,
        order: Order::Place,
    };
    let bias = random(&[2, 5], "bias", dtype);
    Stack::new(&embeddings, &blocks, (2, Some(&bias)), Precision::F32)
        .unwrap()
        .unwrap()
}

/// Three texts of 5, 3 and 4 tokens, the last with a hole.
fn texts(noise: bool) -> Texts {
    let keep = [
        [true, true, true, true, true],
        [true, true, true, false, false],
        [true, false, true, true, false],
    ];
    let dropout = |item: &str| {
        let stream = Stream::new(3, "dropout", item);
        noise.then(|| Dropout::new(stream, 0.3, [4, 9, 2]).unwrap())
    };
    Texts {
        ids: (0..15).map(|i| (i * 7) % 20).collect(),
        types: (0..15).map(|i| i % 2).collect(),
        mask: Mask::new(keep.concat(), 3, 5).unwrap(),
        hidden: dropout("hidden"),
        attention: dropout("attention"),
        keeping: Keeping::Everything,
    }
}

/// The shapes of the tensors of a bottleneck and of a low-rank change, and how to join them.
fn joins() -> Vec<Join> {
    let mut all = Vec::new();
    for bits in 0..16u32 {
        let bit = |i: u32| bits >> i & 1 == 1;
        all.push(Join {
            activation: if bit(0) {
                Activation::Silu
            } else {
                Activation::GeluNew
            },
            norm_before: bit(0),
            norm_after: bit(1),
            residual_before_norm: bit(2),
            parallel: bit(3),
            scaling: if bit(1) { 1.0 } else { 0.5 },
        });
    }
    all
}

fn bottleneck(dtype: DType) -> Vec<Tensor> {
    [&[3, WIDTH][..], &[3], &[WIDTH, 3], &[WIDTH]]
        .iter()
        .enumerate()
        .map(|(i, shape)| random(shape, &format!("part {i}"), dtype))
        .collect()
}

fn joined(at: (usize, SublayerSite), join: Join, t: &[Tensor]) -> Result<Parts> {
    let mut parts = Parts::default();
    parts.bottleneck(at.0, at.1, (&t[0], &t[1]), (&t[2], &t[3]), join)?;
    Ok(parts)
}

/// The states that are defined, as one flat tensor.
fn kept(states: &Tensor, tokens: Tokens) -> Result<Tensor> {
    if tokens != Tokens::Kept {
        return Ok(states.flatten_all()?);
    }
    let rows = [5, 3, 4].iter().enumerate();
    let rows = rows.map(|(row, &len)| states.get(row)?.narrow(0, 0, len)?.flatten_all());
    Ok(Tensor::cat(
        &rows.collect::<candle_core::Result<Vec<_>>>()?,
        0,
    )?)
}

#[test]
fn gradients_of_bottlenecks_match_differences() {
    let stack = stack(DType::F64);
    for site in SublayerSite::ALL {
        for join in joins() {
            for layer in 0..LAYERS {
                let f = |t: &[Tensor]| {
                    let parts = joined((layer, site), join, t)?;
                    stack.forward(texts(true), parts, Tokens::Summary)
                };
                check::gradients(&bottleneck(DType::F64), f);
            }
        }
    }
}

#[test]
fn gradients_of_low_rank_changes_match_differences() {
    let stack = stack(DType::F64);
    for (i, site) in LinearSite::ALL.into_iter().enumerate() {
        let (from, to) = site.widths(WIDTH, WIDE);
        let t = [
            random(&[2, from], "a", DType::F64),
            random(&[to, 2], "b", DType::F64),
        ];
        for layer in 0..LAYERS {
            for tokens in [Tokens::Summary, Tokens::Kept, Tokens::All] {
                check::gradients(&t, |t| {
                    let mut parts = Parts::default();
                    parts.low_rank(layer, site, &t[0], &t[1], 1.5)?;
                    kept(&stack.forward(texts(i % 2 == 0), parts, tokens)?, tokens)
                });
            }
        }
    }
}

/// The kernels of f32 cut matrices at multiples of 32, the widths here are none.
#[test]
fn gradients_in_f32_are_those_in_f64() -> Result<()> {
    let gradients = |dtype: DType, site: LinearSite| -> Result<Vec<Tensor>> {
        let (from, to) = site.widths(WIDTH, WIDE);
        let a = Var::from_tensor(&random(&[2, from], "a", dtype))?;
        let b = Var::from_tensor(&random(&[to, 2], "b", dtype))?;
        let mut parts = Parts::default();
        parts.low_rank(0, site, a.as_tensor(), b.as_tensor(), 1.5)?;
        let states = stack(dtype).forward(texts(true), parts, Tokens::Summary)?;
        let weights = random(states.dims(), "weighting", dtype);
        let grads = (states * weights)?.sum_all()?.backward()?;
        let of = |var: &Var| grads.get(var).expect("a gradient").clone();
        Ok(vec![of(&a), of(&b)])
    };
    for site in LinearSite::ALL {
        let (found, expected) = (gradients(DType::F32, site)?, gradients(DType::F64, site)?);
        for (found, expected) in found.iter().zip(&expected) {
            check::close(found, expected, 1e-5);
        }
    }
    Ok(())
}

#[test]
fn several_parts_get_gradients_together() {
    let stack = stack(DType::F64);
    let mut t = bottleneck(DType::F64);
    t.push(random(&[2, WIDTH], "a", DType::F64));
    t.push(random(&[WIDTH, 2], "b", DType::F64));
    check::gradients(&t, |t| {
        let mut parts = joined((1, SublayerSite::Attention), joins()[7], t)?;
        parts.low_rank(0, LinearSite::Value, &t[4], &t[5], 0.5)?;
        parts.low_rank(1, LinearSite::Query, &t[4], &t[5], 0.5)?;
        let maps = ((&t[0], &t[1]), (&t[2], &t[3]));
        parts.bottleneck(0, SublayerSite::FeedForward, maps.0, maps.1, joins()[2])?;
        stack.forward(texts(true), parts, Tokens::Summary)
    });
}

#[test]
fn what_is_computed_again_gives_the_same_gradients() -> Result<()> {
    let stack = stack(DType::F32);
    let mut t = bottleneck(DType::F32);
    t.push(random(&[2, WIDTH], "a", DType::F32));
    t.push(random(&[WIDTH, 2], "b", DType::F32));
    let vars: Vec<Var> = t
        .iter()
        .map(Var::from_tensor)
        .collect::<candle_core::Result<_>>()?;
    let t: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let everywhere = |t: &[Tensor]| {
        let mut parts = joined((0, SublayerSite::FeedForward), joins()[7], t)?;
        parts.low_rank(1, LinearSite::Value, &t[4], &t[5], 0.5)?;
        parts.low_rank(0, LinearSite::AttentionOutput, &t[4], &t[5], 0.5)?;
        let maps = ((&t[0], &t[1]), (&t[2], &t[3]));
        parts.bottleneck(1, SublayerSite::Attention, maps.0, maps.1, joins()[2])?;
        Ok::<_, crate::Error>(parts)
    };
    let last = |t: &[Tensor]| joined((1, SublayerSite::FeedForward), joins()[3], t);
    for (noise, tokens) in [(true, Tokens::Summary), (false, Tokens::All)] {
        for parts in [everywhere(&t)?, last(&t)?] {
            let run = |keeping: Keeping| -> Result<_> {
                let mut texts = texts(noise);
                texts.keeping = keeping;
                let states = stack.forward(texts, parts.clone(), tokens)?;
                let loss = states.sqr()?.sum_all()?;
                // A second time over the same pass, too.
                let all = [loss.backward()?, loss.backward()?].map(|grads| {
                    let of = |var: &Var| grads.get(var).map(check::numbers);
                    vars.iter().map(of).collect::<Vec<_>>()
                });
                assert_eq!(all[0], all[1]);
                Ok((check::numbers(&states), all))
            };
            let all = run(Keeping::Everything)?;
            assert!(all.1[0].iter().any(Option::is_some));
            assert_eq!(all, run(Keeping::Inputs)?);
        }
    }
    Ok(())
}

#[test]
fn less_is_asked_for_where_less_is_kept() -> Result<()> {
    let stack = stack(DType::F32);
    let parts = joined(
        (0, SublayerSite::FeedForward),
        joins()[3],
        &bottleneck(DType::F32),
    )?;
    let of = |keeping| stack.demand(&[vec![5, 3, 4], vec![2]], &parts, keeping);
    assert!(of(Some(Keeping::Inputs)) < of(Some(Keeping::Everything)));
    assert!(stack.demand(&[vec![5]], &parts, None) < of(None));
    Ok(())
}

#[test]
fn the_first_token_is_that_of_all() -> Result<()> {
    let stack = stack(DType::F32);
    let of = |tokens: Tokens, noise: bool| {
        let parts = joined(
            (0, SublayerSite::FeedForward),
            joins()[3],
            &bottleneck(DType::F32),
        )?;
        stack.forward(texts(noise), parts, tokens)
    };
    for noise in [false, true] {
        let first = of(Tokens::Kept, noise)?.narrow(1, 0, 1)?;
        check::close(&of(Tokens::Summary, noise)?, &first, 1e-6);
    }
    // Padding is asked for too: it attends to the text, which does not see it.
    let (all, text) = (of(Tokens::All, false)?, of(Tokens::Kept, false)?);
    check::close(
        &kept(&all, Tokens::Kept)?,
        &kept(&text, Tokens::Kept)?,
        1e-6,
    );
    Ok(())
}

#[test]
fn a_text_does_not_depend_on_its_batch_nor_on_threads() -> Result<()> {
    let stack = stack(DType::F32);
    let batch = |rows: usize, seq: usize| Texts {
        ids: (0..rows * seq).map(|i| (i % seq * 7 % 20) as u32).collect(),
        types: vec![0; rows * seq],
        mask: Mask::all(rows, seq),
        hidden: None,
        attention: None,
        keeping: Keeping::Everything,
    };
    let alone = check::numbers(&stack.forward(batch(1, 7), Parts::default(), Tokens::Kept)?);
    let many = check::numbers(&stack.forward(batch(50, 7), Parts::default(), Tokens::Kept)?);
    assert!(many.chunks(alone.len()).all(|text| text == alone));

    let t = bottleneck(DType::F32);
    check::threads(&t, |t| {
        let parts = joined((0, SublayerSite::Attention), joins()[5], t)?;
        stack.forward(batch(50, 7), parts, Tokens::Summary)
    });
    Ok(())
}

#[test]
fn several_adapters_together_are_each_alone() -> Result<()> {
    let stack = stack(DType::F32);
    let t = bottleneck(DType::F32);
    let ends = (0..LAYERS).map(|l| joined((l, SublayerSite::FeedForward), joins()[7], &t));
    let mut parts: Vec<Parts> = ends.collect::<Result<_>>()?;
    parts.push(Parts::default());
    for mixed in [false, true] {
        if mixed {
            parts.push(joined((1, SublayerSite::Attention), joins()[2], &t)?);
            let (a, b) = (
                random(&[2, WIDTH], "a", DType::F32),
                random(&[WIDTH, 2], "b", DType::F32),
            );
            let mut low = Parts::default();
            low.low_rank(0, LinearSite::Key, &a, &b, 1.0)?;
            parts.insert(0, low);
        }
        for tokens in [Tokens::Summary, Tokens::Kept] {
            let together = stack.forward_each(&texts(false), parts.clone(), tokens)?;
            assert_eq!(together.len(), parts.len());
            for (found, parts) in together.iter().zip(&parts) {
                let alone = stack.forward(texts(false), parts.clone(), tokens)?;
                check::close(&kept(found, tokens)?, &kept(&alone, tokens)?, 0.0);
            }
        }
    }
    Ok(())
}

#[test]
fn nothing_is_recorded_without_variables() -> Result<()> {
    let stack = stack(DType::F32);
    let t = bottleneck(DType::F32);
    let run = |t: &[Tensor]| {
        let parts = joined((0, SublayerSite::FeedForward), joins()[3], t)?;
        stack.forward(texts(false), parts, Tokens::Summary)
    };
    assert!(!run(&t)?.track_op());
    let mut t = t;
    let var = Var::from_tensor(&t[1])?;
    t[1] = var.as_tensor().clone();
    let grads = run(&t)?.sqr()?.sum_all()?.backward()?;
    assert!(grads.get(&var).is_some());
    Ok(())
}

#[test]
fn empty_batches_and_misfits() -> Result<()> {
    let stack = stack(DType::F32);
    let mut none = texts(false);
    (none.ids, none.types) = (Vec::new(), Vec::new());
    none.mask = Mask::all(0, 5);
    let out = stack.forward(none, Parts::default(), Tokens::Summary)?;
    assert_eq!(out.dims(), [0, 1, WIDTH]);

    let (a, b) = (
        Var::zeros((2, WIDTH), DType::F32, &Device::Cpu)?,
        Var::zeros((WIDTH, 2), DType::F32, &Device::Cpu)?,
    );
    for (rows, seq) in [(0, 5), (2, 0)] {
        let mut none = texts(false);
        (none.ids, none.types) = (Vec::new(), Vec::new());
        none.mask = Mask::all(rows, seq);
        let mut parts = Parts::default();
        parts.low_rank(0, LinearSite::Query, a.as_tensor(), b.as_tensor(), 1.0)?;
        let grads = stack.forward(none, parts, Tokens::Summary)?.sum_all()?;
        let grads = grads.backward()?;
        let grad = grads.get(&a).expect("a gradient");
        assert!(check::numbers(grad).iter().all(|&x| x == 0.0));
    }

    let mut unknown = texts(false);
    unknown.ids[3] = 20;
    let parts = Parts::default();
    assert!(stack.forward(unknown, parts, Tokens::Summary).is_err());
    let t = bottleneck(DType::F32);
    let parts = joined((LAYERS, SublayerSite::Attention), joins()[0], &t)?;
    assert!(stack.forward(texts(false), parts, Tokens::Summary).is_err());
    let mut parts = Parts::default();
    let (a, b) = (Tensor::zeros((2, 5), DType::F32, &Device::Cpu)?, &t[2]);
    assert!(parts.low_rank(0, LinearSite::Query, &a, b, 1.0).is_err());
    Ok(())
}
