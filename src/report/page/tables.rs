//! Tables that sort by a click: those recorded, and those that lie in the run's folder.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

use super::headline::told;
use crate::Result;
use crate::report::escaped;
use crate::report::table::{Format, Table};
use crate::study::files::listed;

/// Longer tables are shown by their first rows.
const ROWS: usize = 200;

/// Larger files are named alone, in bytes.
const LARGEST: u64 = 4 << 20;

/// The rows of a recorded table.
pub(super) fn rows(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    let list = value.as_array()?;
    let rows: Option<Vec<_>> = list.iter().map(Value::as_object).collect();
    rows.filter(|rows| !rows.is_empty())
}

pub(super) fn table(rows: &[&Map<String, Value>]) -> String {
    let mut names: Vec<&String> = Vec::new();
    for name in rows.iter().flat_map(|row| row.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let class = |name: &str| {
        let number =
            |row: &&Map<String, Value>| row.get(name).is_none_or(|v| v.is_number() || v.is_null());
        if rows.iter().all(number) {
            " class=\"number\""
        } else {
            ""
        }
    };
    let mut out = String::from("<div class=\"wide\"><table class=\"sorts\"><thead><tr>");
    for name in &names {
        let _ = write!(
            out,
            "<th{} scope=\"col\"><button>{}</button></th>",
            class(name),
            escaped(name)
        );
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in rows {
        out += "<tr>";
        for name in &names {
            let value = row.get(*name);
            let cell = value.map(told).unwrap_or_default();
            // Sorting goes by the number itself, which is shown short.
            let exact = match value {
                Some(Value::Number(number)) if number.to_string() != cell => {
                    format!(" data-value=\"{number}\"")
                }
                _ => String::new(),
            };
            let _ = write!(out, "<td{}{exact}>{}</td>", class(name), escaped(&cell));
        }
        out += "</tr>\n";
    }
    out + "</tbody></table></div>\n"
}

/// The tables that the script saved, folded up; those that figures were drawn from lie with them.
pub(super) fn of_folder(folder: &Path) -> Result<String> {
    let mut out = String::new();
    for (name, path) in listed(folder)? {
        let figure = ["svg", "png", "pdf"].map(|kind| path.with_extension(kind));
        let small = path
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
        let known = matches!(
            Format::of(&path),
            Ok(Format::Csv | Format::Tsv | Format::Jsonl)
        );
        if !small || !known || name == "metrics.jsonl" || figure.iter().any(|file| file.exists()) {
            continue;
        }
        // What is no table, in spite of its name, is none of the page's.
        let Ok(saved) = Table::read(&path) else {
            continue;
        };
        let lines = saved.first(ROWS).encode(Format::Jsonl)?;
        let rows: Vec<Map<String, Value>> = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let count = match saved.len() {
            1 => "1 row".to_string(),
            n if n > ROWS => format!("the first {ROWS} of {n} rows"),
            n => format!("{n} rows"),
        };
        let _ = writeln!(
            out,
            "<details><summary>{}: {count}</summary>\n{}</details>",
            escaped(&name),
            table(&rows.iter().collect::<Vec<_>>())
        );
    }
    Ok(match out.is_empty() {
        true => out,
        false => format!("<h2>Tables</h2>\n{out}"),
    })
}
