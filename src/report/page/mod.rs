//! A run as one page of HTML that needs nothing else: no network, no other file.

mod adapters;
mod figures;
mod headline;
mod inline;
mod tables;

use std::fmt::Write;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::escaped;
use crate::Result;
use crate::study::files::write_atomic;
use crate::study::pack::is_pack;
use crate::study::{Record, Run, SCRIPT, Status};

/// What a run's folder calls its page.
const FILE: &str = "report.html";

/// Longer output is told by its end.
const LINES: usize = 200;
const BYTES: u64 = 200_000;

/// Writes the page into the run's folder: the question, what was recorded, the figures, tables and
/// adapters that lie there, what went in, and how to reproduce it.
pub fn write_page(run: &Run) -> Result<()> {
    let frame = include_str!("frame.html");
    let page = frame
        .replace("{{title}}", &escaped(&run.record.name))
        .replace("{{body}}", &body(run)?);
    write_atomic(&run.folder.join(FILE), page.as_bytes())
}

fn body(run: &Run) -> Result<String> {
    let record = &run.record;
    let mut body = format!("<header>\n<h1>{}</h1>\n", escaped(&record.name));
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
    body += "</header>\n";
    body += &headline::recorded(record);
    body += &figures::of_folder(&run.folder)?;
    body += &tables::of_folder(&run.folder)?;
    body += &adapters::of_folder(&run.folder)?;
    body += &given(record);
    body += &printed(&run.folder);
    body += &script(&run.folder);
    let (name, script) = (escaped(&run.name()), escaped(&record.script));
    let locked = match is_pack(Path::new(&record.script)) {
        // An archive holds its lock.
        true => format!("tureen run {script}"),
        false => format!("tureen lock {script}\ntureen run {script} --locked"),
    };
    let _ = writeln!(
        body,
        "<h2>Reproduce</h2>\n<p>Run it again and compare what it records, or pin what it read and run that:</p>\n\
         <pre>tureen reproduce {name}\n{locked}</pre>"
    );
    Ok(body)
}

/// Names and texts, one a line.
fn facts(rows: &[(String, String)]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|(name, text)| {
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n",
                escaped(name),
                escaped(text)
            )
        })
        .collect();
    format!("<table class=\"facts\">{}</table>\n", rows.concat())
}

/// What went into the run. Times and threads are left to run.json: the same study gives the same page.
fn given(record: &Record) -> String {
    let mut rows = vec![
        ("script".to_string(), record.script.clone()),
        ("seed".into(), record.seed.to_string()),
    ];
    for (name, value) in &record.parameters {
        rows.push((format!("parameter {name}"), value.clone()));
    }
    rows.extend(record.inputs.clone());
    rows.extend(
        record
            .imports
            .iter()
            .map(|(path, hash)| (format!("module {path}"), hash.clone())),
    );
    rows.push(("script's hash".into(), record.script_hash.clone()));
    let environment = [
        ("program".into(), format!("tureen {}", record.version)),
        ("computed by".into(), record.class.clone()),
    ];
    format!(
        "<h2>What went in</h2>\n{}<h2>Environment</h2>\n{}<p class=\"aside\">Times and threads stand in run.json.</p>\n",
        facts(&rows),
        facts(&environment)
    )
}

/// The last part of a file.
fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The end of what the script printed.
fn printed(folder: &Path) -> String {
    let text = end_of(&folder.join("log.txt")).unwrap_or_default();
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

/// The script as it was run, folded.
fn script(folder: &Path) -> String {
    let text = end_of(&folder.join(SCRIPT)).unwrap_or_default();
    if text.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Script</h2>\n<details><summary>{} lines</summary>\n<pre>{}</pre>\n</details>\n",
        text.lines().count(),
        escaped(&text)
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
            ("note".into(), json!("<i>")),
        ]);
        record.inputs.insert("dataset films".into(), "abc".into());
        record.end(Ok(()));
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "fig.svg",
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><g><title>x = 1</title></g></svg>",
        );
        write("fig.png", "x");
        write("fig.csv", "a,b\n1,2\n");
        write("found.csv", "size,drop\n2,0.5\n");
        write("evil.svg", "<svg><script>alert(1)</script></svg>");
        write("log.txt", "a < b\n");
        write(SCRIPT, "let a = x < y;\n");
        write(
            "adapters/x/tureen.json",
            r#"{"name": "x<", "id": "0123456789abcdef", "recipe": {"method": "ties", "density": 0.3},
                "inputs": [{"name": "in", "id": "ff", "training": {"dataset": "films"}}]}"#,
        );
        let run = Run {
            folder: folder.path().to_path_buf(),
            record,
        };
        write_page(&run).unwrap();
        let page = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        for part in [
            "Is &lt;script&gt; &amp; &quot;all&quot; quoted?",
            "<strong>0.5123</strong>",
            "0.1000 to 0.9000",
            "n = 3",
            "<th class=\"number\" scope=\"col\"><button>size</button></th>",
            "&lt;i&gt;",
            "dataset films",
            "<title>x = 1</title>",
            "found.csv",
            "x&lt;",
            "ties: density = 0.3000",
            "trained on films",
            "a &lt; b",
            "let a = x &lt; y;",
        ] {
            assert!(page.contains(part), "{part} is missing:\n{page}");
        }
        // The figure that could act is shown as a picture, which cannot; each figure once.
        assert_eq!(page.matches("<img ").count(), 1);
        assert!(!page.contains("alert") && !page.contains("fig.csv"));
        assert_eq!(page.matches("<script").count(), 1);
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("://"), "{page}");
    }
}
