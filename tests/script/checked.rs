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
