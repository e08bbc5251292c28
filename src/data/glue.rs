//! The layouts of the GLUE benchmark's own files, where they differ from what others write.

/// CoLA's lines: where a sentence is from, its label, the mark of its author, the sentence.
const COLA: &[&str] = &["source", "label", "star", "sentence"];

/// Columns that hold the label where a file has no `label`: MNLI and SNLI, QQP, MRPC.
pub(super) const LABELS: &[&str] = &["gold_label", "is_duplicate", "Quality"];

/// STS-B's label. Elsewhere a score is rarely what is asked for, so it counts with this pair only.
pub(super) const SCORE: &str = "score";
pub(super) const SCORED: &str = "sentence1";

/// The columns of a file without a header that has this first line, if it is known.
pub(super) fn headerless(first: &[&str]) -> Option<&'static [&'static str]> {
    match first {
        [
            _,
            "0" | "1",
            "" | "*" | "?" | "??" | "?*" | "**" | "#" | "%",
            _,
        ] => Some(COLA),
        _ => None,
    }
}

/// Whether lines with too few cells are to be left out: QQP's published files have a few that are
/// broken within a question, and all its readers pass over them.
pub(super) fn has_broken_lines(columns: &[String]) -> bool {
    ["qid1", "qid2", "question1", "question2", "is_duplicate"]
        .iter()
        .all(|name| columns.iter().any(|column| column == name))
}

/// Whether a label says that the annotators came to none.
pub(super) fn is_untold(column: &str, label: &str) -> bool {
    column == "gold_label" && label == "-"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cola_has_no_header() {
        assert_eq!(headerless(&["gj04", "1", "", "A text."]), Some(COLA));
        assert_eq!(headerless(&["gj04", "0", "*", "A text."]), Some(COLA));
        assert_eq!(headerless(&["id", "label", "star", "sentence"]), None);
        assert_eq!(headerless(&["index", "sentence"]), None);
    }

    #[test]
    fn only_qqp_may_have_broken_lines() {
        let columns = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let qqp = [
            "id",
            "qid1",
            "qid2",
            "question1",
            "question2",
            "is_duplicate",
        ];
        assert!(has_broken_lines(&columns(&qqp)));
        assert!(!has_broken_lines(&columns(&[
            "question1",
            "question2",
            "label"
        ])));
    }
}
