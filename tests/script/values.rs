//! What works, and how values print.

use super::{check, interpreter};

#[test]
fn scripts_give_their_values() {
    check(&[
        ("let m = #{ a: 1 }; m.b = 2; m.b", "2"),
        (r#"let m = #{ a: 1 }; m.get("b") == ()"#, "true"),
        ("[1, 2] == [1, 2]", "true"),
        ("1 in [1, 2]", "true"),
        ("1e-17 == 0.0", "false"),
        ("0.1 + 0.2 == 0.3", "false"),
        ("1 == 1.0", "true"),
        ("#{a: 1} == #{a: 1}", "true"),
        ("true == true", "true"),
        ("6 / 3", "2"),
        ("1.0 / 3", "0.3333333333333333"),
        ("let x = 8; x /= 2; x", "4"),
        ("2 ** 3", "8"),
        ("2 ** 0.5", "1.4142135623730951"),
        ("sqrt(2)", "1.4142135623730951"),
        ("log(8, 2)", "3.0"),
        ("range(0, 3).type_of()", "range"),
        (
            "steps(0.1, 0.9, 0.1)",
            "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]",
        ),
        ("steps(1, 9, 2)", "[1, 3, 5, 7, 9]"),
        ("steps(1, 0, -0.25)", "[1.0, 0.75, 0.5, 0.25, 0.0]"),
        ("linspace(0, 1, 5)", "[0.0, 0.25, 0.5, 0.75, 1.0]"),
        (
            "let n = 0; for row in table([#{ x: 1 }, #{ x: 2 }]) { n += row.x; } n",
            "3",
        ),
        ("[1, 2].sum()", "3"),
        ("[1, 2].mean()", "1.5"),
        ("[3, 1, 2].sorted()", "[1, 2, 3]"),
        ("[1, 1, 2].unique()", "[1, 2]"),
        ("[[1], [2]].flatten()", "[1, 2]"),
        ("[3, 1].min()", "1"),
        ("let t = [1, 2, 3]; filter(t, |r| r > t.mean())", "[3]"),
        (
            "let t = [1, 2, 3]; let m = t.mean(); t.filter(|r| r > m)",
            "[3]",
        ),
        ("[4, 9].map(sqrt)", "[2.0, 3.0]"),
        ("let f = |x| x + 1; f.call(2)", "3"),
        (
            "let xs = [4, 9]; let g = |a| a.map(sqrt); g.call(xs)",
            "[2.0, 3.0]",
        ),
        ("fn soup(x) { x } soup(1)", "1"),
        (r#""a" + 1"#, "a1"),
        ("1e-7", "0.0000001"),
        ("1e20", "1e20"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("100000000.0", "100000000.0"),
        ("3.0", "3.0"),
        (r#"`${[1.5, "a"]}`"#, r#"[1.5, "a"]"#),
        ("-1", "-1"),
        ("!true", "false"),
        (r#"1 + "a""#, "1a"),
        (
            r#"parse_json("{\"a\": [1, 2.5, null]}")"#,
            r#"#{"a": [1, 2.5, ()]}"#,
        ),
        ("to_json(#{ a: [1, 2.5, ()] })", r#"{"a":[1,2.5,null]}"#),
        ("to_json(0.0/1.0)", "0.0"),
        (r#"import "std/stats" as s; s::median([3, 1, 2])"#, "2"),
        (
            r#"import "std/stats" as s; s::sd([1])"#,
            "stdlib/stats.rhai:12:25: error: sd: expected at least 2 values, got 1",
        ),
        (r#"switch 3 { 1 => "a" }"#, ""),
        ("[1,2,3].sort()", ""),
        ("min(1, 2.5)", "1.0"),
        (r#"max("a", "b")"#, "b"),
        ("quotient(7, -2)", "-4"),
        ("exit(3)", "3"),
        ("return 4", "4"),
        (r#"'a' == "a""#, "true"),
        (r#"param("x", 3)"#, "3"),
        ("(0.0).is_nan", "false"),
        ("fn f(xs) { xs.map(|a| a.map(sqrt)) } f([[4]])", "[[2.0]]"),
        ("let sqrt = 3; sqrt + 1", "4"),
        ("let n = 0; [1, 2].for_each(|x| n += x); n", "3"),
        ("let r = []; for i in 0..3 { r.push(i); } r", "[0, 1, 2]"),
        ("[1,2,3].filter(|x| x > 1)", "[2, 3]"),
        ("let s = 0; while s < 10 { s += 1 } s", "10"),
        (r#""a" > "b""#, "false"),
        ("[[1,2],[3]] == [[1,2],[3]]", "true"),
        ("1.0 == 1", "true"),
    ]);
}

#[test]
fn functions_variables_and_imports_outlive_an_input() {
    let (mut interpreter, _) = interpreter(&[]);
    for input in [
        "fn f(x) { x + 1 }",
        "let a = 1; let g = |x| x * 2;",
        r#"import "std/stats" as s;"#,
    ] {
        let _value = interpreter.run("input", input).unwrap();
    }
    let value = interpreter
        .run("input", "g.call(f(a)) + s::median([1, 3, 5])")
        .unwrap();
    assert_eq!(value.as_int(), Ok(7));
}

#[test]
fn print_writes_values_as_they_are_written() {
    let (mut interpreter, output) = interpreter(&[]);
    let script = r#"print("a"); print(0.1 + 0.2); print([1.5, "a", #{ b: () }]); [7].for_each(|x| print(x));
        try { 1 / 3 } catch (e) { print(e.message); }"#;
    let _value = interpreter.run("t", script).unwrap();
    assert_eq!(
        output.text(),
        "a\n0.30000000000000004\n[1.5, \"a\", #{\"b\": ()}]\n7\n1 / 3 is not a whole number\n"
    );
}

#[test]
fn the_reference_has_every_topic_and_its_functions() {
    let (interpreter, _) = interpreter(&[]);
    let page = tureen::script::docs::markdown(interpreter.session());
    for part in [
        "## Lists",
        "### linspace",
        "- `linspace(from: any, to: any, count: int) -> list`",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
}
