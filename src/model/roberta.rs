//! RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2020): BERT's blocks, whose positions
//! start behind the padding token's id.

use super::architecture::Architecture;
use super::bert::{BERT, hub};
use crate::compute::Order;

/// RoBERTa.
pub const ROBERTA: Architecture = Architecture {
    model_type: "roberta",
    prefix: "roberta.",
    hub: Some(hub("RobertaAdapterModel", true)),
    classifier_class: "RobertaForSequenceClassification",
    order: Order::After,
    ..BERT
};

/// XLM-RoBERTa.
pub const XLM_ROBERTA: Architecture = Architecture {
    model_type: "xlm-roberta",
    hub: Some(hub("XLMRobertaAdapterModel", true)),
    classifier_class: "XLMRobertaForSequenceClassification",
    ..ROBERTA
};
