//! Weights stored as codes, which stand for values only together with the scales beside them.
//!
//! Two forms are read, since the value is one product: 8-bit codes of bitsandbytes (`weight` and
//! `SCB`, after `int8_vectorwise_dequant` of 0.45), and floats or whole numbers of 8 bits with
//! `weight_scale` or `weight_scale_inv`, for the whole tensor, for each row or for blocks
//! (transformers' `finegrained_fp8` and `fbgemm_fp8`, compressed-tensors' `float-quantized` and
//! `int-quantized`). All others are refused by name.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor};
use serde_json::Value;

use crate::{Error, Result, bail};

use super::number::Number;
use super::read::TensorFile;

/// What to do about weights that are not read.
pub const ADVICE: &str =
    "load the model in 16 bits with the library that quantised it, save it so and use that folder";

/// How names of tensors end that only quantised weights have, and whose they are.
const SIGNS: &[(&str, &str)] = &[
    (
        ".quant_state.bitsandbytes__nf4",
        "bitsandbytes, 4 bits, nf4",
    ),
    (
        ".quant_state.bitsandbytes__fp4",
        "bitsandbytes, 4 bits, fp4",
    ),
    (".absmax", "bitsandbytes, 4 bits"),
    (".quant_map", "bitsandbytes, 4 bits"),
    (".SCB", "bitsandbytes, 8 bits"),
    (".g_idx", "GPTQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".qweight", "GPTQ or AWQ"),
    (".q_weight", "EXL2"),
    (".W_q", "HQQ"),
    (".weight_packed", "compressed-tensors, packed"),
    (".weight_zero_point", "compressed-tensors with zero points"),
    (".weight_scale_2", "NVFP4"),
    (".weight_global_scale", "NVFP4"),
    (".weight_scales", "EETQ"),
    (".weight._data", "Quanto"),
    (".weight._scale", "Quanto"),
    ("_qdata", "torchao"),
    (".codebooks", "AQLM"),
    (".centroids.weight", "VPTQ"),
    ("_blocks", "MXFP4"),
    (".weight_scale", "8 bits with weight_scale"),
    (".weight_scale_inv", "8 bits with weight_scale_inv"),
    (".scale_weight", "8 bits with scale_weight"),
];

/// What stands beside a weight of 8 bits that each of its codes is multiplied by. The second is the
/// inverse of what the weights were multiplied by, and so is a factor too.
const SCALES: &[&str] = &["weight_scale", "weight_scale_inv", "scale_weight"];

/// How a weight is made of its codes: each times the scale of its block.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// The name of the tensor of scales.
    pub scales: String,
    /// Rows and columns that share a scale.
    block: [usize; 2],
    /// What the scales are for: codes up to 127 in bitsandbytes.
    factor: f32,
}

impl Scaling {
    /// The weight of these codes and scales, as f32.
    pub fn apply(&self, codes: &Tensor, scales: &Tensor) -> Result<Tensor> {
        let shape = codes.dims();
        let width: usize = shape.iter().skip(1).product();
        let scales = scales
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let [rows, columns] = self.block;
        let across = width.max(1).div_ceil(columns.max(1));
        let codes = codes.to_dtype(DType::F32)?.flatten_all()?;
        let mut values = codes.to_vec1::<f32>()?;
        for (row, line) in values.chunks_mut(width.max(1)).enumerate() {
            let own = row / rows.max(1) * across;
            for (block, codes) in line.chunks_mut(columns.max(1)).enumerate() {
                let Some(scale) = scales.get(own + block) else {
                    bail!("{} scales are too few for shape {shape:?}", scales.len());
                };
                for code in codes {
                    *code = *code * scale * self.factor;
                }
            }
        }
        Ok(Tensor::from_vec(values, shape, codes.device())?)
    }
}

/// The weights of files that are stored as codes and can be read, by name. `config` is the model's
/// config.json. An error that names what is in use for all that cannot be read.
pub fn read(config: Option<&Value>, files: &[&TensorFile]) -> Result<BTreeMap<String, Scaling>> {
    let listed = Listed::of(config, files);
    let found = listed.scalings()?;
    listed.check(&found, |_| false)?;
    Ok(found)
}

/// An error that names what is in use where weights are quantised in any way, or where a tensor
/// that `is_weight` holds whole numbers.
pub fn refuse(
    config: Option<&Value>,
    files: &[&TensorFile],
    is_weight: impl Fn(&str) -> bool,
) -> Result<()> {
    Listed::of(config, files).check(&BTreeMap::new(), is_weight)
}

/// The tensors of files, and what their configuration says of them.
struct Listed<'a> {
    files: BTreeMap<&'a str, &'a TensorFile>,
    settings: Option<&'a Value>,
}

impl<'a> Listed<'a> {
    fn of(config: Option<&'a Value>, files: &[&'a TensorFile]) -> Self {
        let names = |file: &&'a TensorFile| {
            let file = *file;
            file.shapes().map(move |(name, _)| (name.as_str(), file))
        };
        Self {
            files: files.iter().flat_map(names).collect(),
            settings: config.and_then(settings),
        }
    }

    fn number(&self, name: &str) -> Option<Number> {
        self.files.get(name)?.number(name)
    }

    fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.files.get(name)?.shape(name)
    }

    /// The weights that can be read.
    fn scalings(&self) -> Result<BTreeMap<String, Scaling>> {
        let mut found = BTreeMap::new();
        for (name, file) in &self.files {
            let Some(stem) = name.strip_suffix("weight") else {
                continue;
            };
            let within = |e: Error| e.within(format!("{}: tensor {name}", file.path().display()));
            let scaling = match self.number(name) {
                Some(Number::I8) => match self.bitsandbytes(name, stem).map_err(within)? {
                    Some(scaling) => Some(scaling),
                    None if self.is_int_quantized() => self.scaled(name, stem).map_err(within)?,
                    None => None,
                },
                Some(number) if number.is_float8() => self.scaled(name, stem).map_err(within)?,
                _ => None,
            };
            found.extend(scaling.map(|scaling| (name.to_string(), scaling)));
        }
        Ok(found)
    }

    /// 8-bit codes of bitsandbytes: a scale for each row.
    fn bitsandbytes(&self, name: &str, stem: &str) -> Result<Option<Scaling>> {
        let scales = format!("{stem}SCB");
        let (Some(shape), Some(own)) = (self.shape(name), self.shape(&scales)) else {
            return Ok(None);
        };
        let &[rows, columns] = shape else {
            bail!("8-bit codes of shape {shape:?}, expected a matrix"; hint: "load the model in 16 bits and save it so");
        };
        if own.iter().product::<usize>() != rows {
            bail!("{own:?} scales in {scales} for {rows} rows");
        }
        // In which order its rows and columns lie; other orders than 0 are of old GPUs.
        let order = format!("{stem}weight_format");
        if let Some(file) = self.files.get(order.as_str())
            && file.raw(&order)?.iter().any(|byte| *byte != 0)
        {
            return Err(Error::new(
                "its 8-bit codes lie in the order of a GPU's tiles, which is not supported",
            )
            .hint(ADVICE));
        }
        Ok(Some(Scaling {
            scales,
            block: [1, columns],
            // As bitsandbytes writes 1/127.
            factor: 7.874_016e-3,
        }))
    }

    /// 8-bit codes with scales of their own kind.
    fn scaled(&self, name: &str, stem: &str) -> Result<Option<Scaling>> {
        let stem = stem.to_string();
        let beside = |own: &str| format!("{stem}{own}");
        let further = ["weight_zero_point", "weight_scale_2", "weight_global_scale"];
        if further.iter().any(|own| self.shape(&beside(own)).is_some()) {
            return Ok(None);
        }
        let mut scales = SCALES.iter().map(|own| beside(own));
        let Some(scales) = scales.find(|own| self.shape(own).is_some()) else {
            return Ok(None);
        };
        if self.number(&scales).is_none_or(|number| !number.is_float()) {
            bail!("its scales {scales} are no floating-point numbers"; hint: "load the model in 16 bits and save it so");
        }
        let (shape, own) = (
            self.shape(name).unwrap_or_default(),
            self.shape(&scales).unwrap_or_default(),
        );
        let Some(block) = self.block(shape, own) else {
            return Err(Error::new(format!(
                "scales of shape {own:?} in {scales} for a weight of shape {shape:?}: the configuration does not say which belong together"
            ))
            .hint(ADVICE));
        };
        Ok(Some(Scaling {
            scales,
            block,
            factor: 1.0,
        }))
    }

    /// The rows and columns that share a scale.
    fn block(&self, shape: &[usize], scales: &[usize]) -> Option<[usize; 2]> {
        let rows = shape.first().copied().unwrap_or(1);
        let columns: usize = shape.iter().skip(1).product();
        match scales {
            all if all.iter().product::<usize>() == 1 => return Some([rows, columns]),
            [first, rest @ ..] if *first == rows && rest.iter().all(|n| *n == 1) => {
                return Some([1, columns]);
            }
            _ => {}
        }
        let (&[rows, columns], &[down, across]) = (shape, scales) else {
            return None;
        };
        let fits = |[r, c]: &[usize; 2]| {
            *r > 0 && *c > 0 && rows.div_ceil(*r) == down && columns.div_ceil(*c) == across
        };
        match self.settings.and_then(block_size) {
            Some(own) => Some(own).filter(fits),
            // The one that models are published with.
            None => Some([128, 128]).filter(fits),
        }
    }

    /// Whether whole numbers of 8 bits are multiplied by `weight_scale`.
    fn is_int_quantized(&self) -> bool {
        let settings = self.settings.unwrap_or(&Value::Null);
        settings["quant_method"] == "compressed-tensors" && settings["format"] == "int-quantized"
    }

    /// An error unless all but what is read is as it is.
    fn check(
        &self,
        read: &BTreeMap<String, Scaling>,
        is_weight: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let used: BTreeSet<&str> = read.values().map(|s| s.scales.as_str()).collect();
        let left = || {
            let all = self.files.iter().map(|(name, file)| (*name, *file));
            all.filter(|(name, _)| !used.contains(name) && !read.contains_key(*name))
        };
        for (end, scheme) in SIGNS {
            let is_sign = |name: &str| {
                // A name that other tensors may have.
                let packed = *end != "_blocks" || self.number(name) == Some(Number::U8);
                name.ends_with(end) && packed
            };
            if let Some((name, file)) = left().find(|(name, _)| is_sign(name)) {
                return Err(self.refusal(scheme, name, file));
            }
        }
        let whole = |name: &str| {
            let number = self.number(name)?;
            let codes = !number.is_float() && number != Number::Bool;
            let weight = name.ends_with("weight") || is_weight(name);
            (codes && weight).then_some(number)
        };
        if let Some((name, file, number)) = left().find_map(|(n, f)| Some((n, f, whole(n)?))) {
            let scheme = format!("whole numbers, {}", number.name());
            return Err(self.refusal(&scheme, name, file));
        }
        let is_float8 = |name: &str| self.number(name).is_some_and(Number::is_float8);
        let scaled = !read.is_empty() || self.settings.is_some();
        if scaled && let Some((name, file)) = left().find(|(name, _)| is_float8(name)) {
            return Err(self.refusal("floats of 8 bits without a scale", name, file));
        }
        match (self.settings, self.files.values().next()) {
            (Some(settings), Some(file)) if read.is_empty() => {
                let path = file.path();
                let error = Error::at_path(
                    path.parent().unwrap_or(path),
                    format!(
                        "its configuration says that its weights are quantised ({}), which is not supported",
                        named(settings)
                    ),
                );
                Err(error.hint(format!(
                    "{ADVICE}; if they are not, remove quantization_config from config.json"
                )))
            }
            _ => Ok(()),
        }
    }

    fn refusal(&self, scheme: &str, name: &str, file: &TensorFile) -> Error {
        let scheme = match self.settings {
            Some(settings) => format!("{}: {scheme}", named(settings)),
            None => scheme.to_string(),
        };
        Error::at_path(
            file.path(),
            format!("the weights are quantised ({scheme}), which is not supported; tensor {name} is one of them"),
        )
        .hint(ADVICE)
    }
}

/// What a config.json says of its quantisation.
fn settings(config: &Value) -> Option<&Value> {
    let keys = ["quantization_config", "compression_config"];
    let own = keys.iter().find_map(|key| config.get(*key));
    own.filter(|settings| settings.as_object().is_some_and(|all| !all.is_empty()))
}

/// The library or method that did it.
fn named(settings: &Value) -> String {
    let on = |key: &str| settings[key] == true;
    let method = settings["quant_method"].as_str();
    let bits = if on("load_in_4bit") || on("_load_in_4bit") {
        ", 4 bits"
    } else if on("load_in_8bit") || on("_load_in_8bit") {
        ", 8 bits"
    } else {
        ""
    };
    match method {
        Some(method) => format!("{method}{bits}"),
        None if !bits.is_empty() => format!("bitsandbytes{bits}"),
        None => "quantization_config".to_string(),
    }
}

/// The size of the blocks that share a scale, where the configuration says it.
fn block_size(settings: &Value) -> Option<[usize; 2]> {
    let pair = |value: &Value| -> Option<[usize; 2]> {
        serde_json::from_value::<[usize; 2]>(value.clone()).ok()
    };
    if let Some(own) = pair(&settings["weight_block_size"]) {
        return Some(own);
    }
    let groups = settings["config_groups"].as_object()?;
    let weights = groups.values().map(|group| &group["weights"]);
    weights.into_iter().find_map(|weights| {
        let group = weights["group_size"].as_u64().filter(|size| *size > 0);
        pair(&weights["block_structure"]).or(group.map(|size| [1, size as usize]))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::tensorfile::{Part, Streamed, write_streamed};

    type Bytes<'a> = (&'a str, Number, &'a [usize], Vec<u8>);

    fn file(folder: &Path, tensors: &[Bytes<'_>]) -> TensorFile {
        let streamed = tensors.iter().map(|(name, number, shape, bytes)| Streamed {
            name: name.to_string(),
            shape: shape.to_vec(),
            number: *number,
            parts: vec![Part {
                size: bytes.len(),
                make: Box::new(|| Ok(bytes.clone())),
            }],
        });
        let path = folder.join("model.safetensors");
        write_streamed(&path, streamed.collect(), None).unwrap();
        TensorFile::open(&path).unwrap()
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn made(config: Option<&Value>, tensors: &[Bytes<'_>]) -> Result<Vec<f32>> {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path(), tensors);
        let found = read(config, &[&file])?;
        let scaling = &found["a.weight"];
        let weight = scaling.apply(&file.get("a.weight")?, &file.get(&scaling.scales)?)?;
        Ok(weight.flatten_all()?.to_vec1()?)
    }

    #[test]
    fn codes_times_scales_are_weights() {
        let codes = vec![127, 0x81, 64, 0];
        let own = |scales: Bytes<'static>| {
            vec![
                ("a.weight", Number::I8, &[2usize, 2][..], codes.clone()),
                scales,
            ]
        };
        let scb = own(("a.SCB", Number::F32, &[2], floats(&[2.0, 0.5])));
        let found = made(None, &scb).unwrap();
        let expected = [2.0, -2.0, 64.0 / 254.0, 0.0];
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
        // Whole numbers with a scale of nobody's are refused, those of compressed-tensors are read.
        let scale = own(("a.weight_scale", Number::F32, &[2, 1], floats(&[2.0, 0.5])));
        assert!(made(None, &scale).is_err());
        let config = json!({"quantization_config":
            {"quant_method": "compressed-tensors", "format": "int-quantized"}});
        assert_eq!(
            made(Some(&config), &scale).unwrap(),
            [254.0, -254.0, 32.0, 0.0]
        );
    }

    #[test]
    fn scales_may_be_of_blocks() {
        // 0x38 is 1.
        let codes = ("a.weight", Number::F8E4M3, &[3usize, 2][..], vec![0x38; 6]);
        let of = |shape: &'static [usize], scales: &[f32], block: Value| {
            let config = json!({"quantization_config":
                {"quant_method": "fp8", "weight_block_size": block}});
            let scales = ("a.weight_scale_inv", Number::F32, shape, floats(scales));
            made(Some(&config), &[codes.clone(), scales])
        };
        let found = of(&[2, 2], &[1.0, 2.0, 3.0, 4.0], json!([2, 1])).unwrap();
        assert_eq!(found, [1.0, 2.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(of(&[1, 1], &[2.0], json!([128, 128])).unwrap(), [2.0; 6]);
        assert_eq!(of(&[], &[3.0], Value::Null).unwrap(), [3.0; 6]);
        assert!(of(&[2, 2], &[1.0; 4], Value::Null).is_err());
    }

    #[test]
    fn all_others_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let message = |config: Option<&Value>, name: &str, number: Number| {
            let bytes = vec![0; 4 * number.size()];
            let file = file(folder.path(), &[(name, number, &[2, 2], bytes)]);
            read(config, &[&file]).err().map(|e| e.to_string())
        };
        for (end, scheme) in SIGNS {
            let name = format!("layer{end}");
            let found = message(None, &name, Number::U8).unwrap();
            assert!(found.contains(scheme), "{found}");
            assert!(found.contains("16 bits"), "{found}");
        }
        for number in [Number::I8, Number::U8, Number::I32, Number::I64] {
            assert!(message(None, "layer.weight", number).is_some());
        }
        let plain = ["position_ids", "attn.bias", "blocks.0.bias"];
        assert!(
            plain
                .iter()
                .all(|n| message(None, n, Number::I64).is_none())
        );
        assert!(message(None, "layer.weight", Number::F8E4M3).is_none());
        for method in ["gptq", "awq", "bitsandbytes", "torchao", "mxfp4", "hqq"] {
            let config = json!({"quantization_config": {"quant_method": method}});
            let found = message(Some(&config), "layer.weight", Number::F16).unwrap();
            assert!(found.contains(method), "{found}");
            let found = message(Some(&config), "layer.weight", Number::F8E4M3).unwrap();
            assert!(found.contains(method), "{found}");
        }
        for config in [json!({"quantization_config": null}), json!({})] {
            assert!(message(Some(&config), "layer.weight", Number::F16).is_none());
        }
    }
}
