//! What a run tells of names and of code that does not parse.

use std::sync::{Arc, Mutex};

use tureen::context::Progress;
use tureen::script::{Interpreter, Session, Setup};

use super::{check, outcome};

#[test]
fn what_is_meant_by_a_name_is_told() {
    check(&[
        (
            "let score = #{ accuracy: 0.9 }; score.acuracy",
            "t:1:39: error: the map has no key acuracy; did you mean accuracy?",
        ),
        (
            r#"parse_json("{\"accuracy\": 1}").acuracy"#,
            r#"t:1:33: error: the map has no key acuracy; where it may be missing, test "acuracy" in the map, or use get("acuracy")"#,
        ),
        (
            "{ let inner = 1; } print(inner)",
            "t:1:26: error: inner ends with its block; declare it before the block",
        ),
        (
            "print(later); let later = 1;",
            "t:1:7: error: unknown variable later; declare it before its use",
        ),
        (
            "fn f(list) { lst[0] } f([1])",
            "t:1:14: error: unknown variable lst; did you mean list?",
        ),
        ("let x = 1; y", "t:1:12: error: unknown variable y"),
        (
            "total = 3",
            "t:1:1: error: unknown variable total; a new variable is declared: let total = ...",
        ),
        (
            "max(1, least=2)",
            "t:1:8: error: unknown variable least; options are a map: #{ least: ... }",
        ),
        (
            "let xs = [1]; xs.sorte()",
            "t:1:18: error: unknown function sorte(list); did you mean sorted?",
        ),
        (
            "let sorted = [1].sort(); sorted[0]",
            "t:1:32: error: the value is (), which has no entries; a call without a result gives (), such as sort(); sorted() gives a copy",
        ),
    ]);
}

#[test]
fn what_does_not_parse_says_what_to_write() {
    check(&[
        (
            "let name = 'films';",
            r#"t:1:12: error: single quotes hold one letter; a text goes in double quotes: "films""#,
        ),
        (
            "let size = 2; #{ size }",
            "t:1:23: error: expected `:` after size; there is no shorthand: #{ size: size }",
        ),
        (
            "let x = 3; if x = 3 { }",
            "t:1:17: error: a condition compares with ==; = sets a variable",
        ),
        (
            "#{ a: 1, a: 2 }",
            "t:1:10: error: the key a stands twice in the map",
        ),
        (
            "if [1] { }",
            "t:1:4: error: a condition is true or false, got a list",
        ),
        (
            "fn static(x) { x }",
            "t:1:4: error: static is a reserved word; a function needs another name",
        ),
    ]);
    let told = outcome(r#"train(model("mini"), dataset("films"), #{ use: 1 })"#);
    assert!(told.contains("train: unknown option use"), "{told}");
}

#[test]
fn the_caret_is_under_what_is_wrong() {
    check(&[
        (
            "let data = dataset(\"filsm\");",
            r#"t:1:20: error: no dataset "filsm": no such file or folder; did you mean "films"?"#,
        ),
        (
            "let all = datasets([\"films\", \"prodcts\"]);",
            r#"t:1:30: error: no dataset "prodcts": no such file or folder; did you mean "products"?"#,
        ),
        (
            "let base = model(\"minni\");",
            r#"t:1:18: error: no model "minni"; did you mean "mini"?"#,
        ),
        (
            "let notes = read_text(\"nowhere.x\");",
            "t:1:23: error: nowhere.x: no such file; it is looked for in .",
        ),
        (
            "let t = table([#{ drop: 1 }]); t.column(\"dorp\")",
            "t:1:41: error: there is no column `dorp`; did you mean `drop`? the columns are drop",
        ),
        (
            "fn g(n) { h(n) } fn h(n) { g(n) } g(0)",
            "t:1:28: error: g and h call each other too deeply, at most 64 levels; raise the limit with --max-depth N",
        ),
    ]);
}

#[test]
fn json_without_quotes_says_so() {
    let told = outcome(r#"parse_json("{ epochs: 3 }")"#);
    assert!(
        told.ends_with(r#"; keys stand in quotes: {"epochs": 3}"#),
        "{told}"
    );
}

/// Keeps what the user is told.
#[derive(Default)]
struct Notices(Mutex<Vec<String>>);

impl Progress for Notices {
    fn start(&self, _: &str, _: u64, _: &str) {}
    fn update(&self, _: u64, _: &str) {}
    fn finish(&self) {}
    fn notice(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_string());
    }
}

#[test]
fn a_run_tells_of_a_hidden_native_with_its_place() {
    let notices = Arc::new(Notices::default());
    let setup = Setup {
        progress: notices.clone(),
        ..Setup::default()
    };
    let mut interpreter = Interpreter::new(Session::new(setup));
    let script = "fn first(list) { list[0] }\nfn soup(x) { x }\nsoup(first([1]))";
    assert_eq!(interpreter.run("t", script).unwrap().as_int(), Ok(1));
    let hidden = "fn soup hides the built-in function of that name; give it another name, unless this is meant";
    assert_eq!(
        *notices.0.lock().unwrap(),
        [format!("t:2:4: warning: {hidden}")]
    );
}

/// The words that rhai keeps, none of which means anything here.
const RESERVED: &[&str] = &[
    "default",
    "new",
    "match",
    "case",
    "use",
    "is",
    "module",
    "thread",
    "sync",
    "async",
    "await",
    "yield",
    "public",
    "static",
    "shared",
    "go",
    "goto",
    "spawn",
    "void",
    "null",
    "nil",
    "package",
    "protected",
    "super",
    "var",
    "until",
    "do",
    "throw",
];

#[test]
fn a_reserved_word_is_told_by_what_it_was_meant_for() {
    for word in RESERVED {
        for (script, hint) in [
            (
                format!("#{{ {word}: 1 }}"),
                format!("write \"{word}\": ..."),
            ),
            (
                format!("let m = #{{}}; m.{word}"),
                format!("write x[\"{word}\"]"),
            ),
            (
                format!("let m = #{{}}; m.{word}(1)"),
                "a function needs another name".into(),
            ),
            (
                format!("let {word} = 1;"),
                "a variable needs another name".into(),
            ),
            (
                format!("fn {word}(x) {{ x }}"),
                "a function needs another name".into(),
            ),
        ] {
            let got = outcome(&script);
            let expected = format!("error: {word} is a reserved word; {hint}");
            assert!(got.ends_with(&expected), "{script}: {got}");
        }
    }
}
