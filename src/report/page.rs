//! A run as one page of HTML that needs nothing else: no network, no other file.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{escaped, number};
use crate::Result;
use crate::study::files::{listed, write_atomic};
use crate::study::pack::is_pack;
use crate::study::{Record, Run, Status};

/// What a run's folder calls its page.
const FILE: &str = "report.html";

/// Longer output is told by its end.
const LINES: usize = 200;

/// Writes the page into the run's folder: the question, what was recorded, the figures that lie
/// there, what went in, and how to reproduce it.
pub fn write_page(run: &Run) -> Result<()> {
    let frame = include_str!("page.html");
    let page = frame
        .replace("{{title}}", &escaped(&run.record.name))
        .replace("{{body}}", &body(run)?);
    write_atomic(&run.folder.join(FILE), page.as_bytes())
}

fn body(run: &Run) -> Result<String> {
    let record = &run.record;
    let mut body = format!("<h1>{}</h1>\n", escaped(&record.name));
    if let Some(question) = &record.question {
        let _ = writeln!(body, "<p class=\"question\">{}</p>", escaped(question));
    }
    if record.status != Status::Done {
        let told = record.error.as_deref().unwrap_or_default();
        let _ = writeln!(
            body,
            "<p class=\"failed\">{}. {}</p>",
            record.status,
            escaped(told)
        );
    }
    body += &found(record);
    body += &figures(&run.folder)?;
    body += &given(record);
    body += &printed(&run.folder);
    let (name, script) = (escaped(&run.name()), escaped(&record.script));
    let locked = match is_pack(Path::new(&record.script)) {
        // An archive holds its lock.
        true => format!("tureen run {script}"),
        false => format!("tureen lock {script}\ntureen run {script} --locked"),
    };
    let _ = writeln!(
        body,
        "<h2>Reproduce</h2>\n<pre>tureen reproduce {name}\n{locked}</pre>"
    );
    Ok(body)
}

/// What was recorded: single values in one table, tables each by itself.
fn found(record: &Record) -> String {
    if record.recorded.is_empty() {
        return String::new();
    }
    let mut single = String::new();
    let mut tables = String::new();
    for (name, value) in &record.recorded {
        match rows(value) {
            Some(rows) => {
                let _ = write!(tables, "<h3>{}</h3>\n{}", escaped(name), table(&rows));
            }
            None => {
                let _ = writeln!(
                    single,
                    "<tr><td>{}</td><td>{}</td></tr>",
                    escaped(name),
                    escaped(&told(value))
                );
            }
        }
    }
    if !single.is_empty() {
        single = format!("<table>{single}</table>\n");
    }
    format!("<h2>Results</h2>\n{single}{tables}")
}

/// The rows of a recorded table.
fn rows(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    let list = value.as_array()?;
    let rows: Option<Vec<_>> = list.iter().map(Value::as_object).collect();
    rows.filter(|rows| !rows.is_empty())
}

fn table(rows: &[&Map<String, Value>]) -> String {
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
    let mut out = String::from("<table class=\"sorts\"><thead><tr>");
    for name in &names {
        let _ = write!(out, "<th{}>{}</th>", class(name), escaped(name));
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in rows {
        out += "<tr>";
        for name in &names {
            let cell = row.get(*name).map(told).unwrap_or_default();
            let _ = write!(out, "<td{}>{}</td>", class(name), escaped(&cell));
        }
        out += "</tr>\n";
    }
    out + "</tbody></table>\n"
}

/// A value in a line: numbers short, an interval in brackets behind its number.
fn told(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(plain) => match plain.as_f64() {
            Some(value) if value.fract() != 0.0 => number(value),
            _ => plain.to_string(),
        },
        Value::Array(values) => values.iter().map(told).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            let interval = match (map.get("lo"), map.get("hi")) {
                (Some(lo), Some(hi)) if lo.is_number() => {
                    format!(" [{}, {}]", told(lo), told(hi))
                }
                _ => String::new(),
            };
            let rest = map.iter().filter(|(name, value)| {
                !value.is_null() && (interval.is_empty() || !matches!(name.as_str(), "lo" | "hi"))
            });
            let rest: Vec<String> = rest
                .map(|(name, value)| format!("{name} = {}", told(value)))
                .collect();
            format!("{}{interval}", rest.join(", "))
        }
        Value::Bool(truth) => truth.to_string(),
    }
}

/// The figures in the run's folder, in order of their names.
fn figures(folder: &Path) -> Result<String> {
    let mut out = String::new();
    let mut seen: Vec<String> = Vec::new();
    for (name, path) in listed(folder)? {
        let kind = match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            _ => continue,
        };
        let stem = name
            .rsplit_once('.')
            .map_or(name.as_str(), |(stem, _)| stem);
        // A figure saved as both is shown once.
        if seen.iter().any(|known| known == stem) {
            continue;
        }
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        seen.push(stem.to_string());
        let _ = writeln!(
            out,
            "<figure><img alt=\"{}\" src=\"data:{kind};base64,{}\"><figcaption>{}</figcaption></figure>",
            escaped(stem),
            STANDARD.encode(bytes),
            escaped(&name)
        );
    }
    Ok(match out.is_empty() {
        true => out,
        false => format!("<h2>Figures</h2>\n{out}"),
    })
}

/// What went into the run. Times and threads are left to run.json: the same study gives the same page.
fn given(record: &Record) -> String {
    let mut rows = vec![
        ("script".to_string(), record.script.clone()),
        ("seed".into(), record.seed.to_string()),
        ("program".into(), format!("tureen {}", record.version)),
        ("computed by".into(), record.class.clone()),
    ];
    for (name, value) in &record.parameters {
        rows.push((format!("parameter {name}"), value.clone()));
    }
    rows.push(("script's hash".into(), record.script_hash.clone()));
    rows.extend(
        record
            .imports
            .iter()
            .map(|(path, hash)| (format!("module {path}"), hash.clone())),
    );
    rows.extend(record.inputs.clone());
    let rows: Vec<String> = rows
        .iter()
        .map(|(name, text)| {
            format!(
                "<tr><td>{}</td><td>{}</td></tr>\n",
                escaped(name),
                escaped(text)
            )
        })
        .collect();
    format!("<h2>What went in</h2>\n<table>{}</table>\n", rows.concat())
}

/// The end of what the script printed.
fn printed(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("log.txt")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return String::new();
    }
    let end = &lines[lines.len().saturating_sub(LINES)..];
    format!(
        "<h2>Printed</h2>\n<pre>{}</pre>\n",
        escaped(&end.join("\n"))
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_holds_results_figures_and_inputs_and_nothing_of_a_script_gets_through() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::begin(Path::new("a<b>.rhai"), "1", BTreeMap::new());
        record.question = Some("Is <script> & \"all\" quoted?".into());
        record.recorded = BTreeMap::from([
            (
                "headline".into(),
                json!({"r": 0.51234567, "n": 3, "lo": 0.1, "hi": 0.9}),
            ),
            (
                "rows".into(),
                json!([{"size": 2, "who": "x"}, {"size": 3, "more": null}]),
            ),
        ]);
        record.inputs.insert("dataset films".into(), "abc".into());
        record.end(Ok(()));
        std::fs::write(folder.path().join("fig.svg"), "<svg/>").unwrap();
        std::fs::write(folder.path().join("fig.png"), "x").unwrap();
        std::fs::write(folder.path().join("log.txt"), "a < b\n").unwrap();
        let run = Run {
            folder: folder.path().to_path_buf(),
            record,
        };
        write_page(&run).unwrap();
        let page = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        for part in [
            "Is &lt;script&gt; &amp; &quot;all&quot; quoted?",
            "r = 0.5123, n = 3 [0.1000, 0.9000]",
            "<th class=\"number\">size</th>",
            "<th>who</th>",
            "dataset films",
            "a &lt; b",
        ] {
            assert!(page.contains(part), "{part} is missing:\n{page}");
        }
        assert_eq!(page.matches("<img ").count(), 1);
        assert!(!page.contains("http"));
    }
}
