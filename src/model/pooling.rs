//! How a text's token states make its embedding, as sentence-transformers folders say.

use std::path::{Component, Path, PathBuf};

use candle_core::{D, Tensor};
use serde_json::Value;

use crate::compute::Mask;
use crate::{Error, Result, bail};

/// A way from token states to one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    First,
    Last,
    Mean,
    /// The sum over the square root of the number of tokens.
    MeanSqrt,
    Max,
}

/// The fields of `1_Pooling/config.json`, in the order their vectors are joined.
const MODES: &[(&str, Mode)] = &[
    ("pooling_mode_cls_token", Mode::First),
    ("pooling_mode_max_tokens", Mode::Max),
    ("pooling_mode_mean_tokens", Mode::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", Mode::MeanSqrt),
    ("pooling_mode_lasttoken", Mode::Last),
];

/// How token states make an embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooling {
    modes: Vec<Mode>,
    normalise: bool,
    /// Where texts are cut, in tokens, if the folder says.
    max_length: Option<usize>,
}

impl Default for Pooling {
    /// The mean of the unmasked states, normalised to length 1: what MiniLM's folders say, and
    /// what a model without such a folder gets.
    fn default() -> Self {
        Self {
            modes: vec![Mode::Mean],
            normalise: true,
            max_length: None,
        }
    }
}

impl Pooling {
    /// What a folder's `modules.json` says, with the folder of the transformer itself; the
    /// default where there is none. Errors on modules that are not known here.
    pub fn of_folder(folder: &Path) -> Result<(PathBuf, Self)> {
        let path = folder.join("modules.json");
        if !path.is_file() {
            return Ok((folder.to_path_buf(), Self::default()));
        }
        let json = read_json(&path)?;
        let Some(modules) = json.as_array() else {
            bail!("{}: not a list of modules", path.display());
        };
        let (mut own, mut modes, mut normalise) = (folder.to_path_buf(), None, false);
        for module in modules {
            let kind = module["type"].as_str().unwrap_or_default();
            let place = inside(folder, module["path"].as_str().unwrap_or_default())?;
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => own = place,
                "Pooling" => modes = Some(read_modes(&place.join("config.json"))?),
                "Normalize" => normalise = true,
                _ => bail!(
                    "{}: module {kind:?} is not supported; known: Transformer, Pooling, Normalize",
                    path.display()
                ),
            }
        }
        let pooling = Self {
            modes: modes.unwrap_or_else(|| Self::default().modes),
            normalise,
            max_length: read_length(&own.join("sentence_bert_config.json"))?,
        };
        Ok((own, pooling))
    }

    /// Where texts are cut, in tokens, if the folder says.
    pub fn max_length(&self) -> Option<usize> {
        self.max_length
    }

    /// Embeddings [batch, width] of states [batch, seq, hidden]; with several modes their vectors
    /// side by side.
    pub fn apply(&self, states: &Tensor, mask: &Mask) -> Result<Tensor> {
        let each = self.modes.iter().map(|mode| mode.apply(states, mask));
        let joined = Tensor::cat(&each.collect::<Result<Vec<_>>>()?, 1)?;
        if !self.normalise {
            return Ok(joined);
        }
        let norm = joined.sqr()?.sum_keepdim(1)?.sqrt()?;
        Ok(joined.broadcast_div(&norm.clamp(1e-12, f64::MAX)?)?)
    }
}

impl Mode {
    fn apply(self, states: &Tensor, mask: &Mask) -> Result<Tensor> {
        let (rows, seq, width) = states.dims3()?;
        let weights = mask.to_tensor(states.dtype(), states.device())?;
        let count = weights.sum_keepdim(D::Minus1)?.clamp(1e-9, f64::MAX)?;
        let sum =
            || -> Result<Tensor> { Ok(states.broadcast_mul(&weights.unsqueeze(2)?)?.sum(1)?) };
        Ok(match self {
            Self::First => states.narrow(1, 0, 1)?.squeeze(1)?,
            Self::Last => {
                let last = |row: usize| (row * seq + mask.length(row).max(1) - 1) as u32;
                let places: Vec<u32> = (0..rows).map(last).collect();
                let places = Tensor::new(places, states.device())?;
                states
                    .reshape((rows * seq, width))?
                    .index_select(&places, 0)?
            }
            Self::Mean => sum()?.broadcast_div(&count)?,
            Self::MeanSqrt => sum()?.broadcast_div(&count.sqrt()?)?,
            Self::Max => {
                let hidden = ((weights - 1.0)? * 1e9)?.unsqueeze(2)?;
                states.broadcast_add(&hidden)?.max(1)?
            }
        })
    }
}

/// What a transformer's own settings among the modules say of the length of texts.
fn read_length(path: &Path) -> Result<Option<usize>> {
    if !path.is_file() {
        return Ok(None);
    }
    let json = read_json(path)?;
    if json["do_lower_case"] == true {
        bail!("{}: do_lower_case = true is not supported", path.display());
    }
    match &json["max_seq_length"] {
        Value::Null => Ok(None),
        value => match value.as_u64().filter(|n| *n > 1) {
            Some(n) => Ok(usize::try_from(n).ok()),
            None => bail!("{}: max_seq_length is {value}", path.display()),
        },
    }
}

fn read_modes(path: &Path) -> Result<Vec<Mode>> {
    let json = read_json(path)?;
    let Some(fields) = json.as_object() else {
        bail!("{}: not an object", path.display());
    };
    for (field, value) in fields {
        let known = MODES.iter().any(|(name, _)| name == field);
        if field.starts_with("pooling_mode_") && value == true && !known {
            bail!("{}: {field} is not supported", path.display());
        }
    }
    let on = |(name, _): &&(&str, Mode)| fields.get(*name).is_some_and(|v| v == true);
    let modes: Vec<Mode> = MODES.iter().filter(on).map(|(_, mode)| *mode).collect();
    match modes.is_empty() {
        true => Err(Error::at_path(path, "no pooling mode is on")),
        false => Ok(modes),
    }
}

/// A folder named in a file from elsewhere must lie within.
fn inside(folder: &Path, own: &str) -> Result<PathBuf> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    match Path::new(own).components().all(plain) {
        true => Ok(folder.join(own)),
        false => bail!("{}: {own:?} leads out of the folder", folder.display()),
    }
}

fn read_json(path: &Path) -> Result<Value> {
    let bytes = crate::input::read(path)?;
    serde_json::from_slice(crate::text::unmarked_bytes(&bytes))
        .map_err(|e| Error::at_path(path, format!("not valid JSON: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn unscaled() -> Pooling {
        Pooling {
            normalise: false,
            ..Pooling::default()
        }
    }

    fn states() -> (Tensor, Mask) {
        let values = [[[3f32, 0.0], [1.0, 4.0], [9.0, 9.0]]];
        let states = Tensor::new(&values, &Device::Cpu).unwrap();
        (states, Mask::from_lengths(&[2], 3))
    }

    #[test]
    fn every_mode_reads_unmasked_tokens_only() {
        let (states, mask) = states();
        let of = |mode| {
            let pooling = Pooling {
                modes: vec![mode],
                ..unscaled()
            };
            pooling
                .apply(&states, &mask)
                .unwrap()
                .to_vec2::<f32>()
                .unwrap()[0]
                .clone()
        };
        assert_eq!(of(Mode::First), [3.0, 0.0]);
        assert_eq!(of(Mode::Last), [1.0, 4.0]);
        assert_eq!(of(Mode::Mean), [2.0, 2.0]);
        assert_eq!(of(Mode::Max), [3.0, 4.0]);
        assert_eq!(of(Mode::MeanSqrt), [4.0 / 2f32.sqrt(), 4.0 / 2f32.sqrt()]);
    }

    #[test]
    fn a_folder_says_how() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let (own, plain) = Pooling::of_folder(folder.path()).unwrap();
        assert_eq!((own.as_path(), plain), (folder.path(), Pooling::default()));
        write(
            "modules.json",
            r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
                {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#,
        );
        write(
            "1_Pooling/config.json",
            r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#,
        );
        let (_, found) = Pooling::of_folder(folder.path()).unwrap();
        assert_eq!(
            found,
            Pooling {
                modes: vec![Mode::First],
                ..unscaled()
            }
        );
        write(
            "sentence_bert_config.json",
            r#"{"max_seq_length": 128, "do_lower_case": false}"#,
        );
        let (_, found) = Pooling::of_folder(folder.path()).unwrap();
        assert_eq!(found.max_length(), Some(128));
        write(
            "sentence_bert_config.json",
            r#"{"max_seq_length": 128, "do_lower_case": true}"#,
        );
        let message = Pooling::of_folder(folder.path()).unwrap_err().to_string();
        assert!(message.contains("do_lower_case"), "{message}");
        write("sentence_bert_config.json", r#"{"max_seq_length": null}"#);
        write(
            "1_Pooling/config.json",
            r#"{"pooling_mode_weightedmean_tokens": true}"#,
        );
        let message = Pooling::of_folder(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("pooling_mode_weightedmean_tokens is not supported"),
            "{message}"
        );
        write(
            "modules.json",
            r#"[{"path": "../x", "type": "a.Transformer"}]"#,
        );
        let message = Pooling::of_folder(folder.path()).unwrap_err().to_string();
        assert!(message.contains("leads out"), "{message}");
    }
}
