//! The pages that `:help` and `:type` show.

use super::commands;
use crate::data::bundled;
use crate::model::BUNDLED;
use crate::script::Form;

/// The page of `:help`.
pub(super) fn start() -> String {
    let datasets: Vec<&str> = bundled::names().collect();
    format!(
        "\
An input is code; its value is shown. `ans` is the last value, `out(1)` that of input 1.

  let base = model(\"mini\")                  a frozen transformer
  let films = dataset(\"films\")              texts with labels
  let a = train(base, films)                an adapter: a minute or less
  evaluate(base, a, films)                  how good it is
  let b = train(base, dataset(\"news\"))      another one
  soup([a, b])                              both mixed into one
  sign_diff(a, b)                           where their signs disagree

With the program come the model {} and the datasets
{}.

{}

`:doc guide` is a guide of twelve short pages, from the first adapter to a module of your own.
Keys: Tab completes names, options with their defaults, files. Ctrl-R searches the history.
Alt-Enter starts a new line. Ctrl-C stops what runs; the session stays.",
        BUNDLED.join(", "),
        datasets.join(", "),
        commands::page()
    )
}

/// What can be done with a value of `type_`: `own` one a line, the others by name.
pub(super) fn members(type_: &str, own: &[&Form], others: &[&Form], width: usize) -> String {
    /// Longer names push their line out rather than all lines.
    const LONGEST: usize = 26;
    let usage = |form: &Form| match form.property {
        true => format!(".{}", form.name),
        false => format!(".{}({})", form.name, names(form)),
    };
    let lefts: Vec<String> = own.iter().map(|form| usage(form)).collect();
    let fitting = lefts
        .iter()
        .map(|left| left.chars().count())
        .filter(|n| *n <= LONGEST);
    let column = fitting.max().unwrap_or(0);
    let mut lines = vec![type_.to_string()];
    for (left, form) in lefts.iter().zip(own) {
        let summary = form.summary();
        let line = format!("  {left:<column$}  {summary}");
        lines.push(match line.chars().count() > width {
            true => line
                .chars()
                .take(width.saturating_sub(1))
                .chain(['…'])
                .collect(),
            false => line.trim_end().to_string(),
        });
    }
    if !others.is_empty() {
        let mut line = String::from("  and:");
        for form in others {
            if line.chars().count() + form.name.len() + 2 > width {
                lines.push(std::mem::replace(&mut line, String::from("   ")));
            }
            line += " ";
            line += &form.name;
        }
        lines.push(line);
    }
    if own.is_empty() && others.is_empty() {
        lines[0] += ": nothing follows its dot";
    }
    lines.join("\n")
}

/// The names of a method's arguments.
fn names(form: &Form) -> String {
    let names: Vec<&str> = form
        .parameters
        .iter()
        .skip(1)
        .map(|(name, type_)| {
            if name.is_empty() {
                type_.as_str()
            } else {
                name
            }
        })
        .collect();
    names.join(", ")
}
