//! Quantised weights.

use std::path::Path;

use tureen::tensorfile::Number;

use super::bases::{Raw, rewritten};
use super::{case, printed, refused, tureen};

/// The largest difference of a model's states from those before it was quantised.
fn difference(folder: &Path, model: &str) -> f64 {
    let right = case("quantised-base").join("right.safetensors");
    let script = format!(
        "let io = load_tensors({:?}); print(model({model:?}).forward(#{{ input_ids: io.input_ids, \
         attention_mask: io.attention_mask }}).max_abs_diff(io.h, #{{ mask: io.attention_mask }}))",
        right.display().to_string()
    );
    let allowed = case("quantised-base").display().to_string();
    let (out, _) = printed(&tureen(folder, &["-e", &script, "--allow-read", &allowed]));
    out.trim().parse().unwrap()
}

#[test]
fn codes_with_their_scales_are_read_as_weights() {
    let folder = case("quantised-base");
    // The rounding to 8 bits alone; the codes themselves differ by more than 2.
    let (int8, float8) = (difference(&folder, "int8"), difference(&folder, "float8"));
    assert!(int8 < 0.1, "{int8}");
    assert!(float8 < 0.4, "{float8}");
}

#[test]
fn tensors_tell_without_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["int8", "float8"] {
        let own = folder.path().join(name);
        rewritten(&case("quantised-base").join(name), &own, |_| {});
        let path = own.join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config
            .as_object_mut()
            .unwrap()
            .remove("quantization_config")
            .unwrap();
        std::fs::write(&path, config.to_string()).unwrap();
        let with = difference(&case("quantised-base"), name);
        assert_eq!(difference(folder.path(), name), with);
    }
    // Codes without scales, and codes in a type of nobody's.
    let without = |all: &mut Vec<Raw>| all.retain(|raw| !raw.0.ends_with("SCB"));
    rewritten(
        &folder.path().join("int8"),
        &folder.path().join("bare"),
        without,
    );
    let message = refused(&tureen(folder.path(), &["-e", "model(\"bare\")"]));
    assert!(
        message.contains("quantised (whole numbers, I8)"),
        "{message}"
    );
    assert!(message.contains("16 bits"), "{message}");
}

#[test]
fn other_schemes_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cases = case("quantised-merge");
    for (name, expected) in [("q4a", "bitsandbytes, 4 bits"), ("gqa", "gptq")] {
        let (one, two) = (
            folder.path().join(name),
            folder.path().join(format!("{name}2")),
        );
        rewritten(&cases.join(name), &one, |_| {});
        rewritten(&cases.join(name), &two, |_| {});
        let recipe = format!(
            "models:\n- {{model: {name}, parameters: {{weight: 0.5}}}}\n\
             - {{model: {name}2, parameters: {{weight: 0.5}}}}\nmerge_method: linear\n"
        );
        std::fs::write(folder.path().join("merge.yml"), recipe).unwrap();
        let message = refused(&tureen(folder.path(), &["merge", "merge.yml", "above/out"]));
        assert!(message.contains(expected), "{message}");
        assert!(
            message.contains("merge the unquantised weights"),
            "{message}"
        );
        assert!(!folder.path().join("above").exists());
    }
    // Whatever is read into a model is not mixed either: the result would be quantised by nobody.
    for name in ["int8", "float8"] {
        rewritten(
            &case("quantised-base").join(name),
            &folder.path().join(name),
            |_| {},
        );
        let recipe = format!("models:\n- model: {name}\nmerge_method: passthrough\n");
        std::fs::write(folder.path().join("merge.yml"), recipe).unwrap();
        let message = refused(&tureen(folder.path(), &["merge", "merge.yml", "out"]));
        assert!(
            message.contains("merge the unquantised weights"),
            "{message}"
        );
        assert!(!folder.path().join("out").exists());
    }
}

#[test]
fn adapters_of_whole_numbers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("a");
    std::fs::create_dir(&own).unwrap();
    let config = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["query"]}"#;
    std::fs::write(own.join("adapter_config.json"), config).unwrap();
    let stem = "base_model.model.bert.encoder.layer.0.attention.self.query";
    let write = |number: Number, more: Vec<Raw>| {
        let bytes = |n: usize| vec![1; n * number.size()];
        let mut all: Vec<Raw> = vec![
            (
                format!("{stem}.lora_A.weight"),
                number,
                vec![2, 16],
                bytes(32),
            ),
            (
                format!("{stem}.lora_B.weight"),
                number,
                vec![16, 2],
                bytes(32),
            ),
        ];
        all.extend(more);
        let parts = all.iter().map(
            |(name, number, shape, bytes)| tureen::tensorfile::Streamed {
                name: name.clone(),
                shape: shape.clone(),
                number: *number,
                parts: vec![tureen::tensorfile::Part {
                    size: bytes.len(),
                    make: Box::new(|| Ok(bytes.clone())),
                }],
            },
        );
        let path = own.join("adapter_model.safetensors");
        tureen::tensorfile::write_streamed(&path, parts.collect(), None).unwrap();
    };
    for number in [Number::I8, Number::U8, Number::I32, Number::I64] {
        write(number, Vec::new());
        for arguments in [
            &["-e", "load_adapter(\"a\")"][..],
            &["signs", "a", "a"],
            &["convert", "a", "out", "--format", "peft"],
        ] {
            let message = refused(&tureen(folder.path(), arguments));
            assert!(message.contains("quantised (whole numbers"), "{message}");
            assert!(!folder.path().join("out").exists());
        }
    }
    let scales = (
        format!("{stem}.lora_A.SCB"),
        Number::F32,
        vec![2],
        vec![0; 8],
    );
    write(Number::F32, vec![scales]);
    let message = refused(&tureen(folder.path(), &["-e", "load_adapter(\"a\")"]));
    assert!(message.contains("bitsandbytes, 8 bits"), "{message}");
}
