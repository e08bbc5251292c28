//! Choosing by name: a method, a test, a summary.

use crate::{Error, Result, nearest};

/// What `name` stands for among `known`; else an error with the nearest name, or all of them.
pub(crate) fn choose<T: Copy>(what: &str, name: &str, known: &[(&'static str, T)]) -> Result<T> {
    if let Some((_, found)) = known.iter().find(|(known, _)| *known == name) {
        return Ok(*found);
    }
    let names: Vec<&str> = known.iter().map(|(known, _)| *known).collect();
    let error = Error::new(format!("no {what} is called `{name}`"));
    Err(match nearest(name, names.iter().copied()) {
        Some(meant) => error.hint(format!("did you mean `{meant}`?")),
        None => error.hint(format!("one of {}", names.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_gets_the_nearest_or_all() {
        let known = [("pearson", 1), ("kendall", 2)];
        let line = |name| choose("correlation", name, &known).unwrap_err().to_string();
        assert_eq!(choose("correlation", "kendall", &known), Ok(2));
        assert_eq!(
            line("person"),
            "no correlation is called `person`; did you mean `pearson`?"
        );
        assert_eq!(
            line("x"),
            "no correlation is called `x`; one of pearson, kendall"
        );
    }
}
