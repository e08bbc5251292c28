//! Every operation on every device that is there: values and gradients are those of the CPU's
//! kernels in f32.

use candle_core::{DType, Device, Tensor, Var};

use super::random::Stream;
use super::*;
use crate::Result;

/// A device and a type of numbers, with how far results may be off.
struct Place {
    device: Device,
    dtype: DType,
    tolerance: f64,
}

/// Half precision on the CPU takes the way of other devices: by candle's operations.
fn places() -> Vec<Place> {
    let place = |device: &Device, dtype, tolerance| Place {
        device: device.clone(),
        dtype,
        tolerance,
    };
    let mut all = vec![
        place(&Device::Cpu, DType::F32, 0.0),
        place(&Device::Cpu, DType::F16, 2e-2),
    ];
    match super::device("cuda:0") {
        Ok(gpu) => all.extend([
            place(&gpu, DType::F32, 1e-3),
            place(&gpu, DType::BF16, 1e-1),
        ]),
        Err(error) => eprintln!("skipped on a GPU: {error}"),
    }
    all
}

/// The value of `f` and its gradients, under a random weighting of the value.
fn run(
    place: &Place,
    inputs: &[Tensor],
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let moved = |x: &Tensor| x.to_dtype(place.dtype)?.to_device(&place.device);
    let vars = inputs
        .iter()
        .map(|x| Var::from_tensor(&moved(x)?))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tracked)?;
    let weights = moved(&check::random(y.dims(), "weighting", DType::F32))?;
    let grads = (&y * weights)?.sum_all()?.backward()?;
    let mut found = vec![y];
    for var in &vars {
        found.push(grads.get(var).expect("every input gets a gradient").clone());
    }
    Ok(found)
}

/// Runs an operation on random tensors of these shapes everywhere.
macro_rules! everywhere {
    ($($name:ident: [$($shape:expr),+] => $f:expr;)+) => {$(
        #[test]
        fn $name() -> Result<()> {
            let shapes: &[&[usize]] = &[$(&$shape),+];
            let named = |(i, shape): (usize, &&[usize])| {
                check::random(shape, &i.to_string(), DType::F32)
            };
            let inputs: Vec<Tensor> = shapes.iter().enumerate().map(named).collect();
            let f: &dyn Fn(&[Tensor]) -> Result<Tensor> = &$f;
            let places = places();
            let expected = run(&places[0], &inputs, f)?;
            for place in &places {
                for (found, expected) in run(place, &inputs, f)?.iter().zip(&expected) {
                    check::close(found, expected, place.tolerance);
                }
            }
            Ok(())
        }
    )+};
}

/// A frozen tensor beside `x`.
fn beside(x: &Tensor, shape: &[usize], name: &str) -> Result<Tensor> {
    let frozen = check::random(shape, name, DType::F32);
    Ok(frozen.to_dtype(x.dtype())?.to_device(x.device())?)
}

fn noise(site: &str) -> Result<Dropout> {
    Dropout::new(Stream::new(1, "dropout", site), 0.3, vec![10, 11])
}

/// The second text is shorter.
fn attention(x: &Tensor, sight: Sight, dropped: bool) -> Result<Tensor> {
    let bias = beside(x, &[2, 7], "bias")?;
    let attention = Attention {
        heads: 2,
        mask: Mask::from_lengths(&[5, 3], 5),
        sight,
        bias: (sight == Sight::All).then_some(bias),
        dropout: match dropped {
            true => Some((noise("attention")?, 6)),
            false => None,
        },
    };
    attention.apply(x)
}

everywhere! {
    activations: [[2, 7]] => |p| {
        let all = [Activation::Relu, Activation::Silu, Activation::Gelu, Activation::GeluNew,
            Activation::Tanh, Activation::LeakyRelu, Activation::Sigmoid, Activation::Mish];
        let each = all.iter().map(|a| a.apply(&p[0])).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&each, 0)?)
    };
    layer_norm_of_rows: [[2, 3, 8]] => |p| {
        layer_norm(&p[0], &beside(&p[0], &[8], "w")?, &beside(&p[0], &[8], "b")?, 1e-5)
    };
    layer_norm_of_sums: [[2, 3, 8], [2, 3, 8]] => |p| {
        let (w, b) = (beside(&p[0], &[8], "w")?, beside(&p[0], &[8], "b")?);
        add_layer_norm(&p[0], &p[1], &w, &b, 1e-5)
    };
    linear_maps: [[2, 3, 8], [4, 8], [4]] => |p| linear(&p[0], &p[1], Some(&p[2]));
    frozen_maps: [[2, 3, 8]] => |p| {
        let (w, b) = (beside(&p[0], &[4, 8], "w")?, beside(&p[0], &[4], "b")?);
        FrozenLinear::new(w, Some(b))?.forward(&p[0])
    };
    low_rank_updates: [[2, 3, 8], [2, 3, 4], [2, 8], [4, 2]] => |p| {
        lora(&p[0], &p[1], &p[2], &p[3], 0.5)
    };
    rotated_positions: [[2, 5, 24]] => |p| rotate(&p[0], 2, 1e4);
    dropped_states: [[2, 3, 8]] => |p| dropout(&p[0], &noise("states")?, 3);
    attention_with_a_bias: [[2, 5, 24]] => |p| attention(&p[0], Sight::All, false);
    attention_to_what_is_before: [[2, 5, 24]] => |p| attention(&p[0], Sight::Before, false);
    attention_that_drops: [[2, 5, 24]] => |p| attention(&p[0], Sight::Near(2), true);
}
