//! The guide: short pages, each a file.

use std::fmt::Write;

use crate::{Error, Result, nearest};

/// A page of the guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuidePage {
    /// What it is asked for by.
    pub name: &'static str,
    /// Its Markdown.
    pub text: &'static str,
}

macro_rules! pages {
    ($($name:literal),+ $(,)?) => {
        &[$(GuidePage {
            name: $name,
            text: include_str!(concat!("../../../stdlib/guide/", $name, ".md")),
        }),+]
    };
}

/// The pages, in the order to read them.
pub static GUIDE: &[GuidePage] = pages![
    "first-adapter",
    "data",
    "mixing",
    "signs",
    "pruning",
    "attacks",
    "grids",
    "figures",
    "tensors",
    "studies",
    "modules",
    "limits",
    "gpu",
];

impl GuidePage {
    /// Its first line, without the mark of a heading.
    pub fn title(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or("");
        first.trim_start_matches('#').trim()
    }
}

/// The page called `name`, or of this number from 1.
pub fn guide(name: &str) -> Result<&'static GuidePage> {
    let number = name.parse::<usize>().ok();
    let found = match number {
        Some(number) => number.checked_sub(1).and_then(|at| GUIDE.get(at)),
        None => GUIDE.iter().find(|page| page.name == name),
    };
    found.ok_or_else(|| {
        let error = Error::new(format!("the guide has no page {name}"));
        let names = || GUIDE.iter().map(|page| page.name);
        match nearest(name, names()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(format!("it has {}", names().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// The list of pages, Markdown.
pub(super) fn contents() -> String {
    let mut page = String::from("# Guide\n\n");
    for (number, one) in GUIDE.iter().enumerate() {
        let _ = writeln!(page, "- `{}` ({}) {}", one.name, number + 1, one.title());
    }
    page.push_str("\nRead one with `tureen doc guide NAME`, or `:doc guide NAME` at the prompt.\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_name_and_number() {
        assert_eq!(guide("signs").unwrap().name, "signs");
        assert_eq!(guide("1").unwrap().name, "first-adapter");
        let error = guide("sings").unwrap_err().to_string();
        assert_eq!(error, "the guide has no page sings; did you mean signs?");
        assert!(guide("0").is_err() && guide("99").is_err());
        assert!(GUIDE.iter().all(|page| page.text.starts_with("# ")));
    }
}
