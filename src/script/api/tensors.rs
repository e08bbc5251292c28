//! Tensors: for the few places where a study looks inside.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use crate::report::number;
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::overwriting::{FORCE, alone};
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::study::files::write_atomic;
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[MAX_ABS_DIFF, SAVE_TENSORS];

static SAVE_TENSORS: NativeSpec = NativeSpec {
    name: "save_tensors",
    options: &[FORCE],
};

static MAX_ABS_DIFF: NativeSpec = NativeSpec {
    name: "max_abs_diff",
    options: &[OptionSpec::value(
        "mask",
        "a Tensor of zeros and ones over the leading dimensions",
        "only entries whose mask is not zero are compared",
    )
    .otherwise("every entry")],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Tensor>("Tensor");
    engine.register_global_module(rhai::exported_module!(natives).into());
    register_operators(engine);
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// A Tensor of numbers, f32.
    ///
    /// - `values`: numbers nested in arrays, rows of one length
    ///
    /// ```rhai
    /// tensor([[1.0, 2.0]]).shape    // [1, 2]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn tensor(values: Array) -> Fallible<Tensor> {
        Ok(to_tensor(&values.into())?
            .to_dtype(DType::F32)
            .map_err(crate::Error::from)?)
    }

    /// The tensors of a safetensors file: a map of Tensors by name.
    ///
    /// - `path`: the file, relative to the script
    ///
    /// ```rhai
    /// save_tensors("x.safetensors", #{ h: tensor([1.0, 2.0]) });
    /// load_tensors("x.safetensors").h.to_array()    // [1.0, 2.0]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn load_tensors(context: NativeCallContext, path: &str) -> Fallible<Map> {
        let file = Session::of(&context)?.input("file", path)?;
        let tensors = crate::tensorfile::read(&file)?;
        Ok(tensors
            .into_iter()
            .map(|(k, v)| (k.into(), Dynamic::from(v)))
            .collect())
    }

    /// Saves Tensors as a safetensors file, as f32.
    ///
    /// - `path`: the file, under the folder of the run
    /// - `tensors`: a map of Tensors, or of numbers nested in arrays, by name
    ///
    /// # Errors
    /// A finite number that is too large for f32, or a whole number that f32 does not have.
    ///
    /// ```rhai
    /// save_tensors("y.safetensors", #{ weight: tensor([[1.0, 2.0]]) });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn save_tensors(context: NativeCallContext, path: &str, tensors: Map) -> Fallible<()> {
        Ok(saved(&context, path, &tensors, false)?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// save_tensors("y.safetensors", #{ weight: tensor([1.0]) }, #{ force: true });
    /// ```
    #[rhai_fn(name = "save_tensors", return_raw)]
    pub fn save_tensors_with(
        context: NativeCallContext,
        path: &str,
        tensors: Map,
        options: Map,
    ) -> Fallible<()> {
        let force = Options::read(&SAVE_TENSORS, &options)?.bool("force")?;
        Ok(saved(&context, path, &tensors, force)?)
    }

    /// The lengths of a Tensor's dimensions.
    #[rhai_fn(get = "shape", pure)]
    pub fn shape(t: &mut Tensor) -> Array {
        t.dims().iter().map(|d| Dynamic::from(*d as i64)).collect()
    }

    /// The type of a Tensor's entries: "f32", "i64"...
    #[rhai_fn(get = "dtype", pure)]
    pub fn dtype(t: &mut Tensor) -> String {
        t.dtype().as_str().to_string()
    }

    /// The number of entries.
    #[rhai_fn(get = "entries", pure)]
    pub fn entries(t: &mut Tensor) -> i64 {
        t.elem_count() as i64
    }

    /// The length of the first dimension.
    ///
    /// ```rhai
    /// tensor([1.0, 2.0, 3.0]).len()    // 3
    /// ```
    #[rhai_fn(get = "len", name = "len", pure)]
    pub fn length(t: &mut Tensor) -> i64 {
        t.dims().first().map_or(1, |d| *d as i64)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(t: &mut Tensor) -> String {
        card_of(t).unwrap_or_else(|error| error.to_string())
    }

    /// The largest absolute difference between two Tensors of one shape.
    ///
    /// - `other`: the Tensor it is compared with
    ///
    /// ```rhai
    /// tensor([1.0, 2.0]).max_abs_diff(tensor([1.0, 2.5]))    // 0.5
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn max_abs_diff(t: &mut Tensor, other: Tensor) -> Fallible<f64> {
        Ok(largest_difference(t, &other, None)?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// tensor([1.0, 2.0]).max_abs_diff(tensor([1.0, 2.5]), #{ mask: [1, 0] })    // 0.0
    /// ```
    #[rhai_fn(name = "max_abs_diff", pure, return_raw)]
    pub fn max_abs_diff_with(t: &mut Tensor, other: Tensor, options: Map) -> Fallible<f64> {
        let options = Options::read(&MAX_ABS_DIFF, &options)?;
        let mask = options.get("mask").map(to_tensor).transpose()?;
        Ok(largest_difference(t, &other, mask.as_ref())?)
    }

    /// Rows of the first dimension.
    ///
    /// - `from`: the first row, from 0
    /// - `to`: the row before which it ends
    ///
    /// ```rhai
    /// tensor([1.0, 2.0, 3.0]).rows(0, 2).to_array()    // [1.0, 2.0]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn rows(t: &mut Tensor, from: i64, to: i64) -> Fallible<Tensor> {
        let n = t.dims().first().copied().unwrap_or(0) as i64;
        if from < 0 || to > n || from >= to {
            bail!("rows {from} to {to} of a Tensor with {n} rows");
        }
        Ok(done(t.narrow(0, from as usize, (to - from) as usize))?)
    }

    /// One row of the first dimension; negative numbers count from the end.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn row(t: &mut Tensor, index: i64) -> Fallible<Tensor> {
        let n = t.dims().first().copied().unwrap_or(0) as i64;
        let at = if index < 0 { index + n } else { index };
        if at < 0 || at >= n {
            bail!("row {index} of a Tensor with {n} rows");
        }
        Ok(done(t.get(at as usize))?)
    }

    /// The one entry of a Tensor with a single one, as a number.
    ///
    /// ```rhai
    /// tensor([[4.0]]).item()    // 4.0
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn item(t: &mut Tensor) -> Fallible<f64> {
        match values(t)?[..] {
            [one] => Ok(one),
            _ => bail!("item needs one entry, the Tensor has shape {:?}", t.dims()),
        }
    }

    /// The entries as arrays of numbers, nested as the shape is.
    ///
    /// ```rhai
    /// tensor([[1.0], [2.0]]).to_array()    // [[1.0], [2.0]]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn to_array(t: &mut Tensor) -> Fallible<Dynamic> {
        Ok(nested(&values(t)?, t.dims(), t.dtype().is_int()))
    }

    /// The mean: of all entries a number, along a dimension a Tensor.
    ///
    /// - `dim`: the dimension that goes, from 0; negative numbers count from the last
    ///
    /// ```rhai
    /// tensor([[1.0, 3.0]]).mean()    // 2.0
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn mean(t: &mut Tensor) -> Fallible<f64> {
        let values = values(t)?;
        if values.is_empty() {
            bail!("the mean of a Tensor without entries");
        }
        Ok(values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The sum: of all entries a number, along a dimension a Tensor.
    ///
    /// - `dim`: the dimension that goes, from 0; negative numbers count from the last
    ///
    /// ```rhai
    /// tensor([[1.0, 3.0]]).sum()    // 4.0
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn sum(t: &mut Tensor) -> Fallible<f64> {
        Ok(values(t)?.iter().sum())
    }

    /// The same along a dimension.
    ///
    /// ```rhai
    /// tensor([[1.0, 3.0], [5.0, 7.0]]).sum(-1).to_array()    // [4.0, 12.0]
    /// ```
    #[rhai_fn(name = "sum", pure, return_raw)]
    pub fn sum_along(t: &mut Tensor, dim: i64) -> Fallible<Tensor> {
        let dim = dimension(t, dim)?;
        Ok(done(t.sum(dim))?)
    }

    /// The same along a dimension.
    ///
    /// ```rhai
    /// tensor([[1.0, 3.0], [5.0, 7.0]]).mean(0).to_array()    // [3.0, 5.0]
    /// ```
    #[rhai_fn(name = "mean", pure, return_raw)]
    pub fn mean_along(t: &mut Tensor, dim: i64) -> Fallible<Tensor> {
        let dim = dimension(t, dim)?;
        Ok(done(t.mean(dim))?)
    }

    /// The largest entry.
    ///
    /// ```rhai
    /// tensor([1.0, 3.0]).max()    // 3.0
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn max(t: &mut Tensor) -> Fallible<f64> {
        extreme(t, f64::max)
    }

    /// The smallest entry.
    ///
    /// ```rhai
    /// tensor([1.0, 3.0]).min()    // 1.0
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn min(t: &mut Tensor) -> Fallible<f64> {
        extreme(t, f64::min)
    }

    /// The Euclidean norm of all entries.
    ///
    /// ```rhai
    /// tensor([3.0, 4.0]).norm()    // 5.0
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn norm(t: &mut Tensor) -> Fallible<f64> {
        Ok(values(t)?.iter().map(|v| v * v).sum::<f64>().sqrt())
    }

    /// The largest entries, largest first: a map with `values` and `indices` into the flattened Tensor.
    /// Of equals the first comes first.
    ///
    /// - `k`: how many
    ///
    /// ```rhai
    /// tensor([1.0, 5.0, 3.0]).topk(2).indices    // [1, 2]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn topk(t: &mut Tensor, k: i64) -> Fallible<Map> {
        let values = values(t)?;
        if k < 1 || k as usize > values.len() {
            bail!("topk({k}) of {} entries", values.len());
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
        order.truncate(k as usize);
        let tops: Array = order.iter().map(|i| Dynamic::from(values[*i])).collect();
        let indices: Array = order.iter().map(|i| Dynamic::from(*i as i64)).collect();
        Ok(map_of([
            ("values", tops.into()),
            ("indices", indices.into()),
        ]))
    }

    /// Absolute values, entry by entry.
    ///
    /// ```rhai
    /// abs(tensor([-1.0, 2.0])).to_array()    // [1.0, 2.0]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn abs(t: &mut Tensor) -> Fallible<Tensor> {
        Ok(done(t.abs())?)
    }

    /// Signs, entry by entry: -1, 0 or 1.
    ///
    /// ```rhai
    /// sign(tensor([-3.0, 0.0, 2.0])).to_array()    // [-1.0, 0.0, 1.0]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn sign(t: &mut Tensor) -> Fallible<Tensor> {
        Ok(done(t.sign())?)
    }

    #[rhai_fn(name = "-", pure, return_raw)]
    pub fn negate(t: &mut Tensor) -> Fallible<Tensor> {
        Ok(done(t.neg())?)
    }

    /// Entry by entry one of two, as a condition says.
    ///
    /// - `condition`: a Tensor, such as `t > 0`
    /// - `x`: what is taken where the condition is not zero; a number stands for a Tensor filled with it
    /// - `y`: what is taken elsewhere; a number likewise
    ///
    /// ```rhai
    /// let t = tensor([-1.0, 2.0]);
    /// choose(t > 0, t, 0).to_array()    // [0.0, 2.0]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn choose(condition: Tensor, x: Dynamic, y: Dynamic) -> Fallible<Tensor> {
        let (x, y) = (like(&condition, &x)?, like(&condition, &y)?);
        if x.dims() != condition.dims() || y.dims() != condition.dims() {
            bail!(
                "choose: shapes {:?}, {:?} and {:?} differ",
                condition.dims(),
                x.dims(),
                y.dims()
            );
        }
        let condition = done(
            condition
                .ne(0f64)
                .or_else(|_| condition.to_dtype(DType::F64)?.ne(0f64)),
        )?;
        Ok(done(condition.where_cond(&x, &y))?)
    }
}

fn saved(context: &NativeCallContext, path: &str, tensors: &Map, force: bool) -> Result<()> {
    let mut named = BTreeMap::new();
    for (name, value) in tensors {
        named.insert(name.to_string(), to_tensor(value)?);
    }
    let bytes = crate::tensorfile::encode(&named, None)?;
    let session = Session::of(context)?;
    session.write_file(path, force, alone, |file| write_atomic(file, &bytes))
}

/// Registers `op` for two Tensors and for a Tensor and a number, either way round.
macro_rules! both_sided {
    ($engine:ident, $($name:literal => $op:expr),+ $(,)?) => {$(
        $engine.register_fn($name, |a: Tensor, b: Tensor| -> Fallible<Tensor> { binary($name, &a, &b, $op) });
        $engine.register_fn($name, |a: Tensor, b: f64| -> Fallible<Tensor> { binary($name, &a, &full(&a, b)?, $op) });
        $engine.register_fn($name, |a: Tensor, b: i64| -> Fallible<Tensor> { binary($name, &a, &full(&a, b as f64)?, $op) });
        $engine.register_fn($name, |a: f64, b: Tensor| -> Fallible<Tensor> { binary($name, &full(&b, a)?, &b, $op) });
        $engine.register_fn($name, |a: i64, b: Tensor| -> Fallible<Tensor> { binary($name, &full(&b, a as f64)?, &b, $op) });
    )+};
}

/// Registers arithmetic and comparisons, which give Tensors.
fn register_operators(engine: &mut Engine) {
    both_sided!(engine,
        "+" => |a, b| a + b,
        "-" => |a, b| a - b,
        "*" => |a, b| a * b,
        "/" => |a, b| a / b,
        ">" => |a, b| a.gt(b),
        "<" => |a, b| a.lt(b),
        ">=" => |a, b| a.ge(b),
        "<=" => |a, b| a.le(b),
        "==" => |a, b| a.eq(b),
        "!=" => |a, b| a.ne(b),
    );
}

type Binary = fn(&Tensor, &Tensor) -> candle_core::Result<Tensor>;

fn binary(name: &str, a: &Tensor, b: &Tensor, op: Binary) -> Fallible<Tensor> {
    if a.dims() != b.dims() {
        bail!(
            "Tensors of shapes {:?} and {:?} have no {name}",
            a.dims(),
            b.dims()
        );
    }
    // Integers meet floats as f32; comparisons give u8, which is no number to go on with.
    let dtype = match (a.dtype().is_float(), b.dtype().is_float()) {
        (true, false) => a.dtype(),
        (false, true) => b.dtype(),
        _ if a.dtype() == DType::F64 || b.dtype() == DType::F64 => DType::F64,
        (true, true) => DType::F32,
        (false, false) => DType::F32,
    };
    let (a, b) = (done(a.to_dtype(dtype))?, done(b.to_dtype(dtype))?);
    Ok(done(op(&a, &b))?)
}

fn full(like: &Tensor, value: f64) -> Result<Tensor> {
    let dtype = if like.dtype().is_float() {
        like.dtype()
    } else {
        DType::F32
    };
    Ok(Tensor::full(value, like.shape(), like.device())?.to_dtype(dtype)?)
}

fn like(condition: &Tensor, value: &Dynamic) -> Result<Tensor> {
    match (value.as_float(), value.as_int()) {
        (Ok(number), _) => full(&condition.to_dtype(DType::F32)?, number),
        (_, Ok(number)) => full(&condition.to_dtype(DType::F32)?, number as f64),
        _ => to_tensor(value),
    }
}

fn done<T>(result: candle_core::Result<T>) -> Result<T> {
    result.map_err(Into::into)
}

fn dimension(t: &Tensor, dim: i64) -> Result<usize> {
    let rank = t.dims().len() as i64;
    let at = if dim < 0 { dim + rank } else { dim };
    if at < 0 || at >= rank {
        bail!("dimension {dim} of a Tensor with {rank}");
    }
    Ok(at as usize)
}

/// All entries as f64, in order.
pub(super) fn values(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

fn extreme(t: &Tensor, pick: fn(f64, f64) -> f64) -> Fallible<f64> {
    match values(t)?.into_iter().reduce(pick) {
        Some(value) => Ok(value),
        None => bail!("a Tensor without entries"),
    }
}

/// All entries as integers; an error that names what is not one.
pub(super) fn integers(t: &Tensor, what: &str) -> Result<Vec<i64>> {
    values(t)?
        .into_iter()
        .map(|v| {
            if v.fract() == 0.0 && v.abs() < 9e15 {
                Ok(v as i64)
            } else {
                bail!("{what} hold {v}, expected integers")
            }
        })
        .collect()
}

/// A Tensor, or one made of numbers nested in arrays: i64 where all are whole, else f32.
pub(super) fn to_tensor(value: &Dynamic) -> Result<Tensor> {
    if let Some(tensor) = value.clone().try_cast::<Tensor>() {
        return Ok(tensor);
    }
    let (mut shape, mut numbers, mut whole) = (Vec::new(), Vec::new(), true);
    collect(value, 0, &mut shape, &mut numbers, &mut whole)?;
    let tensor = if whole {
        let numbers: Vec<i64> = numbers.into_iter().map(|v| v as i64).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu)
    } else {
        Tensor::from_vec(numbers, shape, &Device::Cpu).and_then(|t| t.to_dtype(DType::F32))
    };
    done(tensor)
}

fn collect(
    value: &Dynamic,
    depth: usize,
    shape: &mut Vec<usize>,
    numbers: &mut Vec<f64>,
    whole: &mut bool,
) -> Result<()> {
    if let Ok(items) = value.as_array_ref() {
        if depth == shape.len() {
            if !numbers.is_empty() {
                bail!("a Tensor's arrays are nested to different depths");
            }
            shape.push(items.len());
        } else if shape[depth] != items.len() {
            bail!(
                "a Tensor's rows differ in length: {} and {}",
                shape[depth],
                items.len()
            );
        }
        for item in items.iter() {
            collect(item, depth + 1, shape, numbers, whole)?;
        }
        return Ok(());
    }
    if depth != shape.len() {
        bail!("a Tensor's arrays are nested to different depths");
    }
    match (value.as_int(), value.as_float()) {
        (Ok(v), _) => numbers.push(v as f64),
        (_, Ok(v)) => {
            *whole = false;
            numbers.push(v);
        }
        _ => bail!(
            "expected a Tensor or numbers in arrays, got {}",
            describe(value)
        ),
    }
    Ok(())
}

fn nested(values: &[f64], dims: &[usize], whole: bool) -> Dynamic {
    match dims {
        [] if whole => Dynamic::from(values[0] as i64),
        [] => Dynamic::from(values[0]),
        [_, rest @ ..] => {
            let step: usize = rest.iter().product();
            let rows: Array = if step == 0 {
                Array::new()
            } else {
                values
                    .chunks(step)
                    .map(|c| nested(c, rest, whole))
                    .collect()
            };
            rows.into()
        }
    }
}

fn largest_difference(a: &Tensor, b: &Tensor, mask: Option<&Tensor>) -> Result<f64> {
    if a.dims() != b.dims() {
        bail!(
            "max_abs_diff: shapes {:?} and {:?} differ",
            a.dims(),
            b.dims()
        );
    }
    let (x, y) = (values(a)?, values(b)?);
    let kept = match mask {
        None => vec![1.0],
        Some(mask) if a.dims().starts_with(mask.dims()) => values(mask)?,
        Some(mask) => bail!(
            "max_abs_diff: the mask's shape {:?} is not how {:?} begins",
            mask.dims(),
            a.dims()
        ),
    };
    let width = (x.len() / kept.len().max(1)).max(1);
    let mut largest = 0f64;
    for (i, (p, q)) in x.iter().zip(&y).enumerate() {
        if kept[i / width] != 0.0 {
            let difference = (p - q).abs();
            if difference.is_nan() {
                return Ok(f64::NAN);
            }
            largest = largest.max(difference);
        }
    }
    Ok(largest)
}

/// One line: shape, type, range and the first entries.
fn card_of(t: &Tensor) -> Result<String> {
    let values = values(t)?;
    let shape: Vec<String> = t.dims().iter().map(ToString::to_string).collect();
    let mut card = format!("Tensor [{}] {}", shape.join(", "), t.dtype().as_str());
    if let (Some(low), Some(high)) = (
        values.iter().copied().reduce(f64::min),
        values.iter().copied().reduce(f64::max),
    ) {
        let first: Vec<String> = values.iter().take(4).map(|v| number(*v)).collect();
        let more = if values.len() > 4 { ", ..." } else { "" };
        card += &format!(
            ", {} to {}: {}{more}",
            number(low),
            number(high),
            first.join(", ")
        );
    }
    Ok(card)
}

/// A map of these entries.
pub(super) fn map_of<const N: usize>(entries: [(&str, Dynamic); N]) -> Map {
    entries.into_iter().map(|(k, v)| (k.into(), v)).collect()
}
