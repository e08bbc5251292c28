//! The heads of transformers' task models, as PEFT saves them beside an adapter.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde_json::{Map, Value};

use crate::adapter::head::{Form, Head, Labels, Layers, Task};
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

    /// Whether its tensors alone tell that it reads whole texts: a head for tokens is a single map,
    /// with a bias, and one that chooses among texts has one output.
    fn reads_texts(&self, tensors: &FileTensors) -> bool {
        let last = self.maps.last().map_or("", |(module, _)| module);
        let shape = |part: &str| tensors.shapes().get(&Name::new(format!("{last}.{part}")));
        let outputs = shape("weight").and_then(|shape| shape.first());
        let single = self.maps.len() == 1 && (self.bias || shape("bias").is_some());
        !single && outputs.is_some_and(|n| *n > 1)
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
    let class = config
        .more
        .get("architectures")
        .and_then(|all| all[0].as_str());
    let head = of_tensors(
        &config.model_type,
        class,
        model.classifier(),
        config.labels(),
    )?;
    Ok(head.map(|head| Head { name, ..head }))
}

/// The head of a task model of this type and class that has these tensors, by full name; its
/// labels by number, where no names are given. None where it is not known.
pub fn of_tensors(
    model_type: &str,
    class: Option<&str>,
    found: &BTreeMap<String, Tensor>,
    names: Option<Vec<String>>,
) -> Result<Option<Head>> {
    let has = |module: &str| found.contains_key(&format!("{module}.weight"));
    let task = class.and_then(Task::of_class);
    if let Some(module) = task.and_then(|task| single_map(task, has)) {
        let own = found.iter();
        let own = own.filter_map(|(full, t)| Some((own_part(module, full)?, t.clone())));
        return other(task, module, own.collect(), names);
    }
    if !matches!(task, None | Some(Task::Texts)) {
        return Ok(None);
    }
    let Some(known) = Classifier::of(model_type, has) else {
        return Ok(None);
    };
    let own = |(full, t): (&String, &Tensor)| Some((known.own_name(full)?, t.clone()));
    known
        .head(found.iter().filter_map(own).collect(), names)
        .map(Some)
}

/// The module of the one linear map that transformers' models for such a task have; none where the
/// task has another head, or none of these modules is there.
fn single_map(task: Task, has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let modules: &[&str] = match task {
        Task::Tokens => &[TOKENS, LAST],
        Task::Spans => &[SPANS],
        _ => &[],
    };
    modules.iter().copied().find(|module| has(module))
}

/// The modules of single maps: those of models that tell tokens apart, also of decoders, and those
/// of models that find answers.
const TOKENS: &str = "classifier";
const LAST: &str = "score";
const SPANS: &str = "qa_outputs";

/// The name here of a tensor of a single map's.
fn own_part(module: &str, full: &str) -> Option<Name> {
    let part = full.strip_prefix(module)?.strip_prefix('.')?;
    let plain = part == "weight" || part == "bias";
    plain.then(|| Name::new(format!("heads.1.{part}")))
}

/// The head of a single map for a task that cannot be run here.
fn other(
    task: Option<Task>,
    module: &str,
    tensors: Tensors,
    names: Option<Vec<String>>,
) -> Result<Option<Head>> {
    let weight = tensors.get(&Name::new("heads.1.weight"));
    let (Some(task), Some(outputs)) = (task, weight.map(|w| w.dim(0)).transpose()?) else {
        return Ok(None);
    };
    let names = names.filter(|names| names.len() == outputs);
    let mut form = Form::other(task, outputs);
    if let (Form::Other(fields), LAST) = (&mut form, module) {
        fields.insert(MODULE.into(), module.into());
    }
    Ok(Some(Head {
        name: String::new(),
        dataset: None,
        labels: names.map_or(Labels::Counted(outputs), Labels::from_names),
        form,
        tensors,
    }))
}

/// Under which key the form of a single map holds its module, where it is not the usual one.
const MODULE: &str = "module";

/// Takes the head's tensors out of `tensors`, where it is known what it is for. A causal language
/// model has its base's own table of tokens for a head.
pub fn read(tensors: &mut FileTensors, home: &Home, json: &Value) -> Result<Option<Head>> {
    let has = |module: &str| {
        let name = Name::new(format!("{module}.weight"));
        tensors.shapes().contains_key(&name)
    };
    let task = Task::of_config(json);
    if let Some(module) = task.and_then(|task| single_map(task, has)) {
        let own = tensors.take(|name| own_part(module, name.as_str()))?;
        return other(task, module, own, None);
    }
    let untold = json["task_type"].is_null() && task.is_none();
    if (task == Some(Task::Texts) || untold)
        && let Some(known) = Classifier::of(&home.model_type, has)
        && (!untold || known.reads_texts(tensors))
    {
        let own = tensors.take(|name| known.own_name(name.as_str()))?;
        return known.head(own, None).map(Some);
    }
    if task == Some(Task::NextToken) && home.model_type == "gpt2" {
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
        return Ok((Task::NextToken.peft(), Vec::new()));
    }
    if let Form::Other(fields) = &head.form {
        return write_other(head, fields, planned);
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
    Ok((Task::Texts.peft(), known.saved.to_vec()))
}

/// The same of a head that cannot be run here.
fn write_other(
    head: &Head,
    fields: &Map<String, Value>,
    planned: &mut Vec<Planned<'_>>,
) -> Result<(Option<&'static str>, Vec<&'static str>)> {
    let kind = fields.get("head_type").unwrap_or(&Value::Null);
    let module = match head.form.task() {
        Some(Task::Tokens) if fields.get(MODULE) == Some(&LAST.into()) => LAST,
        Some(Task::Tokens) => TOKENS,
        Some(Task::Spans) => SPANS,
        _ => bail!(
            "PEFT's layout has no task for a head of type {kind}";
            hint: "save it as AdapterHub's, or without a head"
        ),
    };
    let layers = fields.get("layers").and_then(Value::as_u64);
    if layers != Some(1) {
        bail!(
            "the head cannot be saved for PEFT: transformers' models have one map for this task, a head of type {kind} with {} layers has more",
            fields.get("layers").unwrap_or(&Value::Null);
            hint: "save it as AdapterHub's, or without a head"
        );
    }
    for (name, tensor) in &head.tensors {
        let Some(part) = name.as_str().strip_prefix("heads.1.") else {
            bail!(
                "head {}: tensor {name} has no place in PEFT's layout",
                head.name
            );
        };
        let name = format!("{ROOT}{module}.{part}");
        planned.push(Planned::ready(name, tensor.clone()));
    }
    Ok((head.form.task().and_then(Task::peft), vec![module]))
}
