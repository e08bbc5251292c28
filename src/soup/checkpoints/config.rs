//! The recipe of a merge of whole models, as mergekit's YAML writes it.
//!
//! Source: mergekit 0.1.5, `config.py` and the parameters of its methods.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::tensorfile::Number;
use crate::{Error, Result, bail};

use super::super::method::{self, On, Spec, Work};
use super::super::settings::{Setting, Settings};

/// Settings by name, as written.
type Parameters = BTreeMap<String, Value>;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    models: Vec<Source>,
    #[serde(default)]
    slices: Vec<Slice>,
    merge_method: String,
    /// What changes are measured from.
    pub base_model: Option<String>,
    dtype: Option<String>,
    out_dtype: Option<String>,
    /// Whose tokenizer the result has: `base`, or a model.
    pub tokenizer_source: Option<String>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slice {
    sources: Vec<Source>,
    base_model: Option<String>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    model: String,
    layer_range: Option<(usize, usize)>,
    #[serde(default)]
    parameters: Parameters,
}

/// A run of layers of the result, and how it is mixed.
#[derive(Debug)]
pub struct Blend {
    /// The method; none where one model is taken as it is.
    pub spec: &'static Spec,
    /// The method with its settings.
    pub work: Work,
    /// The settings, defaults filled in.
    pub settings: Settings,
    /// The members in order: model, and its first layer here.
    pub members: Vec<(String, usize)>,
    /// What each weighs.
    pub weights: Vec<Setting>,
    /// What changes are measured from, and its first layer here.
    pub base: Option<(String, usize)>,
    /// How many layers; none for all.
    pub layers: Option<usize>,
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = crate::text::read(path)?;
        Self::parse(&text).map_err(|e| e.within(path.display()))
    }

    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = serde_saphyr::from_str(text).map_err(|e| {
            let message = e.to_string();
            let line = message.lines().next().unwrap_or_default();
            Error::new(line.trim_start_matches("error: ").to_string())
        })?;
        match (config.models.is_empty(), config.slices.is_empty()) {
            (true, true) => bail!("neither models nor slices"),
            (false, false) => bail!("both models and slices; give one of them"),
            _ => {}
        }
        if let Some(name) = config.models_named().iter().find(|m| m.contains('+')) {
            bail!(
                "{name:?}: adapters are not merged into a model here";
                hint: "merge the adapters: tureen soup A B"
            );
        }
        Ok(config)
    }

    /// All models that it names, the base first.
    pub fn models_named(&self) -> Vec<String> {
        let sliced = self.slices.iter().flat_map(|s| {
            let sources = s.sources.iter().map(|s| &s.model);
            s.base_model.iter().chain(sources)
        });
        let listed = self.models.iter().map(|m| &m.model);
        let mut all: Vec<String> = Vec::new();
        for name in self.base_model.iter().chain(listed).chain(sliced) {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        all
    }

    /// The type of the numbers written; none for the first model's own.
    pub fn number(&self) -> Result<Option<Number>> {
        let Some(name) = self.out_dtype.as_ref().or(self.dtype.as_ref()) else {
            return Ok(None);
        };
        match Number::of_torch(name) {
            Some(number) => Ok(Some(number)),
            None => bail!("dtype {name:?}; known: float32, float16, bfloat16"),
        }
    }

    /// Its method's name.
    pub fn method(&self) -> &str {
        &self.merge_method
    }

    /// Whether layers are taken from here and there.
    pub fn is_sliced(&self) -> bool {
        !self.slices.is_empty()
    }

    /// The runs of layers, in the result's order.
    pub fn blends(&self, seed: u64) -> Result<Vec<Blend>> {
        if !self.is_sliced() {
            return Ok(vec![self.blend(&self.models, None, None, seed)?]);
        }
        let one = |(i, slice): (usize, &Slice)| {
            let levels = Some(&slice.parameters);
            self.blend(&slice.sources, levels, slice.base_model.as_ref(), seed)
                .map_err(|e| e.within(format!("slice {}", i + 1)))
        };
        self.slices.iter().enumerate().map(one).collect()
    }

    fn blend(
        &self,
        sources: &[Source],
        own: Option<&Parameters>,
        base: Option<&String>,
        seed: u64,
    ) -> Result<Blend> {
        let base = base.or(self.base_model.as_ref());
        let method = Method::find(&self.merge_method)?;
        let layers = layers(sources)?;
        if let Some(source) = sources
            .iter()
            .find(|s| self.is_sliced() && s.layer_range.is_none())
        {
            bail!("{} has no layer_range", source.model);
        }
        let first = |source: &Source| source.layer_range.map_or(0, |r| r.0);
        let is_base = |source: &&Source| Some(&source.model) == base;
        let of_base = sources.iter().find(is_base);
        let from_base = method.spec.on != On::Values;
        let base_at = match (from_base || method.spec.name == "slerp", base) {
            (false, Some(name)) if of_base.is_none() => bail!(
                "base_model {name:?} plays no part in {}", self.merge_method;
                hint: "list it under models, or leave it out"
            ),
            (false, _) => None,
            (true, None) => bail!("{} needs a base_model", self.merge_method),
            (true, Some(name)) => {
                let start = of_base.or(sources.first()).map_or(0, first);
                Some((name.clone(), start))
            }
        };
        let mut used: Vec<&Source> = match from_base {
            true => sources.iter().filter(|s| !is_base(s)).collect(),
            false => sources.iter().collect(),
        };
        if method.spec.name == "slerp" {
            // From the base towards the other.
            used.sort_by_key(|s| !is_base(s));
            if used.len() != 2 || !is_base(&used[0]) {
                bail!("slerp takes two models, one of them the base_model");
            }
        }
        if used.is_empty() || used.len() > method.most {
            bail!("{} models for {}", used.len(), self.merge_method);
        }
        let levels = |source: Option<&Source>| -> Vec<Parameters> {
            let levels = [source.map(|s| &s.parameters), own, Some(&self.parameters)];
            levels.into_iter().flatten().cloned().collect()
        };
        method.check(&levels(None), false)?;
        for source in &used {
            method
                .check(std::slice::from_ref(&source.parameters), true)
                .map_err(|e| e.within(&source.model))?;
        }
        let settings =
            method.settings(&used.iter().map(|s| levels(Some(s))).collect::<Vec<_>>())?;
        let mut settings = method.spec.complete(settings, used.len())?;
        if method.spec.random {
            settings.seed = Some(seed);
        }
        let weights = used.iter().map(|source| {
            let missing = || {
                Error::new(format!("{} has no weight", source.model))
                    .hint("give it `parameters: {weight: ...}`, or all of them one")
            };
            match method.weight {
                None if method.spec.share => Ok(Setting::Number(1.0 / used.len() as f64)),
                None => Ok(Setting::Number(1.0)),
                Some((name, default)) => {
                    let default = default.map(Setting::Number);
                    chain(&levels(Some(source)), name, default)?.ok_or_else(missing)
                }
            }
        });
        Ok(Blend {
            spec: method.spec,
            work: (method.spec.make)(&settings)?,
            weights: weights.collect::<Result<_>>()?,
            members: used.iter().map(|s| (s.model.clone(), first(s))).collect(),
            base: base_at.filter(|_| from_base),
            settings,
            layers,
        })
    }
}

/// The number of layers that all sources give; none for all they have.
fn layers(sources: &[Source]) -> Result<Option<usize>> {
    let mut count = None;
    for source in sources {
        let Some((from, to)) = source.layer_range else {
            continue;
        };
        if to <= from {
            bail!("{}: layer_range [{from}, {to}] is empty", source.model);
        }
        match count {
            Some(before) if before != to - from => bail!(
                "{}: layer_range [{from}, {to}] has {} layers, that of {} has {before}",
                source.model,
                to - from,
                sources[0].model
            ),
            _ => count = Some(to - from),
        }
    }
    Ok(count)
}

/// A method of mergekit's as one of ours.
struct Method {
    spec: &'static Spec,
    /// The name of the weights there, and what holds without.
    weight: Option<(&'static str, Option<f64>)>,
    /// Names there, and here.
    numbers: Vec<(&'static str, &'static str)>,
    flags: Vec<(&'static str, bool)>,
    words: Vec<(&'static str, &'static str)>,
    rescales: Option<bool>,
    most: usize,
}

/// Settings of mergekit that change how it computes but not what.
const INDIFFERENT: &[&str] = &["int8_mask"];

/// Settings of mergekit's for what is not done here, with the methods that have them: they may be
/// off, as they are without being named.
const OFF: &[(&str, &[&str])] = &[
    (
        "rescale",
        &["ties", "task_arithmetic", "breadcrumbs", "breadcrumbs_ties"],
    ),
    ("filter_wise", &["model_stock"]),
];

/// Numbers that all models share.
const SHARED: &[&str] = &["lambda", "t", "max_iter", "select_topk"];

impl Method {
    fn find(name: &str) -> Result<Self> {
        let weight = Some(("weight", None));
        let plain = |name: &str| -> Result<Self> {
            Ok(Self {
                spec: Spec::find(name)?,
                weight,
                numbers: Vec::new(),
                flags: Vec::new(),
                words: Vec::new(),
                rescales: None,
                most: usize::MAX,
            })
        };
        let changes = |ours: &str, normalize: bool, numbers: &[&'static str]| -> Result<Self> {
            Ok(Self {
                numbers: numbers.iter().map(|n| (*n, *n)).collect(),
                flags: vec![("normalize", normalize)],
                ..plain(ours)?
            })
        };
        let elected = vec![("rule", "mergekit")];
        Ok(match name {
            "linear" => changes("linear", true, &[])?,
            "passthrough" => Self {
                weight: Some(("scale", Some(1.0))),
                most: 1,
                ..plain("linear")?
            },
            "task_arithmetic" => changes("task_arithmetic", false, &["lambda"])?,
            "ties" => Self {
                words: elected,
                ..changes("ties", true, &["density", "lambda"])?
            },
            "dare_linear" => Self {
                rescales: Some(true),
                ..changes("dare", false, &["density", "lambda"])?
            },
            "dare_ties" => Self {
                words: elected,
                rescales: Some(true),
                ..changes("dare_ties", false, &["density", "lambda"])?
            },
            "della" => Self {
                rescales: Some(true),
                ..changes("della", true, &["density", "epsilon", "lambda"])?
            },
            "della_linear" => Self {
                rescales: Some(true),
                ..changes("della_linear", false, &["density", "epsilon", "lambda"])?
            },
            "breadcrumbs" => changes("breadcrumbs", false, &["density", "gamma", "lambda"])?,
            "breadcrumbs_ties" => {
                changes("breadcrumbs_ties", false, &["density", "gamma", "lambda"])?
            }
            "slerp" => Self {
                weight: None,
                numbers: vec![("t", "t")],
                ..plain("slerp")?
            },
            "karcher" => Self {
                weight: None,
                numbers: vec![("max_iter", "max_iter")],
                ..plain("karcher")?
            },
            "model_stock" => Self {
                weight: None,
                ..plain("model_stock")?
            },
            "sce" => Self {
                weight: None,
                numbers: vec![("select_topk", "density")],
                ..plain("sce")?
            },
            _ => bail!(
                "merge_method {name:?} is not supported";
                hint: "linear, passthrough, task_arithmetic, ties, dare_linear, dare_ties, della, della_linear, breadcrumbs, breadcrumbs_ties, slerp, karcher, model_stock, sce"
            ),
        })
    }

    /// An error for a name that the method does not know, or that is no model's own.
    fn check(&self, levels: &[Parameters], of_model: bool) -> Result<()> {
        for (name, value) in levels.iter().flatten() {
            let name = name.as_str();
            let known = |(off, methods): &&(&str, &[&str])| {
                *off == name && methods.contains(&self.spec.name)
            };
            if OFF.iter().any(|off| known(&off)) {
                match value {
                    Value::Bool(false) => continue,
                    _ => bail!("{name}: {value} is not supported for {}", self.spec.name),
                }
            }
            let number = self.numbers.iter().any(|(n, _)| *n == name);
            let flag = self.flags.iter().any(|(n, _)| *n == name)
                || name == "rescale" && self.rescales.is_some();
            let weight = self.weight.is_some_and(|(n, _)| n == name);
            if of_model && (flag || number && SHARED.contains(&name)) {
                bail!("{name} is for all models: put it under the parameters of the whole");
            }
            if !number && !flag && !weight && !INDIFFERENT.contains(&name) {
                let numbers = self.numbers.iter().map(|(n, _)| *n);
                let flags = self.flags.iter().map(|(n, _)| *n);
                let rescale = self.rescales.map(|_| "rescale");
                let weight = self.weight.map(|(n, _)| n);
                let known: Vec<&str> = weight
                    .into_iter()
                    .chain(numbers)
                    .chain(flags)
                    .chain(rescale)
                    .collect();
                bail!("unknown parameter {name}"; hint: "the method takes {}", known.join(", "));
            }
        }
        Ok(())
    }

    /// The settings that the levels of each member give.
    fn settings(&self, members: &[Vec<Parameters>]) -> Result<Settings> {
        let mut settings = Settings::default();
        for (theirs, ours) in &self.numbers {
            let default = self.spec.numbers.iter().find(|n| n.name == *ours);
            // What mergekit does without a density: nothing is trimmed.
            let default = || default.map(|n| Setting::Number(untrimmed(n)));
            let own = members
                .iter()
                .map(|levels| chain(levels, theirs, default()))
                .collect::<Result<Option<Vec<_>>>>()?;
            if let Some(mut own) = own {
                if SHARED.contains(theirs) || own.iter().all(|s| *s == own[0]) {
                    own.truncate(1);
                }
                settings.numbers.insert(ours, own);
            }
        }
        for (name, default) in &self.flags {
            settings
                .flags
                .insert(name, flag(members, name)?.unwrap_or(*default));
        }
        settings.words.extend(self.words.iter().copied());
        if let Some(default) = self.rescales {
            let rescale = flag(members, "rescale")?.unwrap_or(default);
            settings
                .words
                .insert("rescale", if rescale { "l1" } else { "none" });
        }
        Ok(settings)
    }
}

/// What mergekit uses where a number is not given.
fn untrimmed(number: &method::Number) -> f64 {
    number
        .default
        .filter(|_| number.name != "density")
        .unwrap_or(1.0)
}

/// A yes or no of the whole.
fn flag(members: &[Vec<Parameters>], name: &str) -> Result<Option<bool>> {
    let levels = members.first().map_or(&[][..], |m| &m[..]);
    match levels.iter().find_map(|level| level.get(name)) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => bail!("{name}: expected true or false, got {other}"),
    }
}

/// A setting of the first level that has it; where its filters do not reach, of the next.
fn chain(levels: &[Parameters], name: &str, default: Option<Setting>) -> Result<Option<Setting>> {
    let mut lower = default;
    for level in levels.iter().rev() {
        let Some(value) = level.get(name) else {
            continue;
        };
        let own = Setting::read(value).map_err(|e| e.within(name))?;
        lower = Some(match (own, lower) {
            (Setting::Filters(mut filters), Some(lower)) => {
                filters.push(("*".into(), lower));
                Setting::Filters(filters)
            }
            (own, _) => own,
        });
    }
    Ok(lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soup::Place;

    fn one(text: &str) -> Result<Blend> {
        Ok(Config::parse(text)?.blends(0)?.remove(0))
    }

    fn message(text: &str) -> String {
        one(text).unwrap_err().to_string()
    }

    #[test]
    fn parameters_of_models_come_before_those_of_the_whole() {
        let blend = one("
models:
  - model: a
  - model: b
    parameters:
      density: [0.2, 0.4]
      weight:
        - filter: mlp
          value: 0.5
  - model: c
merge_method: ties
base_model: a
parameters:
  weight: 1.5
  density: 0.3
  int8_mask: true
  rescale: false
dtype: float16
")
        .unwrap();
        assert_eq!(blend.members, [("b".to_string(), 0), ("c".to_string(), 0)]);
        assert_eq!(blend.base, Some(("a".to_string(), 0)));
        let at = |name, depth| Place { name, depth };
        let weight = |i: usize, name| blend.weights[i].at(at(name, 0.0)).unwrap();
        assert_eq!((weight(0, "x.mlp.up"), weight(0, "x.attn")), (0.5, 1.5));
        assert_eq!(weight(1, "x.mlp.up"), 1.5);
        let density = |i, depth| blend.settings.number("density", i, at("x", depth)).unwrap();
        assert_eq!(
            (density(0, 0.5), density(1, 0.5)),
            (0.30000000000000004, 0.3)
        );
        assert!(blend.settings.flag("normalize"));
        assert_eq!(blend.settings.word("rule"), "mergekit");
    }

    #[test]
    fn slerp_goes_from_the_base() {
        let blend = one("
slices:
  - sources:
      - {model: a, layer_range: [0, 4]}
      - {model: b, layer_range: [2, 6]}
merge_method: slerp
base_model: b
parameters:
  t: [{filter: self_attn, value: [0, 1]}, {value: 0.5}]
dtype: bfloat16
")
        .unwrap();
        assert_eq!(blend.members, [("b".to_string(), 2), ("a".to_string(), 0)]);
        assert_eq!((blend.layers, blend.base), (Some(4), None));
    }

    #[test]
    fn what_cannot_be_merged_is_said() {
        let two = "models: [{model: a}, {model: b}]\n";
        for (text, expected) in [
            (
                "merge_method: linear\n".to_string(),
                "neither models nor slices",
            ),
            (format!("{two}merge_method: linear\n"), "a has no weight"),
            (
                format!("{two}merge_method: nuslerp\n"),
                "\"nuslerp\" is not supported",
            ),
            (
                format!("{two}merge_method: ties\nparameters: {{weight: 1}}\n"),
                "needs a base_model",
            ),
            (
                format!("{two}merge_method: linear\nparameters: {{wieght: 1}}\n"),
                "unknown parameter wieght",
            ),
            (
                format!("{two}merge_method: linear\nbase_model: c\nparameters: {{weight: 1}}\n"),
                "plays no part",
            ),
            (
                format!("{two}merge_method: linear\nmodules: {{}}\n"),
                "modules",
            ),
            (
                format!(
                    "{two}merge_method: ties\nbase_model: a\nparameters: {{weight: 1, rescale: true}}\n"
                ),
                "rescale: true is not supported for ties",
            ),
            (
                format!("{two}merge_method: linear\nparameters: {{weight: 1, rescale: false}}\n"),
                "unknown parameter rescale",
            ),
            (format!("{two}merge_method: slerp\n"), "needs a base_model"),
            (
                "models: [{model: a+b}]\nmerge_method: linear\n".into(),
                "adapters are not merged",
            ),
            ("models: [\n".into(), ""),
        ] {
            let message = message(&text);
            assert!(message.contains(expected), "{text}: {message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}
