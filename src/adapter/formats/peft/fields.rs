//! What becomes of each field of PEFT's configurations: those of `LoraConfig` and `IA3Config` of
//! 0.21.2, and of earlier versions.

use serde_json::Value;

use crate::{Error, Result};

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// It is read: it decides a number, or which tensors there are.
    Read,
    /// It is kept for files alone.
    Kept,
    /// It acts on nothing once an adapter is trained: why.
    Idle(&'static str),
    /// Where it is on, what it does is not computed here: what that is.
    Refused(&'static str),
}

use Field::{Idle, Kept, Read, Refused};

/// The fields that both kinds have.
const COMMON: &[(&str, Field)] = &[
    ("auto_mapping", Kept),
    ("base_model_name_or_path", Kept),
    ("exclude_modules", Read),
    ("fan_in_fan_out", Kept),
    ("inference_mode", Idle("it freezes tensors")),
    ("layers_pattern", Read),
    ("layers_to_transform", Read),
    (
        "modules_to_save",
        Idle("the tensors say which modules were saved"),
    ),
    ("peft_type", Read),
    ("peft_version", Kept),
    ("revision", Kept),
    ("target_modules", Read),
    ("task_type", Kept),
    ("trainable_token_indices", Read),
    // Written by earlier versions of this program.
    ("tureen_base_id", Kept),
    ("tureen_id", Idle("the adapter's id is beside it")),
];

/// Those of LoRA.
const LORA: &[(&str, Field)] = &[
    (
        "alora_invocation_tokens",
        Refused("the adapter acts from these tokens on"),
    ),
    ("alpha_pattern", Read),
    (
        "arrow_config",
        Refused("a router chooses among several adapters"),
    ),
    ("bias", Read),
    ("corda_config", Idle("it belongs to an initialisation")),
    ("enable_lora", Refused("single parts of a map are changed")),
    ("ensure_weight_tying", Idle("it ties modules in training")),
    ("ephemeral_gpu_offload", Idle("it is about memory")),
    ("eva_config", Idle("it belongs to an initialisation")),
    ("init_lora_weights", Read),
    (
        "kasa_config",
        Refused("the base's weights are cut, and factors have a diagonal between"),
    ),
    (
        "layer_replication",
        Refused("layers of the base are repeated"),
    ),
    ("loftq_config", Idle("it belongs to an initialisation")),
    ("lora_alpha", Read),
    ("lora_bias", Read),
    ("lora_dropout", Read),
    ("lora_ga_config", Idle("it belongs to an initialisation")),
    ("megatron_config", Idle("it cuts maps among devices")),
    ("megatron_core", Idle("it cuts maps among devices")),
    ("merge_weights", Idle("it says when weights were merged")),
    ("monteclora_config", Idle("it draws noise in training")),
    ("qalora_group_size", Idle("it belongs to use_qalora")),
    ("r", Read),
    ("rank_pattern", Read),
    ("runtime_config", Idle("it is about memory")),
    (
        "target_parameters",
        Refused("parameters outside of linear maps are changed"),
    ),
    ("use_bdlora", Refused("factors are diagonal in blocks")),
    ("use_dora", Read),
    ("use_qalora", Refused("inputs are averaged in groups")),
    ("use_rslora", Read),
    (
        "velora_config",
        Idle("it compresses what the backward pass reads"),
    ),
];

/// Those of IA3.
const IA3: &[(&str, Field)] = &[
    ("feedforward_modules", Read),
    ("init_ia3_weights", Idle("it belongs to an initialisation")),
];

/// What becomes of a field of a configuration of this `peft_type`; none of a field that is not
/// known.
pub fn of(peft_type: &str, key: &str) -> Option<Field> {
    let own = match peft_type {
        "LORA" => LORA,
        "IA3" => IA3,
        _ => &[],
    };
    let mut all = own.iter().chain(COMMON);
    Some(all.find(|(name, _)| *name == key)?.1)
}

/// An error, with the field's name, where it is on and decides what is not computed here.
pub fn check(peft_type: &str, key: &str, value: &Value) -> Result<()> {
    match of(peft_type, key) {
        Some(Read | Kept | Idle(_)) => Ok(()),
        _ if is_off(value) => Ok(()),
        Some(Refused(what)) => {
            Err(Error::new(format!("{key} = {value} is not supported: {what}")))
        }
        None => Err(Error::new(format!(
            "{key} = {value} is not supported: the field is not known here, and may change what the adapter computes"
        ))
        .hint("remove it if it changes nothing")),
    }
}

/// Whether a value means that nothing is asked for.
pub fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of `LoraConfig` and `IA3Config` of PEFT 0.21.2.
    const OF_LORA: &str = "task_type peft_type auto_mapping peft_version base_model_name_or_path \
        revision inference_mode r target_modules exclude_modules lora_alpha lora_dropout \
        fan_in_fan_out bias use_rslora modules_to_save init_lora_weights layers_to_transform \
        layers_pattern rank_pattern alpha_pattern megatron_config megatron_core \
        trainable_token_indices loftq_config eva_config corda_config lora_ga_config use_dora \
        velora_config alora_invocation_tokens use_qalora qalora_group_size monteclora_config \
        layer_replication runtime_config lora_bias target_parameters use_bdlora arrow_config \
        kasa_config ensure_weight_tying";
    const OF_IA3: &str = "task_type peft_type auto_mapping peft_version base_model_name_or_path \
        revision inference_mode target_modules exclude_modules feedforward_modules fan_in_fan_out \
        modules_to_save init_ia3_weights";

    #[test]
    fn every_field_of_the_library_is_decided_on() {
        for (kind, fields) in [("LORA", OF_LORA), ("IA3", OF_IA3)] {
            for field in fields.split_whitespace() {
                assert!(of(kind, field).is_some(), "{kind}: {field}");
            }
        }
        assert_eq!(of("LORA", "feedforward_modules"), None);
    }
}
