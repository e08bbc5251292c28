//! The examples of the docs and the guide: each runs, and gives what stands beside it.

use std::path::Path;

use rhai::Dynamic;
use tureen::report::Screen;
use tureen::script::docs::{self, Comment};
use tureen::script::{Interpreter, Mode, Session, Setup, incomplete};
use tureen::study::Store;

use super::Output;

/// A place to run examples in: a folder for what they write, and the names of the prelude.
struct Place {
    folder: tempfile::TempDir,
    session: Session,
    output: Output,
    prepared: Vec<(String, Dynamic)>,
    wrong: String,
    ran: usize,
}

impl Place {
    fn new(prelude: &str, store: Option<Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = Output::default();
        let session = Session::new(Setup {
            output: Box::new(output.clone()),
            write_folder: folder.path().to_path_buf(),
            module_path: vec![folder.path().to_path_buf()],
            store,
            ..Setup::default()
        });
        let mut interpreter = Interpreter::new(session.clone());
        let _value = interpreter.run("prelude", prelude).unwrap();
        Self {
            prepared: interpreter.variables(),
            folder,
            session,
            output,
            wrong: String::new(),
            ran: 0,
        }
    }

    fn interpreter(&self) -> Interpreter {
        let mut interpreter = Interpreter::new(self.session.clone());
        for (name, value) in &self.prepared {
            interpreter.set(name, value.clone());
        }
        interpreter
    }

    /// Runs the examples of a comment, each from the prelude.
    fn try_all(&mut self, owner: &str, comment: &Comment) {
        for example in &comment.examples {
            let mut interpreter = self.interpreter();
            self.ran += 1;
            if let Err(wrong) = self.run(&mut interpreter, example) {
                self.wrong.push_str(&format!("\n{owner}: {wrong}\n"));
            }
        }
    }

    /// Runs code input by input; what the prompt would show goes to the output.
    fn run(&self, interpreter: &mut Interpreter, text: &str) -> Result<(), String> {
        let mut code = String::new();
        for line in text.lines() {
            let (part, expected) = match line.split_once("    // ") {
                Some((part, expected)) => (part, Some(expected)),
                None => (line, None),
            };
            code.push_str(part);
            code.push('\n');
            if incomplete(&code) {
                continue;
            }
            let value = interpreter
                .run("example", &code)
                .map_err(|diagnostic| format!("{code}{diagnostic}"))?;
            if let Some(expected) = expected {
                let got = interpreter.text(&value);
                if !alike(expected.trim(), &got) {
                    return Err(format!("{code}  expected {expected}\n  got      {got}"));
                }
            } else if !value.is_unit() && !code.trim_end().ends_with([';', '}']) {
                interpreter
                    .session()
                    .print(&interpreter.card(&value, &Screen::default()));
            }
            code.clear();
        }
        Ok(())
    }

    fn done(self, least: usize) {
        assert!(self.wrong.is_empty(), "{}", self.wrong);
        assert!(self.ran >= least, "only {} examples are left", self.ran);
    }
}

/// Whether what came is what was expected; after `about` a number may differ by a tenth.
fn alike(expected: &str, got: &str) -> bool {
    match expected.strip_prefix("about ") {
        Some(expected) => nearly(expected, got),
        None => expected == got,
    }
}

/// The same words, numbers within a tenth or a few hundredths; lines of a table may be longer.
fn nearly(expected: &str, got: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split_whitespace();
        let words = words.map(|w| w.trim_matches(['[', ']', '(', ')', ',', ';', ':', '`']));
        let border = |w: &str| !w.chars().any(char::is_alphanumeric);
        words.filter(|w| !border(w)).map(String::from).collect()
    };
    let (expected, got) = (words(expected), words(got));
    let near = |a: &String, b: &String| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 0.1 * a.abs().max(b.abs()) + 0.04,
        _ => a == b,
    };
    expected.len() == got.len() && expected.iter().zip(&got).all(|(a, b)| near(a, b))
}

#[test]
fn numbers_are_compared_loosely_where_it_says_so() {
    assert!(alike("about 0.5", "0.52") && !alike("about 0.5", "0.7"));
    assert!(alike("0.5", "0.5") && !alike("0.5", "0.52"));
    assert!(nearly("a [0.80, 12]", "a [0.78, 12.5]") && !nearly("a 1", "b 1"));
}

#[test]
fn the_examples_of_natives_hold() {
    let mut place = Place::new(docs::PRELUDE, None);
    for chapter in docs::Reference::new(&place.session).chapters {
        for type_ in &chapter.types {
            place.try_all(&type_.name, &type_.doc);
            for property in &type_.properties {
                place.try_all(&property.name, &property.doc);
            }
        }
        for page in &chapter.functions {
            for form in &page.forms {
                place.try_all(&page.name, &form.doc);
            }
        }
    }
    place.done(150);
}

#[test]
fn the_examples_of_modules_hold() {
    let mut place = Place::new(docs::PRELUDE, None);
    for module in docs::modules() {
        place.try_all(&module.path, &module.doc);
        for function in &module.functions {
            place.try_all(&function.signature(&module.path), &function.doc);
        }
    }
    place.done(15);
}

/// Every example runs from the lines of the prelude that are shown with it.
#[test]
fn the_prelude_shown_with_an_example_has_all_it_needs() {
    let natives = Session::new(Setup::default());
    let mut found: Vec<String> = Vec::new();
    for chapter in docs::Reference::new(&natives).chapters {
        let types = chapter.types.iter().map(|t| &t.doc);
        let forms = chapter.functions.iter().flat_map(|f| &f.forms);
        let comments = types.chain(forms.map(|f| &f.doc));
        found.extend(comments.flat_map(|c| c.examples.clone()));
    }
    let names: Vec<String> = docs::PRELUDE
        .lines()
        .filter_map(|l| l.strip_prefix("let ")?.split(' ').next().map(String::from))
        .collect();
    for example in found {
        let lines = docs::prelude(&example);
        let ended = example.replace("    // ", ";    // ");
        let code = format!("{lines}\n{ended}");
        let mut engine = rhai::Engine::new();
        engine.set_strict_variables(true);
        let Err(error) = engine.compile(&code) else {
            continue;
        };
        match error.err_type() {
            rhai::ParseErrorType::VariableUndefined(name) => {
                assert!(!names.contains(name), "{name} is missing:\n{code}");
            }
            // The natives' own modules are not known to a bare engine.
            rhai::ParseErrorType::ModuleUndefined(_) => {}
            _ => panic!("{code}\n{error}"),
        }
    }
}

/// The class of kernels that the guide's numbers were made by.
const MEASURED: &str = "x86-64-v3";

/// The blocks of each page run in order, what pages train alike is trained once; a `text` block is
/// what the `rhai` block before it shows.
/// With UPDATE_GUIDE set, the pages are written anew with what came.
#[test]
fn the_guide_holds() {
    let update = std::env::var_os("UPDATE_GUIDE").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib/guide");
    let kept = tempfile::tempdir().unwrap();
    let mut wrong = String::new();
    for page in docs::GUIDE {
        match rerun(page.text, Store::open(kept.path())) {
            Ok(new) if new == page.text => {}
            Ok(new) if update => {
                std::fs::write(folder.join(format!("{}.md", page.name)), new).unwrap()
            }
            Ok(new) => {
                let differs = page.text.lines().zip(new.lines()).find(|(a, b)| a != b);
                wrong.push_str(&format!("\n{}: {differs:?}", page.name));
            }
            Err(error) => wrong.push_str(&format!("\n{}: {error}", page.name)),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The page with the outputs that its code gives; those that are near enough are kept.
fn rerun(text: &str, store: Store) -> Result<String, String> {
    let place = Place::new("", Some(store));
    let mut interpreter = place.interpreter();
    let mut page = String::new();
    let mut shown = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        page.push_str(line);
        page.push('\n');
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
        let block = block.join("\n");
        let mut kept = block.clone();
        if let Some(file) = kind.strip_prefix("rhai,file=") {
            std::fs::write(place.folder.path().join(file), &block).unwrap();
        } else if kind == "rhai" {
            let before = place.output.text().len();
            place.run(&mut interpreter, &block)?;
            shown = place.output.text()[before..].trim_end().to_string();
        } else if kind.starts_with("text") {
            let same = match kind {
                // What training gives may differ on other processors by more than it says.
                "text about" => tureen::compute::class() != MEASURED || nearly(&block, &shown),
                _ => block == shown,
            };
            if !same {
                kept = std::mem::take(&mut shown);
            }
        }
        page.push_str(&kept);
        page.push_str("\n```\n");
    }
    Ok(page)
}

#[test]
fn the_example_studies_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    let scripts: Vec<_> = files
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "rhai")
        })
        .collect();
    assert!(!scripts.is_empty());
    for path in scripts {
        let written = tempfile::tempdir().unwrap();
        let output = Output::default();
        let session = Session::new(Setup {
            mode: Mode::Script { path: path.clone() },
            output: Box::new(output.clone()),
            write_folder: written.path().to_path_buf(),
            ..Setup::default()
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let mut interpreter = Interpreter::new(session);
        if let Err(diagnostic) = interpreter.run(&path.display().to_string(), &text) {
            panic!("{diagnostic}");
        }
        assert!(
            !output.text().is_empty(),
            "{} prints nothing",
            path.display()
        );
        assert!(std::fs::read_dir(written.path()).unwrap().count() > 0);
    }
}
