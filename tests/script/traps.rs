//! What would give a wrong number in plain Rhai, and the line it gives here.

use super::{check, interpreter, outcome};

#[test]
fn every_trap_is_one_line_with_its_place() {
    check(&[
        (
            "let m = #{ a: 1 }; m.b",
            r#"t:1:22: error: the map has no key b; where it may be missing, test "b" in the map, or use get("b")"#,
        ),
        (
            "let m = #{ a: 1 }; m.b > 2",
            r#"t:1:22: error: the map has no key b; where it may be missing, test "b" in the map, or use get("b")"#,
        ),
        (
            r#"let m = #{ a: 1 }; m["b"]"#,
            r#"t:1:22: error: the map has no key b; where it may be missing, test "b" in the map, or use get("b")"#,
        ),
        (
            r#"let m = #{ a: 1 }; m.get("b") == 3"#,
            "t:1:31: error: cannot compare () with int 3; a value is missing; test for it with `x == ()` first",
        ),
        (
            "() > 2",
            "t:1:4: error: cannot compare () with int 2; a value is missing; test for it with `x == ()` first",
        ),
        (
            r#"1 == "a""#,
            r#"t:1:3: error: cannot compare int 1 with text "a""#,
        ),
        (
            r#"1 != "a""#,
            r#"t:1:3: error: cannot compare int 1 with text "a""#,
        ),
        (
            r#""b" > 1"#,
            r#"t:1:5: error: cannot compare text "b" with int 1"#,
        ),
        (
            r#"[1, 2] == [1, "a"]"#,
            r#"t:1:8: error: cannot compare int 2 with text "a""#,
        ),
        (
            r#"1 in ["a"]"#,
            r#"t:1:3: error: cannot compare text "a" with int 1"#,
        ),
        (
            "true < false",
            "t:1:6: error: cannot compare bool true with bool false",
        ),
        (
            "1 / 3",
            "t:1:3: error: 1 / 3 is not a whole number; write 1.0 / 3 (x.to_float() / y) for the fraction, quotient(1, 3) to round down",
        ),
        ("1.0 / 0", "t:1:5: error: 1 / 0: division by zero"),
        (
            "let x = 7; x /= 2; x",
            "t:1:14: error: 7 / 2 is not a whole number; write 7.0 / 2 (x.to_float() / y) for the fraction, quotient(7, 2) to round down",
        ),
        (
            "2 ^ 3",
            "t:1:3: error: `^` is not the power of numbers; write 2 ** 3",
        ),
        (
            "2.0 ^ 3",
            "t:1:5: error: `^` is not the power of numbers; write 2 ** 3",
        ),
        (
            "2 ** -1",
            "t:1:3: error: integer raised to a negative power: 2 ** -1; write 2.0 ** -1",
        ),
        ("sqrt(-1)", "t:1:1: error: sqrt(-1) is not a finite number"),
        ("ln(0)", "t:1:1: error: ln(0) is not a finite number"),
        (
            "range(0.1, 1.0, 0.1)",
            "t:1:1: error: range of fractions drifts; write steps(0.1, 0.9, 0.1)",
        ),
        (
            "range(0, 1, 0.1)",
            "t:1:1: error: range of fractions drifts; write steps(0, 0.9, 0.1)",
        ),
        (
            "steps(0, 1, -1)",
            "t:1:1: error: steps: a step of -1 never leads from 0 to 1",
        ),
        ("[].mean()", "t:1:4: error: mean: the list is empty"),
        (
            r#"["a"].sum()"#,
            r#"t:1:7: error: value 0 of the list is no number but text "a""#,
        ),
        (
            "let t = [1, 2, 3]; t.filter(|r| r > t.mean())",
            "t:1:22: error: the closure uses t, which the call works on; write filter(t, ...) for t.filter(...), or let it use a copy: let copy = t;",
        ),
        (
            "let top = 1; fn f() { top } f()",
            "t:1:23: error: unknown variable top; a fn sees only its parameters: pass top as one",
        ),
        (
            "let f = |x| x + 1; f(2)",
            "t:1:20: error: unknown function f(int); f is a variable: write f.call(...)",
        ),
        (
            "undefined_thing",
            "t:1:1: error: unknown variable undefined_thing",
        ),
        (
            "undefined_thing(1)",
            "t:1:1: error: unknown function undefined_thing(int)",
        ),
        (
            "sqrtt(2)",
            "t:1:1: error: unknown function sqrtt(int); did you mean sqrt?",
        ),
        (
            r#"sqrt("a")"#,
            "t:1:1: error: sqrt does not take (text); it takes sqrt(x: number)",
        ),
        (
            "let abc = 1; abd",
            "t:1:14: error: unknown variable abd; did you mean abc?",
        ),
        (
            "let x = 1 let y = 2",
            "t:1:10: error: missing `;` to terminate this statement",
        ),
        ("foo(1,", "t:1:7: error: the code ends too early"),
        (
            "let x = [1, 2",
            "t:1:14: error: expected `]` to end this list",
        ),
        (
            "#{ default: 1 }",
            r#"t:1:4: error: default is a reserved word; write "default": ..."#,
        ),
        (
            "#{ in: 1 }",
            r#"t:1:4: error: in is a reserved word; write "in": ..."#,
        ),
        (
            "let m = #{ a: 1 }; m.default",
            r#"t:1:22: error: default is a reserved word; write x["default"]"#,
        ),
        (
            "let m = #{ a: 1 }; m.match",
            r#"t:1:22: error: match is a reserved word; write x["match"]"#,
        ),
        (
            "let new = 1;",
            "t:1:5: error: new is a reserved word; a variable needs another name",
        ),
        (
            "let _ = 1;",
            "t:1:5: error: expected the name of a variable; a name has a letter in it",
        ),
        (
            r#"eval("1")"#,
            "t:1:1: error: eval is not available; a script runs no code made of texts",
        ),
        (
            r#""a" + ()"#,
            "t:1:5: error: text + (): there is no value to append; a function without a result, or a missing value, gives ()",
        ),
        (
            r#"let x = "abc"; x.foo"#,
            "t:1:18: error: a text has no property foo; it has bytes, chars, is_empty, len",
        ),
        (
            "let x = [1]; x[5]",
            "t:1:16: error: index 5 is out of bounds: the list has 1 values",
        ),
        (
            "let x = [1]; x.foo",
            "t:1:16: error: a list has no property foo; it has is_empty, len",
        ),
        (
            "let x = 5; x.len",
            "t:1:14: error: an int has no property len; it has bits, is_even, is_odd, is_zero",
        ),
        (
            "const C = 1; C = 2;",
            "t:1:14: error: C is a constant; declare it with let to change it",
        ),
        (r#"throw "bad thing""#, "t:1:1: error: bad thing"),
        ("throw #{ code: 1 }", r#"t:1:1: error: #{"code": 1}"#),
        (
            "fn f(n) { f(n + 1) } f(0)",
            "t:1:11: error: f calls itself too deeply, at most 64 levels; raise the limit with --max-depth N",
        ),
        (
            "fn g(x) { x / 3 } fn f(x) { g(x) } f(1)",
            "t:1:13: error: 1 / 3 is not a whole number; write 1.0 / 3 (x.to_float() / y) for the fraction, quotient(1, 3) to round down",
        ),
        (
            "[1, 2].map(|x| x / 2)",
            "t:1:18: error: 1 / 2 is not a whole number; write 1.0 / 2 (x.to_float() / y) for the fraction, quotient(1, 2) to round down",
        ),
        ("!1", "t:1:1: error: no operator ! for int; write x == 0"),
        (
            "[1] + 1",
            "t:1:5: error: no operator + for list and int; list.map(|x| x + 1)",
        ),
        (
            "1 + [1]",
            "t:1:3: error: no operator + for int and list; list.map(|x| 1 + x)",
        ),
        (
            r#"parse_json("{")"#,
            "t:1:1: error: parse_json: EOF while parsing an object at line 1 column 1",
        ),
        (
            "s::foo()",
            r#"t:1:1: error: unknown module s; import it first: import "s" as s;"#,
        ),
        (
            "for x in 5 { }",
            "t:1:10: error: `for` cannot go over a number; for i in 0..5",
        ),
        (
            "if 1 { 2 }",
            "t:1:4: error: a condition is true or false, got a number; write x != 0",
        ),
        (
            r#"let x = "abc"#,
            "t:1:9: error: the text has no closing quote; texts of several lines go in back-ticks",
        ),
        (
            "let a = 9223372036854775807; a + 1",
            "t:1:32: error: addition overflow: 9223372036854775807 + 1",
        ),
        ("foo.bar()", "t:1:1: error: unknown variable foo"),
        ("x.y", "t:1:1: error: unknown variable x"),
        (
            "let a = 1; a.b.c",
            "t:1:14: error: an int has no property b; it has bits, is_even, is_odd, is_zero",
        ),
        (
            r#"let x = [3, "a"]; x.sort()"#,
            "t:1:21: error: elements of different types cannot be sorted",
        ),
        (
            "fn f(a, b) { a } f(1)",
            "t:1:18: error: unknown function f(int); the script has f(a, b)",
        ),
        (
            "this",
            "t:1:1: error: this has a value only in a function called as a method",
        ),
        (
            "break",
            "t:1:1: error: break statement should only be used inside a loop",
        ),
        (
            "[1, 2, 3][0..2]",
            "t:1:12: error: a list is indexed with a whole number; a part of it is list.extract(0..2)",
        ),
        (
            "#{ if: 1 }",
            r#"t:1:4: error: if is a reserved word; write "if": ..."#,
        ),
        (
            "[1, 2].map(|x| zzzqqq + x)",
            "t:1:16: error: unknown variable zzzqqq",
        ),
        (
            "fn f(x) { x.foo } f(#{a: 1})",
            r#"t:1:13: error: the map has no key foo; where it may be missing, test "foo" in the map, or use get("foo")"#,
        ),
        (
            "let m = #{}; m.a += 1",
            "t:1:18: error: the value on the left is missing; set m.a first",
        ),
        (
            "undefined_thing.foo",
            "t:1:1: error: unknown variable undefined_thing",
        ),
        (
            r#"#{a: 1} != #{a: "x"}"#,
            r#"t:1:9: error: cannot compare int 1 with text "x""#,
        ),
        (
            r#""x" * 2"#,
            r#"t:1:5: error: no operator * for text and int; parse_float("3") makes a number of a text"#,
        ),
    ]);
}

#[test]
fn a_closure_that_uses_a_part_of_its_receiver_is_placed() {
    assert_eq!(
        outcome("let t = #{ rows: [1], k: 1 };\nt.rows.filter(|r| r > t.k)"),
        "t:2:8: error: the closure uses t, which the call works on; let it use a copy: let copy = t;"
    );
}

#[test]
fn a_computed_path_outside_is_refused_and_a_literal_is_not() {
    let refused = outcome(r#"read_text("/proc/" + "version")"#);
    assert!(refused.contains("--allow-read /proc"), "{refused}");
    assert!(!outcome(r#"read_text("/proc/version")"#).contains("--allow-read"));
}

#[test]
fn a_parameter_is_read_as_its_default_is() {
    let (mut interpreter, _) = interpreter(&[("epochs", "5"), ("lr", "many")]);
    assert_eq!(
        interpreter
            .run("t", r#"param("epochs", 3)"#)
            .unwrap()
            .as_int(),
        Ok(5)
    );
    assert_eq!(
        interpreter
            .run("t", r#"param("lr", 0.1)"#)
            .unwrap_err()
            .to_string(),
        "t:1:1: error: --set lr=many: expected a value like the default, float 0.1"
    );
}

#[test]
fn an_error_in_a_module_is_placed_in_the_module() {
    assert_eq!(
        outcome(r#"import "std/stats" as s; s::sd([1])"#),
        "stdlib/stats.rhai:12:25: error: sd: expected at least 2 values, got 1"
    );
}

#[test]
fn an_interruption_cannot_be_caught() {
    let (mut interpreter, _) = interpreter(&[]);
    let stop = interpreter.session().setup().stop.clone();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let diagnostic = interpreter
        .run("t", "try { loop { } } catch (e) { 1 }")
        .unwrap_err();
    assert_eq!(diagnostic.exit_code(), 130);
}
