//! The identity of a base model, and adapters that meet another base than their own.

mod relations {
    use std::path::Path;

    use crate::cases::{case, peft, printed, refused, tureen};

    /// Mixes two adapters; the program's output.
    fn mixed(a: &Path, b: &Path) -> std::process::Output {
        let temporary = tempfile::tempdir().unwrap();
        let out = temporary.path().join("out");
        let paths = [a, b, &out].map(|p| p.to_str().unwrap());
        let arguments = ["soup", paths[0], paths[1], "--out", paths[2]];
        tureen(temporary.path(), &arguments)
    }

    #[test]
    fn other_bases_of_the_same_shape_get_a_notice() {
        let folder = case("different-bases");
        let (_, told) = printed(&mixed(&folder.join("llama"), &folder.join("qwen2")));
        let line = "was made for someone/llama, qwen2 for someone/qwen2";
        assert_eq!(told.matches(line).count(), 1, "{told}");
        // By operators and methods too, once for all of them.
        let code = "let a = load_adapter(\"llama\"); let b = load_adapter(\"qwen2\");
            let s = 0.5 * a + 0.5 * b; let t = soup([a, b], #{ method: \"ties\", density: 0.5 }); t.id;";
        let (_, told) = printed(&tureen(&folder, &["-e", code]));
        assert_eq!(told.matches(line).count(), 1, "{told}");
        let (_, told) = printed(&mixed(&folder.join("llama"), &folder.join("llama")));
        assert!(!told.contains("was made for"), "{told}");
    }

    #[test]
    fn adapters_that_cannot_act_in_one_model_are_refused() {
        let llama = case("different-bases/llama");
        let temporary = tempfile::tempdir().unwrap();
        let other = |name: &str, base: &str, rename: &dyn Fn(&str) -> String, wide: bool| {
            let mut config = peft::config(&llama);
            config["base_model_name_or_path"] = base.into();
            let tensors = peft::tensors(&llama).into_iter().map(|(name, tensor)| {
                let a = name.ends_with("lora_A.weight") && wide;
                let tensor = match a {
                    true => tensor.pad_with_zeros(1, 0, 8).unwrap(),
                    false => tensor,
                };
                (rename(&name), tensor)
            });
            let out = temporary.path().join(name);
            peft::write(&out, &tensors.collect(), &config);
            out
        };
        let opt = other(
            "opt",
            "facebook/opt-125m",
            &|n| n.replace(".layers.", ".decoder.layers."),
            false,
        );
        let message = refused(&mixed(&llama, &opt));
        assert!(message.contains("no module in common"), "{message}");
        let wide = other("wide", "someone/llama", &|n| n.into(), true);
        let message = refused(&mixed(&llama, &wide));
        assert!(message.contains("q_proj"), "{message}");
        assert!(
            message.contains("40") && message.contains("32"),
            "{message}"
        );
        let deep = other("deep", "someone/other", &|n| n.into(), false);
        let mut tensors = peft::tensors(&deep);
        let more: Vec<_> = tensors
            .iter()
            .filter(|(n, _)| n.contains(".layers.1."))
            .map(|(n, t)| (n.replace(".layers.1.", ".layers.2."), t.clone()))
            .collect();
        tensors.extend(more);
        peft::write(&deep, &tensors, &peft::config(&deep));
        let message = refused(&mixed(&llama, &deep));
        assert!(
            message.contains("all 2 layers") && message.contains("all 3 layers"),
            "{message}"
        );
        // Of one base, adapters of different modules add up.
        let keys = other(
            "keys",
            "someone/llama",
            &|n| n.replace("q_proj", "k_proj").replace("v_proj", "o_proj"),
            false,
        );
        let mut config = peft::config(&keys);
        config["target_modules"] = serde_json::json!(["k_proj", "o_proj"]);
        peft::write(&keys, &peft::tensors(&keys), &config);
        let (_, told) = printed(&mixed(&llama, &keys));
        assert!(!told.contains("was made for"), "{told}");
    }

    #[test]
    fn an_adapter_in_another_base_than_its_own_gets_a_notice() {
        let folder = case("foreign-adapter-other-base");
        let evaluated = |base: &str| {
            let code = format!(
                "let a = load_adapter(\"adapter\"); let d = dataset(\"rows.csv\");
                 let m = model(\"{base}\");
                 print(evaluate(m, a, d).accuracy); print(evaluate(m, a, d).accuracy);"
            );
            printed(&tureen(&folder, &["-e", &code]))
        };
        let (out, told) = evaluated("base");
        assert!(out.starts_with("1.0"), "{out}");
        assert!(!told.contains("was made for"), "{told}");
        let (out, told) = evaluated("other");
        assert!(out.starts_with("0.4"), "{out}");
        let line = "adapter was made for base and acts here in other";
        assert_eq!(told.matches(line).count(), 1, "{told}");
    }

    /// The same folder at another place has the name that the adapter's configuration gives.
    #[test]
    fn a_copy_of_the_base_is_the_base() {
        let folder = case("foreign-adapter-other-base");
        let temporary = tempfile::tempdir().unwrap();
        let copy = temporary.path().join("models/base");
        std::fs::create_dir_all(&copy).unwrap();
        for file in std::fs::read_dir(folder.join("base")).unwrap().flatten() {
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        let code = format!(
            "let a = load_adapter({:?}); let d = dataset({:?}); print(evaluate(model(\"models/base\"), a, d).accuracy)",
            folder.join("adapter"),
            folder.join("rows.csv")
        );
        let read = ["--allow-read", folder.to_str().unwrap(), "-e", &code];
        let (_, told) = printed(&tureen(temporary.path(), &read));
        assert!(!told.contains("was made for"), "{told}");
    }
}
