//! What a head is made of, in the terms of AdapterHub's `head_config.json`.

use serde_json::{Map, Value, json};

use crate::compute::Activation;
use crate::{Error, Result, bail};

use super::super::kind::{Init, Parameter};
use super::super::tensors::Name;
use super::labels::Labels;
use super::task::Task;

/// A head's layers. `layers` counts the linear maps; all but the last are followed by the
/// activation.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// Reads the state of the token that stands for the text.
    Classifier(Layers),
    /// Predicts the next token at every position: the last map is the base's own table of tokens,
    /// which is frozen.
    NextToken(Layers),
    /// One that can be kept and saved, but not run here.
    Other(Map<String, Value>),
}

/// The settings of a head of linear maps.
#[derive(Debug, Clone, PartialEq)]
pub struct Layers {
    /// Number of linear maps.
    pub layers: usize,
    /// Between them, by AdapterHub's name; none where the maps follow each other directly.
    pub activation: Option<String>,
    /// Whether the last map has a bias.
    pub bias: bool,
    /// Whether the base's pooler (a map and tanh) comes first.
    pub pooler: bool,
    /// Whether a layer norm follows each activation (heads of language models, ModernBERT's).
    pub norm: bool,
    /// Whether the maps before the last and the norms have biases (ModernBERT's have none).
    pub inner_bias: bool,
    /// Dropout before each map; the model's where not given.
    pub dropout: Option<f64>,
}

impl Default for Layers {
    /// AdapterHub's default: two maps with tanh between.
    fn default() -> Self {
        Self {
            layers: 2,
            activation: Some("tanh".into()),
            bias: true,
            pooler: false,
            norm: false,
            inner_bias: true,
            dropout: None,
        }
    }
}

/// One step of a head's pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Dropout, the how-manieth of the head.
    Dropout(u64),
    /// The linear map under this number, perhaps without a bias.
    Linear(usize),
    /// An activation.
    Activation(Activation),
    /// The layer norm under this number.
    Norm(usize),
}

impl Default for Form {
    fn default() -> Self {
        Self::Classifier(Layers::default())
    }
}

impl Form {
    /// Reads AdapterHub's `config` object of a head. One that cannot be run here is kept as it
    /// is.
    pub fn read(config: &Value) -> Result<Self> {
        let Some(fields) = config.as_object() else {
            bail!("the head's config is not an object");
        };
        let kind = fields.get("head_type").and_then(Value::as_str);
        let known = matches!(kind, Some("classification" | "causal_lm"));
        if !known {
            return Ok(Self::Other(fields.clone()));
        }
        let flag = |key: &str, default: bool| match fields.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            Some(other) => Err(Error::new(format!("head config: {key} = {other}"))),
        };
        let next = kind == Some("causal_lm");
        let layers = match fields.get("layers").and_then(Value::as_u64) {
            Some(n @ 1..=16) => n as usize,
            _ => bail!("head config: layers = {}", config["layers"]),
        };
        let activation = match &config["activation_function"] {
            Value::Null => None,
            Value::String(name) => {
                name.parse::<Activation>()?;
                Some(name.clone())
            }
            other => bail!("head config: activation_function = {other}"),
        };
        if next && !flag("shift_labels", true)? {
            bail!("head config: shift_labels = false is not supported");
        }
        let layers = Layers {
            layers,
            activation,
            bias: flag("bias", !next)?,
            pooler: flag("use_pooler", false)?,
            norm: flag("layer_norm", false)?,
            inner_bias: flag("tureen_inner_bias", true)?,
            dropout: config["dropout_prob"].as_f64(),
        };
        Ok(match next {
            true => Self::NextToken(layers),
            false => Self::Classifier(layers),
        })
    }

    /// What of it decides the head's answers: all but the dropout.
    pub fn acting(&self) -> Value {
        let settings = |own: &Layers| {
            json!([
                own.layers,
                own.activation,
                own.bias,
                own.pooler,
                own.norm,
                own.inner_bias
            ])
        };
        match self {
            Self::Classifier(own) => json!(["classification", settings(own)]),
            Self::NextToken(own) => json!(["causal_lm", settings(own)]),
            Self::Other(fields) => json!(["other", fields]),
        }
    }

    /// AdapterHub's `config` object for such a head on states of this width.
    pub fn config(&self, labels: &Labels, hidden: usize) -> Value {
        match self {
            Self::Other(fields) => {
                let mut fields = fields.clone();
                if let (Labels::Named(names), true) = (labels, fields.contains_key("label2id")) {
                    fields.insert("label2id".into(), numbered(names.clone()));
                }
                Value::Object(fields)
            }
            Self::NextToken(own) => json!({
                "activation_function": own.activation,
                "bias": own.bias,
                "dropout_prob": own.dropout,
                "embedding_size": hidden,
                "head_type": "causal_lm",
                "label2id": null,
                "layer_norm": own.norm,
                "layers": own.layers,
                "shift_labels": true,
                "vocab_size": labels.outputs(),
            }),
            Self::Classifier(own) => {
                let mut config = json!({
                    "activation_function": own.activation,
                    "bias": own.bias,
                    "dropout_prob": own.dropout,
                    "head_type": "classification",
                    "label2id": numbered(labels.names()),
                    "layers": own.layers,
                    "num_labels": labels.outputs(),
                    "use_pooler": own.pooler,
                });
                // Settings that AdapterHub's classifiers do not have.
                if own.norm {
                    config["layer_norm"] = json!(true);
                }
                if !own.inner_bias {
                    config["tureen_inner_bias"] = json!(false);
                }
                config
            }
        }
    }

    /// Its maps and norms; an error where it cannot be run here.
    pub fn layers(&self) -> Result<&Layers> {
        match self {
            Self::Classifier(own) | Self::NextToken(own) => Ok(own),
            Self::Other(fields) => {
                let kind = fields.get("head_type").unwrap_or(&Value::Null);
                let error = Error::new(format!(
                    "a head of type {kind} is not supported; known: classification, causal_lm"
                ));
                let about = match self.task() {
                    Some(Task::Tokens) => "it tells tokens apart, not texts",
                    Some(Task::Spans) => "it finds answers in texts",
                    Some(Task::Choices) => "it chooses one of several texts",
                    _ => return Err(error),
                };
                Err(error.hint(format!(
                    "{about}: such an adapter can be mixed, pruned, converted and saved, not run"
                )))
            }
        }
    }

    /// What its answers are about, where that is known.
    pub fn task(&self) -> Option<Task> {
        match self {
            Self::Classifier(_) => Some(Task::Texts),
            Self::NextToken(_) => Some(Task::NextToken),
            Self::Other(fields) => Task::of_head_type(fields.get("head_type")?.as_str()?),
        }
    }

    /// One of a single linear map for a task that cannot be run here, as AdapterHub describes it.
    pub fn other(task: Task, outputs: usize) -> Self {
        let names = Labels::Counted(outputs).names();
        let fields = json!({
            "activation_function": "tanh",
            "dropout_prob": null,
            "head_type": task.head_type(),
            "label2id": numbered(names),
            "layers": 1,
            "num_labels": outputs,
        });
        match fields {
            Value::Object(fields) => Self::Other(fields),
            _ => Self::Other(Map::new()),
        }
    }

    /// Whether it predicts tokens at every position.
    pub fn is_next_token(&self) -> bool {
        matches!(self, Self::NextToken(_))
    }

    /// What its pass does, in order; the numbers are those of AdapterHub's modules.
    pub fn steps(&self) -> Result<Vec<Step>> {
        let own = self.layers()?;
        let activation = own.activation.as_deref().map(str::parse).transpose()?;
        let drops = !self.is_next_token();
        let (mut steps, mut at) = (Vec::new(), 0);
        for layer in 0..own.layers {
            if drops {
                steps.push(Step::Dropout(layer as u64));
                at += 1;
            }
            steps.push(Step::Linear(at));
            at += 1;
            if layer + 1 == own.layers {
                break;
            }
            if let Some(activation) = activation {
                steps.push(Step::Activation(activation));
                at += 1;
            }
            if own.norm {
                steps.push(Step::Norm(at));
                at += 1;
            }
        }
        Ok(steps)
    }

    /// The tensors of such a head for `labels` on states of this width: maps normal with sd 0.02
    /// and zero biases, as BERT initialises its own.
    pub fn parameters(&self, hidden: usize, labels: &Labels) -> Result<Vec<Parameter>> {
        let steps = self.steps()?;
        let own = self.layers()?;
        let last = steps.len() - 1;
        let mut all = Vec::new();
        let mut push = |number: usize, part: &str, shape: Vec<usize>, init| {
            let name = Name::new(format!("heads.{number}.{part}"));
            all.push(Parameter { name, shape, init });
        };
        for (i, step) in steps.iter().enumerate() {
            match step {
                Step::Linear(n) => {
                    let out = if i == last { labels.outputs() } else { hidden };
                    let bias = match i < last {
                        true => own.inner_bias,
                        false => own.bias,
                    };
                    if bias {
                        push(*n, "bias", vec![out], Init::Zeros);
                    }
                    push(*n, "weight", vec![out, hidden], Init::Normal(0.02));
                }
                Step::Norm(n) => {
                    if own.inner_bias {
                        push(*n, "bias", vec![hidden], Init::Zeros);
                    }
                    push(*n, "weight", vec![hidden], Init::Ones);
                }
                Step::Dropout(_) | Step::Activation(_) => {}
            }
        }
        Ok(all)
    }

    /// Whether the tensor of this name is frozen: the table of tokens.
    pub fn is_frozen(&self, name: &Name) -> bool {
        let last = || match self.steps().ok()?.last()? {
            Step::Linear(n) => Some(*n),
            _ => None,
        };
        self.is_next_token()
            && last().is_some_and(|n| name.as_str().starts_with(&format!("heads.{n}.")))
    }
}

/// Names with their numbers.
fn numbered(names: Vec<String>) -> Value {
    let names = names.into_iter().enumerate();
    Value::Object(names.map(|(i, name)| (name, json!(i))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_adapterhub() {
        let numbers = |config: Value| -> Vec<usize> {
            let steps = Form::read(&config).unwrap().steps().unwrap();
            let number = |step: &Step| match step {
                Step::Linear(n) | Step::Norm(n) => Some(*n),
                _ => None,
            };
            steps.iter().filter_map(number).collect()
        };
        let classifier = |layers: usize, activation: Option<&str>| {
            json!({"head_type": "classification", "layers": layers,
                   "activation_function": activation})
        };
        assert_eq!(numbers(classifier(1, Some("tanh"))), [1]);
        assert_eq!(numbers(classifier(2, Some("tanh"))), [1, 4]);
        assert_eq!(numbers(classifier(3, Some("tanh"))), [1, 4, 7]);
        assert_eq!(numbers(classifier(2, None)), [1, 3]);
        let causal = json!({"head_type": "causal_lm", "layers": 2, "activation_function": "gelu",
                            "layer_norm": true});
        assert_eq!(numbers(causal.clone()), [0, 2, 3]);
        let form = Form::read(&causal).unwrap();
        assert!(form.is_frozen(&Name::new("heads.3.weight")));
        assert!(!form.is_frozen(&Name::new("heads.0.weight")));
    }

    #[test]
    fn another_kind_of_head_is_kept_but_not_run() {
        let config = json!({"head_type": "tagging", "layers": 1});
        let form = Form::read(&config).unwrap();
        assert_eq!(form.config(&Labels::Counted(2), 4), config);
        let message = form.steps().unwrap_err().to_string();
        assert!(
            message.contains("\"tagging\" is not supported"),
            "{message}"
        );
    }
}
