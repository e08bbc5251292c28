//! What the tests of the operations share.

use super::random::Stream;
use crate::Result;
use candle_core::{DType, Device, Tensor, Var};

/// Normal values named by `item`.
pub fn random(shape: &[usize], item: &str, dtype: DType) -> Tensor {
    let mut stream = Stream::new(7, "test", item);
    let len = shape.iter().product();
    let values: Vec<f64> = (0..len).map(|_| stream.normal()).collect();
    let x = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    x.to_dtype(dtype).unwrap()
}

/// Tensors of one shape in memory layouts of every kind: contiguous, transposed, and cut out of
/// a larger tensor along the first and the last dimension.
pub fn layouts(shape: &[usize], dtype: DType) -> Vec<Tensor> {
    let last = shape.len() - 1;
    let mut swapped = shape.to_vec();
    swapped.swap(0, last);
    let mut taller = shape.to_vec();
    taller[0] += 3;
    let mut wider = shape.to_vec();
    wider[last] += 3;
    let cut = |larger: &[usize], dim: usize| {
        let x = random(larger, "larger", dtype);
        x.narrow(dim, 2, shape[dim]).unwrap()
    };
    vec![
        random(shape, "x", dtype),
        random(&swapped, "x", dtype).transpose(0, last).unwrap(),
        cut(&taller, 0),
        cut(&wider, last),
    ]
}

/// Asserts that two tensors agree within `tolerance`, absolute or relative to the expected.
#[track_caller]
pub fn close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims());
    for (i, (f, e)) in numbers(found).iter().zip(numbers(expected)).enumerate() {
        let error = (f - e).abs() / e.abs().max(1.0);
        assert!(error <= tolerance, "element {i}: {f}, expected {e}");
    }
}

/// The values, in row-major order.
pub fn numbers(x: &Tensor) -> Vec<f64> {
    let x = x.to_dtype(DType::F64).unwrap();
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts that the gradients of `f` at these f64 inputs, under a random weighting of its
/// outputs, equal central finite differences within 1e-6.
#[track_caller]
pub fn gradients(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    const STEP: f64 = 1e-5;
    let vars: Vec<Var> = inputs
        .iter()
        .map(|x| Var::from_tensor(x).unwrap())
        .collect();
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tracked).unwrap();
    let weights = random(y.dims(), "weighting", DType::F64);
    let loss = |y: &Tensor| (y * &weights).unwrap().sum_all().unwrap();
    let grads = loss(&y).backward().unwrap();
    for (i, var) in vars.iter().enumerate() {
        let grad = grads.get(var).expect("every input gets a gradient");
        assert_eq!(grad.dims(), inputs[i].dims());
        for (j, g) in numbers(grad).into_iter().enumerate() {
            let at = |delta: f64| {
                let mut values = numbers(&inputs[i]);
                values[j] += delta;
                let mut moved = inputs.to_vec();
                moved[i] = Tensor::from_vec(values, inputs[i].dims(), &Device::Cpu).unwrap();
                loss(&f(&moved).unwrap()).to_scalar::<f64>().unwrap()
            };
            let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            let error = (g - expected).abs() / expected.abs().max(1.0);
            assert!(
                error < 1e-6,
                "input {i}, element {j}: {g}, expected {expected}"
            );
        }
    }
}

/// Asserts that the result and gradients of `f` are the same bits with one thread and several.
#[track_caller]
pub fn threads(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor> + Sync) {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let vars: Vec<Var> = inputs
                .iter()
                .map(|x| Var::from_tensor(x).unwrap())
                .collect();
            let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
            let y = f(&tracked).unwrap();
            let weights = random(y.dims(), "weighting", y.dtype());
            let grads = (&y * weights)
                .unwrap()
                .sum_all()
                .unwrap()
                .backward()
                .unwrap();
            let mut bits = vec![to_bits(&y)];
            bits.extend(vars.iter().map(|v| to_bits(grads.get(v).unwrap())));
            bits
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

fn to_bits(x: &Tensor) -> Vec<u64> {
    numbers(x).into_iter().map(f64::to_bits).collect()
}
