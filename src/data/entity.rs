//! Entity matching as the Ditto library writes it: `COL a VAL x COL b VAL y`, a tab, the same of
//! another entity, a tab, 0 or 1. There is no header, and the text is the entity as serialised.

/// The columns where every line has a label.
pub(super) const LABELLED: &[&str] = &["text", "text_b", "label"];
/// The columns where none has.
pub(super) const PAIRS: &[&str] = &["text", "text_b"];

/// The columns of a file with this first line, if it is one of entity pairs.
pub(super) fn columns(first: &[&str]) -> Option<&'static [&'static str]> {
    let columns = match first.len() {
        2 => PAIRS,
        3 => LABELLED,
        _ => return None,
    };
    first[..2]
        .iter()
        .all(|cell| is_one(cell))
        .then_some(columns)
}

/// Whether a cell is a serialised entity.
pub(super) fn is_one(cell: &str) -> bool {
    // A value may be empty, and then ends the cell.
    let cell = cell.trim();
    cell.starts_with("COL ") && (cell.contains(" VAL ") || cell.ends_with(" VAL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_known_by_their_marks() {
        assert_eq!(
            columns(&["COL a VAL b ", " COL c VAL", "1"]),
            Some(LABELLED)
        );
        assert_eq!(columns(&["COL a VAL b", "COL a VAL c"]), Some(PAIRS));
        assert_eq!(columns(&["COL a VAL b", "c", "1"]), None);
        assert_eq!(columns(&["text", "text_b", "label"]), None);
        assert_eq!(columns(&["COL a VAL b"]), None);
    }
}
