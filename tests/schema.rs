//! The schema of `run.json`, held against real records.

use std::path::Path;

use serde_json::{Value, json};

use crate::studies::{Place, run_json};

/// In what a value is not as its schema says, of the keywords that the schema uses; an unknown one
/// is a fault too, so that nothing goes unchecked.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (keyword, says) in schema.as_object().unwrap() {
        let ok = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "type" => {
                let kinds: Vec<&str> = match says {
                    Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
                    one => vec![one.as_str().unwrap()],
                };
                kinds.iter().any(|kind| is(value, kind))
            }
            "const" => value == says,
            "enum" => says.as_array().unwrap().contains(value),
            "minimum" => value.as_f64() >= says.as_f64(),
            "pattern" => {
                let pattern = fancy_regex::Regex::new(says.as_str().unwrap()).unwrap();
                value
                    .as_str()
                    .is_none_or(|text| pattern.is_match(text).unwrap())
            }
            "required" => {
                let names = says.as_array().unwrap().iter();
                names
                    .clone()
                    .all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "properties" => {
                for (name, schema) in says.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        faults(root, schema, inner, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |name: &String| schema["properties"].get(name).is_some();
                for (name, inner) in value.as_object().into_iter().flatten() {
                    match says {
                        Value::Bool(false) if !known(name) => {
                            found.push(format!("{at}: has {name}"))
                        }
                        Value::Object(_) if !known(name) => {
                            faults(root, says, inner, &format!("{at}/{name}"), found);
                        }
                        _ => {}
                    }
                }
                true
            }
            "propertyNames" => {
                for name in value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name)
                {
                    faults(root, says, &json!(name), &format!("{at}/{name}"), found);
                }
                true
            }
            "items" => {
                for (i, inner) in value.as_array().into_iter().flatten().enumerate() {
                    faults(root, says, inner, &format!("{at}/{i}"), found);
                }
                true
            }
            "$ref" => {
                let name = says.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                faults(root, &root["$defs"][name], value, at, found);
                true
            }
            "oneOf" => {
                let fits = says.as_array().unwrap().iter().filter(|one| {
                    let mut inner = Vec::new();
                    faults(root, one, value, at, &mut inner);
                    inner.is_empty()
                });
                fits.count() == 1
            }
            unknown => panic!("the schema has {unknown}, which is not checked here"),
        };
        if !ok {
            found.push(format!("{at}: {keyword} {says}"));
        }
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("the schema has the type {other}, which is not checked here"),
    }
}

fn check(schema: &Value, record: &Value) -> Vec<String> {
    let mut found = Vec::new();
    faults(schema, schema, record, "", &mut found);
    found
}

#[test]
fn records_are_as_their_schema_says() {
    let place = Place::new();
    let schema: Value = serde_json::from_str(&place.done(&["runs", "--schema"])).unwrap();
    place.done(&[
        "run",
        "study.rhai",
        "--set",
        "epochs=1",
        "--out",
        "runs/done",
    ]);
    place.write(
        "bad.rhai",
        "import \"std/stats\" as s; record(\"x\", 1); throw \"no\";",
    );
    place.refused(&["run", "bad.rhai", "--out", "runs/failed"]);
    for run in ["runs/done", "runs/failed"] {
        let record = run_json(&place.at(run));
        assert_eq!(
            check(&schema, &record),
            Vec::<String>::new(),
            "{run}: {record:#}"
        );
    }
    let record = run_json(&place.at("runs/done"));
    assert_eq!(record["models"], json!({ "mini": ["cpu f32"] }));

    // What is not so is found.
    let good = run_json(Path::new(&place.at("runs/done")));
    let wrong: [(&str, Value); 8] = [
        ("status", json!("finished")),
        ("seed", json!("3")),
        ("seed", json!(-1)),
        ("script_hash", json!("abc")),
        ("inputs", json!({"films": "abc"})),
        ("imports", json!({"x.rhai": 1})),
        ("store", json!(["xyz"])),
        ("ended", json!("yesterday")),
    ];
    for (field, value) in wrong {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(!check(&schema, &bad).is_empty(), "{field}");
    }
    let mut more = good.clone();
    more["colour"] = json!("red");
    assert_eq!(check(&schema, &more), [": has colour"]);
    let mut less = good;
    less.as_object_mut().unwrap().shift_remove("threads");
    assert_eq!(check(&schema, &less).len(), 1);
}
