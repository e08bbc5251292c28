//! The heads of transformers' task models, as PEFT saves them beside an adapter.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::adapter::head::{Form, Head, Labels, Layers};
use crate::adapter::source::FileTensors;
use crate::adapter::tensors::{Name, Tensors};
use crate::model::{Architecture, Model};
use crate::tensorfile::Planned;
use crate::{Error, Result, bail};

use super::ROOT;
use super::names::Home;

/// A classifier of transformers: the modules of its linear maps, in order, and what it is in
/// AdapterHub's terms.
struct Classifier {
    model_types: &'static [&'static str],
    /// Module names here and AdapterHub's numbers.
    maps: &'static [(&'static str, usize)],
    activation: Option<&'static str>,
    /// The norm after the activation, where the maps before the last and it have no biases.
    norm: Option<(&'static str, usize)>,
    pooler: bool,
    bias: bool,
    /// What `modules_to_save` calls them.
    saved: &'static [&'static str],
}

const CLASSIFIERS: &[Classifier] = &[
    // With the pooler trained, too, it is the same as a dense map with tanh.
    Classifier {
        model_types: &["bert"],
        maps: &[("bert.pooler.dense", 1), ("classifier", 4)],
        activation: Some("tanh"),
        norm: None,
        pooler: false,
        bias: true,
        saved: &["pooler", "classifier"],
    },
    Classifier {
        model_types: &["roberta", "xlm-roberta", "mpnet"],
        maps: &[("classifier.dense", 1), ("classifier.out_proj", 4)],
        activation: Some("tanh"),
        norm: None,
        pooler: false,
        bias: true,
        saved: &["classifier"],
    },
    Classifier {
        model_types: &["electra"],
        maps: &[("classifier.dense", 1), ("classifier.out_proj", 4)],
        activation: Some("gelu"),
        norm: None,
        pooler: false,
        bias: true,
        saved: &["classifier"],
    },
    Classifier {
        model_types: &["distilbert"],
        maps: &[("pre_classifier", 1), ("classifier", 4)],
        activation: Some("relu"),
        norm: None,
        pooler: false,
        bias: true,
        saved: &["pre_classifier", "classifier"],
    },
    Classifier {
        model_types: &["deberta-v2"],
        maps: &[("pooler.dense", 1), ("classifier", 4)],
        activation: Some("gelu"),
        norm: None,
        pooler: false,
        bias: true,
        saved: &["pooler", "classifier"],
    },
    Classifier {
        model_types: &["modernbert"],
        maps: &[("head.dense", 1), ("classifier", 5)],
        activation: Some("gelu"),
        norm: Some(("head.norm", 3)),
        pooler: false,
        bias: true,
        saved: &["head", "classifier"],
    },
    Classifier {
        model_types: &["gpt2", ""],
        maps: &[("score", 1)],
        activation: None,
        norm: None,
        pooler: false,
        bias: false,
        saved: &["score"],
    },
    Classifier {
        model_types: &["bert", "deberta-v2", "modernbert"],
        maps: &[("classifier", 1)],
        activation: None,
        norm: None,
        pooler: true,
        bias: true,
        saved: &["classifier"],
    },
];

impl Classifier {
    fn form(&self) -> Form {
        Form::Classifier(Layers {
            layers: self.maps.len(),
            activation: self.activation.map(str::to_string),
            bias: self.bias,
            pooler: self.pooler,
            norm: self.norm.is_some(),
            inner_bias: self.norm.is_none(),
            dropout: None,
        })
    }

    /// The same but for dropout and, of a single map, the activation it would not use.
    fn is(&self, form: &Form) -> bool {
        let Form::Classifier(own) = form else {
            return false;
        };
        own.layers == self.maps.len()
            && (own.layers == 1 || own.activation.as_deref() == self.activation)
            && own.pooler == self.pooler
            && own.bias == self.bias
            && own.norm == self.norm.is_some()
            && (own.layers == 1 || own.inner_bias == self.norm.is_none())
    }

    /// Its modules that have tensors, with their numbers.
    fn modules(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.maps.iter().copied().chain(self.norm)
    }

    /// The classifier of such a model that has all its modules.
    fn of(model_type: &str, has: impl Fn(&str) -> bool) -> Option<&'static Self> {
        CLASSIFIERS.iter().find(|c| {
            let all = c.modules().all(|(module, _)| has(module));
            c.model_types.contains(&model_type) && all
        })
    }

    /// The name here of a tensor of its modules.
    fn own_name(&self, full: &str) -> Option<Name> {
        self.modules().find_map(|(module, number)| {
            let part = full.strip_prefix(module)?.strip_prefix('.')?;
            let plain = part == "weight" || part == "bias";
            plain.then(|| Name::new(format!("heads.{number}.{part}")))
        })
    }

    /// The head of these tensors; its labels by number, where no names are given.
    fn head(&self, tensors: Tensors, names: Option<Vec<String>>) -> Result<Head> {
        let last = self.maps.last().map_or(1, |(_, number)| *number);
        let weight = Name::new(format!("heads.{last}.weight"));
        let outputs = match tensors.get(&weight) {
            Some(t) => t.dim(0)?,
            None => bail!("the head has no {weight}"),
        };
        let labels = match names.filter(|names| names.len() == outputs) {
            _ if outputs == 1 => Labels::Number,
            Some(names) => Labels::from_names(names),
            None => Labels::Counted(outputs),
        };
        let head = Head {
            name: String::new(),
            dataset: None,
            labels,
            form: self.form(),
            tensors,
        };
        head.validate()?;
        Ok(head)
    }
}

/// What the classifier of transformers' task models of this type is made of; none where it is not
/// known.
pub fn form_of(model_type: &str) -> Option<Form> {
    let known = |c: &&Classifier| c.model_types.contains(&model_type);
    CLASSIFIERS.iter().find(known).map(Classifier::form)
}

/// The classifier that a task model carries, in AdapterHub's terms; none where it has none, or one
/// that is not known.
pub fn of_model(model: &Model) -> Result<Option<Head>> {
    let (config, name) = (model.config(), model.name().to_string());
    let head = of_tensors(&config.model_type, model.classifier(), config.labels())?;
    Ok(head.map(|head| Head { name, ..head }))
}

/// The classifier of a task model of this type whose head has these tensors, by full name; its
/// labels by number, where no names are given. None where it is not known.
pub fn of_tensors(
    model_type: &str,
    found: &BTreeMap<String, Tensor>,
    names: Option<Vec<String>>,
) -> Result<Option<Head>> {
    let has = |module: &str| found.contains_key(&format!("{module}.weight"));
    let Some(known) = Classifier::of(model_type, has) else {
        return Ok(None);
    };
    let own = |(full, t): (&String, &Tensor)| Some((known.own_name(full)?, t.clone()));
    known
        .head(found.iter().filter_map(own).collect(), names)
        .map(Some)
}

/// Takes the head's tensors out of `tensors`. A causal language model has its base's own table of
/// tokens for a head.
pub fn read(tensors: &mut FileTensors, home: &Home, task: Option<&str>) -> Result<Option<Head>> {
    let has = |module: &str| {
        let name = Name::new(format!("{module}.weight"));
        tensors.shapes().contains_key(&name)
    };
    if let Some(known) = Classifier::of(&home.model_type, has) {
        let own = tensors.take(|name| known.own_name(name.as_str()))?;
        return known.head(own, None).map(Some);
    }
    if task == Some("CAUSAL_LM") && home.model_type == "gpt2" {
        return Ok(Some(Head {
            name: String::new(),
            dataset: None,
            labels: Labels::Tokens(0),
            form: Form::NextToken(Layers {
                layers: 1,
                activation: None,
                bias: false,
                ..Layers::default()
            }),
            tensors: Tensors::new(),
        }));
    }
    Ok(None)
}

/// Adds the head's tensors to `planned`: the kind of task and the modules that are saved with the
/// adapter. An error where transformers' classifier of that architecture is another.
pub fn write(
    head: &Head,
    architecture: Option<&Architecture>,
    planned: &mut Vec<Planned<'_>>,
) -> Result<(Option<&'static str>, Vec<&'static str>)> {
    if let Form::NextToken(own) = &head.form {
        if own.layers > 1 || own.bias {
            bail!(
                "transformers' language models have no head but their table of tokens; this one has {} maps",
                own.layers
            );
        }
        return Ok((Some("CAUSAL_LM"), Vec::new()));
    }
    // Models that are not known here classify by a map of their last token.
    let model_type = architecture.map_or("", |a| a.model_type);
    let class = architecture.map_or("a model of another kind", |a| a.classifier_class);
    let mine = || {
        CLASSIFIERS
            .iter()
            .filter(|c| c.model_types.contains(&model_type))
    };
    let Some(known) = mine().find(|c| c.is(&head.form)) else {
        let wanted = mine().map(|c| match c.activation {
            Some(activation) if c.norm.is_some() => format!(
                "{} maps with {activation} and a norm between, without biases but the last",
                c.maps.len()
            ),
            Some(activation) => format!("{} maps with {activation} between", c.maps.len()),
            None if c.pooler => "the pooler and one map".into(),
            None => "one map without a bias".into(),
        });
        return Err(Error::new(format!(
            "the head cannot be saved for PEFT: {class} has {}",
            wanted.collect::<Vec<_>>().join(", or ")
        ))
        .hint("save it as AdapterHub's, or without a head"));
    };
    for (module, number) in known.modules() {
        for part in ["weight", "bias"] {
            let own = Name::new(format!("heads.{number}.{part}"));
            if let Some(tensor) = head.tensors.get(&own) {
                let name = format!("{ROOT}{module}.{part}");
                planned.push(Planned::ready(name, tensor.clone()));
            }
        }
    }
    Ok((Some("SEQ_CLS"), known.saved.to_vec()))
}
