//! `tureen check study.rhai`.

use std::path::PathBuf;

use clap::Args;

use super::opened::Opened;
use super::{Failure, Surroundings, run};
use crate::script::{Severity, check};

/// Look for mistakes in a study without running it.
///
/// Finds unknown names, wrong options, missing inputs and impossible values, all at once.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The script, or an archive that `tureen pack` made.
    #[arg(value_name = "STUDY")]
    script: PathBuf,
    #[command(flatten)]
    surroundings: Surroundings,
}

impl Check {
    pub(super) fn json(&self) -> bool {
        self.surroundings.json()
    }

    pub(super) fn main(self) -> Result<(), Failure> {
        let opened = Opened::at(&self.script, None);
        let opened = opened.map_err(|error| run::unopened(&self.script, error))?;
        let (source, json) = (opened.source.clone(), self.json());
        let session = self
            .surroundings
            .session_with(opened.mode(), PathBuf::new(), |setup| opened.seal(setup))
            .map_err(Failure::Command)?;
        let found = check(&session, &source, &opened.text);
        for finding in &found {
            let diagnostic = &finding.diagnostic;
            session.print(&match json {
                true => diagnostic.json().to_string(),
                false => format!("{diagnostic:#}"),
            });
        }
        let count = |severity| {
            let of = found.iter().filter(|f| f.diagnostic.severity == severity);
            of.count()
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        if !json {
            crate::tell!("{source}: {}", summary(errors, warnings));
        }
        match errors {
            0 => Ok(()),
            _ => Err(Failure::Told(1)),
        }
    }
}

fn summary(errors: usize, warnings: usize) -> String {
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    match (errors, warnings) {
        (0, 0) => "nothing wrong found".into(),
        (_, 0) => counted(errors, "error"),
        (0, _) => counted(warnings, "warning"),
        _ => format!(
            "{}, {}",
            counted(errors, "error"),
            counted(warnings, "warning")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn the_summary_counts() {
        assert_eq!(summary(0, 0), "nothing wrong found");
        assert_eq!(summary(1, 2), "1 error, 2 warnings");
        assert_eq!(summary(3, 0), "3 errors");
    }
}
