//! What a head's answers are about, in the libraries' words.

use serde_json::Value;

/// The task of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Classes, or a number, of whole texts.
    Texts,
    /// Classes of single tokens.
    Tokens,
    /// Where an answer begins and ends in a text.
    Spans,
    /// One of several texts.
    Choices,
    /// The next token, at every position.
    NextToken,
}

/// Tasks by PEFT's `task_type`, AdapterHub's `head_type` and the ends of the names of transformers'
/// classes.
const TASKS: &[(Task, Option<&str>, &str, &[&str])] = &[
    (
        Task::Texts,
        Some("SEQ_CLS"),
        "classification",
        &["ForSequenceClassification"],
    ),
    (
        Task::Tokens,
        Some("TOKEN_CLS"),
        "tagging",
        &["ForTokenClassification"],
    ),
    (
        Task::Spans,
        Some("QUESTION_ANS"),
        "question_answering",
        &["ForQuestionAnswering", "ForQuestionAnsweringSimple"],
    ),
    (
        Task::Choices,
        None,
        "multiple_choice",
        &["ForMultipleChoice"],
    ),
    (
        Task::NextToken,
        Some("CAUSAL_LM"),
        "causal_lm",
        &["ForCausalLM", "LMHeadModel"],
    ),
];

impl Task {
    /// That of PEFT's `task_type`.
    pub fn of_peft(task_type: &str) -> Option<Self> {
        let mut all = TASKS.iter();
        Some(all.find(|(_, peft, ..)| *peft == Some(task_type))?.0)
    }

    /// That of AdapterHub's `head_type`.
    pub fn of_head_type(head_type: &str) -> Option<Self> {
        let mut all = TASKS.iter();
        Some(all.find(|(_, _, hub, _)| *hub == head_type)?.0)
    }

    /// That of a class of transformers.
    pub fn of_class(class: &str) -> Option<Self> {
        let ends = |ends: &&[&str]| ends.iter().any(|end| class.ends_with(end));
        let mut all = TASKS.iter();
        Some(all.find(|(.., classes)| ends(classes))?.0)
    }

    /// That of a PEFT adapter of this configuration, where it says one: by its `task_type`, else by
    /// the class of its model.
    pub fn of_config(json: &Value) -> Option<Self> {
        match json["task_type"].as_str() {
            Some(task_type) => Self::of_peft(task_type),
            None => Self::of_class(json["auto_mapping"]["base_model_class"].as_str()?),
        }
    }

    /// PEFT's `task_type`; none where PEFT has no such task.
    pub fn peft(self) -> Option<&'static str> {
        TASKS.iter().find(|(task, ..)| *task == self)?.1
    }

    /// AdapterHub's `head_type`.
    pub fn head_type(self) -> &'static str {
        let mut all = TASKS.iter();
        all.find(|(task, ..)| *task == self).map_or("", |row| row.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_task_is_told_by_its_type_or_else_by_the_class() {
        let of = |json: Value| Task::of_config(&json);
        let class = json!({"base_model_class": "DebertaV2ForTokenClassification"});
        assert_eq!(of(json!({"task_type": "SEQ_CLS"})), Some(Task::Texts));
        assert_eq!(
            of(json!({"task_type": null, "auto_mapping": class})),
            Some(Task::Tokens)
        );
        assert_eq!(
            of(json!({"task_type": "FEATURE_EXTRACTION", "auto_mapping": class})),
            None
        );
        assert_eq!(of(json!({})), None);
        assert_eq!(Task::of_class("GPT2LMHeadModel"), Some(Task::NextToken));
        assert_eq!(Task::of_class("ViTForImageClassification"), None);
        assert_eq!(Task::of_head_type("tagging"), Some(Task::Tokens));
        assert_eq!(Task::Choices.peft(), None);
    }
}
