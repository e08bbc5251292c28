//! What `check` finds, by small scripts.

use tureen::script::{Session, Setup, Severity, check};

/// The lines that `check` tells of a script.
fn told(script: &str) -> Vec<String> {
    let found = check(&Session::new(Setup::default()), "t", script);
    let lines = found.iter().map(|finding| finding.diagnostic.to_string());
    lines.collect()
}

/// The same, of warnings alone.
fn warnings(script: &str) -> Vec<String> {
    let found = check(&Session::new(Setup::default()), "t", script);
    let warnings = found
        .iter()
        .filter(|f| f.diagnostic.severity == Severity::Warning);
    warnings.map(|f| f.diagnostic.to_string()).collect()
}

#[test]
fn a_kept_closure_with_a_variable_that_changes_is_warned_of() {
    let line = "the closure keeps k itself, not its value now: after k changes it sees the new one; let own = k; and use own in the closure";
    for (script, place) in [
        ("let k = 2; let f = |x| x * k; k = 3; f.call(1)", "1:28"),
        (
            "let fs = []; for k in 1..=3 { fs.push(|x| x * k); }",
            "1:47",
        ),
        ("let k = 2; let fs = [|x| x * k]; k += 1;", "1:30"),
        ("let k = 2; let m = #{ f: |x| x * k }; k += 1;", "1:34"),
        (
            "let fs = []; let k = 0; while k < 3 { k += 1; fs.push(|x| x * k); }",
            "1:63",
        ),
    ] {
        assert_eq!(
            warnings(script),
            [format!("t:{place}: warning: {line}")],
            "{script}"
        );
    }
}

#[test]
fn other_closures_are_not_warned_of() {
    for script in [
        "let k = 2; let xs = [1, 2].map(|x| x * k); k = 3; xs.filter(|x| x > k)",
        "for k in 1..=3 { print([1, 2].map(|x| x * k)); }",
        "let t = table([#{ size: 2 }]); for k in 1..=3 { t = t.add(`c${k}`, |r| r.size * k); }",
        "let k = 2; k = 3; let f = |x| x * k; f.call(1)",
        "let fs = []; for k in 1..=3 { let own = k; fs.push(|x| x * own); }",
        "let n = 0; let count = |x| { n += x; }; count.call(2); n",
        "let k = 2; let f = |x| x * k; let k = 3; k = 4; f.call(k)",
    ] {
        assert_eq!(warnings(script), [""; 0], "{script}");
    }
}

#[test]
fn a_missing_semicolon_does_not_end_the_check() {
    let missing = "missing `;` to terminate this statement";
    for (script, place) in [
        ("let a = 1\nprint(b);\nprint(c);", "1:10"),
        (
            "let a = 1 // one\n\nlet d = 2;\nprint(b);\nprint(c);",
            "1:10",
        ),
        ("let a = 1 let d = 2;\nprint(b);\nprint(c);", "1:10"),
    ] {
        let found = told(script);
        assert_eq!(found.len(), 3, "{script}: {found:?}");
        assert_eq!(found[0], format!("t:{place}: error: {missing}"));
        assert!(found[1].contains("unknown variable b"), "{found:?}");
        assert!(found[2].contains("unknown variable c"), "{found:?}");
    }
}

#[test]
fn single_quotes_do_not_end_the_check() {
    let found = told("let name = 'films';\nprint(b);");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("t:2:7: error: unknown variable b"));
}

#[test]
fn a_call_that_does_not_fit_says_what_does() {
    for (call, hint) in [
        (
            "train(films)",
            "it takes train(model: Model, data: Dataset or list[, options])",
        ),
        ("train(films, base)", "the order is train(model, data)"),
        (
            "train(base, \"films\")",
            "dataset(\"films\") is the dataset of that name",
        ),
        (
            "train(\"mini\", films)",
            "model(\"mini\") is the model of that name",
        ),
        (
            "train(base, films, 3)",
            "options are a map: train(base, films, #{ ",
        ),
    ] {
        let script = format!("let base = model(\"mini\"); let films = dataset(\"films\"); {call};");
        let found = told(&script);
        assert!(
            found.len() == 1 && found[0].contains(hint),
            "{call}: {found:?}"
        );
    }
}

#[test]
fn only_a_function_of_as_many_parameters_hides_a_native() {
    assert_eq!(warnings("fn first(list) { list[0] } first([1])"), [""; 0]);
    let hidden = "fn soup hides the built-in function of that name; give it another name, unless this is meant";
    assert_eq!(
        warnings("fn soup(x) { x } soup(1)"),
        [format!("t:1:4: warning: {hidden}")]
    );
}

#[test]
fn an_unknown_module_is_marked_itself() {
    let found = told("print(recipes::mean_of([1]));");
    assert!(
        found[0].starts_with("t:1:7: error: unknown module recipes"),
        "{found:?}"
    );
}

#[test]
fn what_every_script_reads_is_looked_for() {
    for call in [
        "load_mask",
        "replay",
        "load_tensors",
        "read_text",
        "read_table",
    ] {
        let found = told(&format!("let x = {call}(\"nowhere.x\");"));
        assert!(found.len() == 1, "{call}: {found:?}");
        assert!(
            found[0].contains("nowhere.x: no such file"),
            "{call}: {found:?}"
        );
    }
}

#[test]
fn what_the_engine_reads_in_another_way_is_warned_of() {
    let minus = "the minus comes before the power: -x ** 2 is (-x) ** 2; write -(x ** 2), or (-x) ** 2 where that is meant";
    for script in [
        "let x = 3; -x ** 2",
        "let x = 3; let y = 1; print(-x  ** 2)",
    ] {
        let found = warnings(script);
        assert!(found.len() == 1 && found[0].ends_with(minus), "{found:?}");
    }
    let switch = "1.0 is not 1 here; write 1.0 => ...";
    let found = warnings("switch 1.0 { 1 => 2, _ => 3 }");
    assert!(found.len() == 1 && found[0].ends_with(switch), "{found:?}");
    for script in [
        "let x = 3; (-x) ** 2",
        "let x = 3; -(x ** 2)",
        "let x = 3; 1 - x ** 2",
        "switch 1.0 { 1.0 => 2, _ => 3 }",
        "switch 1 { 1 => 2, _ => 3 }",
    ] {
        assert_eq!(warnings(script), [""; 0], "{script}");
    }
}
