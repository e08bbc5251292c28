//! Rows before their labels are read.

use super::labels::HIDDEN;
use crate::{Error, Result};

/// A row with its label as written.
#[derive(Debug, Clone)]
pub(super) struct RawRow {
    /// Which of the sources it is from, and where it stands there.
    pub file: usize,
    pub at: usize,
    pub text: String,
    pub text_b: Option<String>,
    pub label: Option<String>,
    /// Whether the file says that there is no label.
    pub untold: bool,
}

/// The rows of a file, or of several that are read one after the other, and how to speak of them.
#[derive(Debug, Clone)]
pub(super) struct RawRows {
    pub sources: Vec<String>,
    pub unit: &'static str,
    /// The column of the label.
    pub label: String,
    /// The names of the classes in their order, where the file or an option declares it.
    pub order: Option<Vec<String>>,
    pub rows: Vec<RawRow>,
}

impl RawRows {
    /// The rows of `more` after these; both have pairs of texts, or none has.
    pub fn append(&mut self, more: Self) -> Result<()> {
        let pairs = |rows: &Self| rows.rows.first().map(|row| row.text_b.is_some());
        if pairs(self) != pairs(&more) {
            return Err(Error::new(format!(
                "{} and {} differ: only one of them has pairs of texts",
                self.sources[0], more.sources[0]
            )));
        }
        match (&self.order, &more.order) {
            (Some(own), Some(other)) if own != other => {
                return Err(Error::new(format!(
                    "{} and {} declare different classes: {} and {}",
                    self.sources[0],
                    more.sources[0],
                    own.join(", "),
                    other.join(", ")
                )));
            }
            (None, Some(_)) => self.order.clone_from(&more.order),
            _ => {}
        }
        let files = self.sources.len();
        self.sources.extend(more.sources);
        self.rows.extend(more.rows.into_iter().map(|row| RawRow {
            file: row.file + files,
            ..row
        }));
        Ok(())
    }

    /// Leaves out the rows whose annotators came to no label; where that is all of them, marks
    /// them as hidden.
    pub fn settle(&mut self) {
        if self.rows.iter().all(|row| row.untold) {
            for row in &mut self.rows {
                row.label = Some(HIDDEN.into());
            }
        } else {
            self.rows.retain(|row| !row.untold);
        }
    }

    /// An error about the label of a row: `source: line 3: column label: message`.
    pub fn error(&self, row: &RawRow, message: impl std::fmt::Display) -> Error {
        Error::new(format!(
            "{}: {} {}: column {}: {message}",
            self.sources[row.file], self.unit, row.at, self.label
        ))
    }
}
