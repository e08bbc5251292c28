//! Transcripts of sessions behind a pseudo-terminal.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::terminal::Terminal;

/// A transcript without what differs between versions.
fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"^tureen [0-9.]+;", "tureen VERSION;");
    settings.add_filter(r"\d+(\.\d+)? (µs|ms|s)\b", "TIME");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_first_session() {
    let folder = folder();
    let mut terminal = Terminal::ready(folder.path(), 80);
    for input in [
        "1 + 1",
        "ans * 21",
        "out(1) + ans",
        "let x = [3, 1, 2]",
        "x.sorted()",
        "x.sorte()",
        "#{ lr: 0.5, epochs: 3 }",
        "\"text\"",
        "let y = 1; y.fails()",
        "y",
        ":vars",
        ":type x.len()",
        ":tpye x",
        "out(3)",
        "out(4)",
        ":time 1 + 1",
        "dataset(\"films\")",
        ":reset",
        ":vars",
    ] {
        terminal.enter(input);
    }
    snapshot("first_session", &terminal.text());
    terminal.quit();
}

#[test]
fn help_is_at_hand() {
    let folder = folder();
    let mut terminal = Terminal::ready(folder.path(), 100);
    for input in [
        ":help",
        "?sign_diff",
        "table?",
        "help(\"corelate\")",
        ":type Score",
        "?Dataset.sample",
        ":?",
    ] {
        terminal.enter(input);
    }
    let text = terminal.text();
    for expected in [
        "Ctrl-R",
        "did you mean correlate?",
        ":example table runs the example.",
        ".accuracy",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    terminal.quit();
}

#[test]
fn code_goes_on_until_it_is_complete() {
    let folder = folder();
    let mut terminal = Terminal::ready(folder.path(), 60);
    terminal.send("fn double(x) {\r");
    terminal.send("  2 * x\r");
    terminal.enter("}");
    terminal.enter("double(21)");
    // What would never be complete is sent off by two empty lines.
    terminal.send("double((\r\r");
    terminal.enter("");
    terminal.send("double(1,\u{3}");
    terminal.until_text("leaves");
    terminal.until_prompt();
    snapshot("multi_line", &terminal.text());
    terminal.quit();
}

#[test]
fn a_pasted_script_runs_whole() {
    let folder = folder();
    let mut terminal = Terminal::ready(folder.path(), 60);
    let paste = |text: &str| format!("\u{1b}[200~{text}\u{1b}[201~");
    terminal.enter(&paste("let t = table([\n  #{ a: 1, b: 2 },\n  #{ a: 3, b: 4 },\n]);\n\nt\n  .sort(\"a\", #{ descending: true })\n"));
    terminal.enter(&paste("let p = 1\nlet q = p + 1\np + q"));
    terminal.enter("q");
    snapshot("pasted", &terminal.text());
    terminal.quit();
}

#[test]
fn tab_completes_what_can_stand_there() {
    let folder = folder();
    std::fs::write(folder.path().join("numbers.csv"), "a,b\n1,2\n").unwrap();
    let mut terminal = Terminal::ready(folder.path(), 100);
    terminal.send("read_ta\t");
    terminal.until_text("read_table");
    terminal.send("(\"numb\t");
    terminal.until_text("numbers.csv");
    terminal.enter("\")");
    terminal.enter("let t = ans");
    terminal.send("t.correl\t");
    terminal.until_text("correlate(");
    terminal.send("\"a\", \"b\", #{ meth\t");
    terminal.until_text("method: ");
    terminal.send("\"spea\t");
    terminal.until_text("\"spearman\"");
    terminal.send("\u{3}");
    terminal.until_text("leaves");
    terminal.until_prompt();
    terminal.send("train(b, d, #{ adapter: \t");
    terminal.until_text("\"houlsby\"");
    assert!(
        terminal.text().contains("\"pfeiffer\""),
        "{}",
        terminal.text()
    );
    terminal.send("\u{3}");
    terminal.until_prompt();
    terminal.send("dataset(\"fi\t");
    terminal.until_text("dataset(\"films\"");
    assert!(
        terminal.line().ends_with("dataset(\"films\""),
        "{}",
        terminal.line()
    );
}

#[test]
fn hints_are_shown_while_typing() {
    let folder = folder();
    let mut terminal = Terminal::ready(folder.path(), 100);
    terminal.send("train(");
    terminal.until_text("model: Model, data: Dataset[, options: map])");
    terminal.send("base, films, #{ epo");
    terminal.until_text("epochs: 3  passes over the train split");
    terminal.send("\u{3}");
    terminal.until_prompt();
    terminal.send(":ti");
    terminal.until_text(":time EXPRESSION  run it and say how long it took");
}

#[test]
fn the_history_is_kept_and_searched() {
    let folder = folder();
    let mut terminal = Terminal::ready(folder.path(), 80);
    terminal.enter("let remembered = 40 + 2");
    terminal.quit();
    let mut terminal = Terminal::ready(folder.path(), 80);
    terminal.send("\u{12}remem");
    terminal.until_text("let remembered = 40 + 2");
    terminal.send("\r");
    terminal.until_prompt();
    terminal.enter("remembered");
    assert!(terminal.text().contains("\n42"), "{}", terminal.text());
    terminal.quit();
}

#[test]
fn ctrl_c_stops_what_runs_and_not_the_session() {
    let folder = folder();
    let mut terminal = Terminal::ready(folder.path(), 100);
    terminal.enter("let kept = 7");
    terminal.send("loop { }\r");
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("\u{3}");
    terminal.until_text("interrupted");
    terminal.until_prompt();
    terminal.enter("let base = model(\"mini\"); let films = dataset(\"films\")");
    // A native with its bar.
    terminal.send("train(base, films, #{ epochs: 500, patience: 500 })\r");
    terminal.until_text("steps");
    terminal.send("\u{3}");
    terminal.until("the interruption", |screen| {
        screen.contents().matches("interrupted").count() == 2
    });
    terminal.until_prompt();
    terminal.enter("kept");
    assert!(
        terminal.text().contains("> kept\n7\n"),
        "{}",
        terminal.text()
    );
    terminal.quit();
}

#[test]
fn a_session_becomes_a_script() {
    let folder = folder();
    let mut terminal = Terminal::ready(folder.path(), 80);
    for input in [
        "let xs = [1.5, 2.5, 4.0]",
        "xs.mean()",
        "ans.no_such()",
        "fn f(x) { x + 1 }",
        "f(out(2)) * 2",
        "table([#{ a: 1 }, #{ a: 2 }])",
        ":save study.rhai",
        ":save study.rhai",
    ] {
        terminal.enter(input);
    }
    terminal.quit();
    let script = std::fs::read_to_string(folder.path().join("study.rhai")).unwrap();
    snapshot("saved_script", &script);
    let run = Command::new(env!("CARGO_BIN_EXE_tureen"))
        .args(["run", "study.rhai", "--out", "run"])
        .current_dir(folder.path())
        .env("TUREEN_STORE", folder.path().join("store"))
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    snapshot("saved_script_output", &String::from_utf8_lossy(&run.stdout));
    // It can be taken up again, too.
    let mut terminal = Terminal::ready(folder.path(), 80);
    terminal.enter(":load study.rhai");
    terminal.enter("xs.len()");
    assert!(
        terminal.text().contains("xs.len()\n3"),
        "{}",
        terminal.text()
    );
    terminal.quit();
}

#[test]
fn an_input_is_written_in_an_editor() {
    let folder = folder();
    let editor = folder.path().join("editor.sh");
    std::fs::write(&editor, "#!/bin/sh\necho ' + 1' >> \"$1\"\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let variables = [("EDITOR", editor.to_str().unwrap())];
    let mut terminal = Terminal::start(folder.path(), 80, &variables);
    terminal.until_prompt();
    terminal.enter("20 * 2");
    terminal.enter(":edit 1");
    assert!(
        terminal.text().contains("20 * 2 + 1\n41"),
        "{}",
        terminal.text()
    );
    terminal.quit();
}

#[test]
fn figures_are_drawn_as_the_terminal_can() {
    let draw = "table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }]).scatter(\"x\", \"y\")";
    for (variables, mark) in [
        (&[("TERM", "xterm-256color")][..], "\u{1b}[38;5;"),
        (&[("COLORTERM", "truecolor")], "\u{1b}[38;2;"),
        (&[("TERM", "xterm-kitty")], "\u{1b}_Ga=T,f=100"),
        (&[("TERM", "foot")], "\u{1b}Pq\"1;1;"),
    ] {
        let folder = folder();
        let mut terminal = Terminal::start(folder.path(), 60, variables);
        terminal.until_prompt();
        terminal.enter(draw);
        let raw = String::from_utf8_lossy(&terminal.raw).into_owned();
        assert!(raw.contains(mark), "{variables:?}");
        terminal.quit();
    }
    let folder = folder();
    let mut terminal = Terminal::start(folder.path(), 60, &[("NO_COLOR", "1")]);
    terminal.until_prompt();
    terminal.enter(draw);
    let raw = String::from_utf8_lossy(&terminal.raw).into_owned();
    assert!(
        !raw.contains("\u{1b}[38;") && (0..8).all(|c| !raw.contains(&format!("\u{1b}[3{c}m"))),
        "{raw}"
    );
    snapshot("plain_figure", &terminal.text());
    terminal.quit();
}

#[test]
fn input_from_a_pipe_works_with_its_places() {
    let folder = folder();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tureen"))
        .current_dir(folder.path())
        .env("TUREEN_STORE", folder.path().join("store"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = "let x = [1,\n  2];\n\nx\n  .len()\nlet y = x.no_such();\n:vars\nif x.len() > 1 { \"yes\" }\nelse { \"no\" }\n";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(out, "2\nx  list  [1, 2]\n\"yes\"\n");
    assert!(err.starts_with("stdin:6:"), "{err}");
    assert_eq!(output.status.code(), Some(1));
}
