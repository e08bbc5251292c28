//! States and logits of these models.

use candle_core::Tensor;
use serde_json::json;
use tureen::adapter::Lora;
use tureen::adapter::formats::peft;
use tureen::model::{Encoding, Frozen, Inputs, LinearSite, Noise};

use super::{Case, bits, cases, masked_states, noise, pass, prefix};
use crate::conformance::{difference, inputs};

#[test]
fn states_and_logits_are_those_of_transformers() {
    for case in cases() {
        let model = case.model();
        let inputs = inputs(&model, &case.io);
        let off = difference(
            &masked_states(&model, &inputs),
            &case.io["last_hidden_state"],
        );
        assert!(off <= 1e-5, "{}: {off}", case.name);
        let exact = masked_states(&model.in_f64().unwrap(), &inputs);
        let off = difference(&exact, &case.io["last_hidden_state"]);
        assert!(off <= 1e-5, "{}: {off} in f64", case.name);
        let head = peft::classifier_of(&model).unwrap().unwrap();
        let found = head.logits(&model, &inputs, &Frozen).unwrap();
        let off = difference(&found, &case.io["logits"]);
        assert!(off <= 1e-5, "{}: {off}", case.name);
        assert!(model.unused().is_empty(), "{:?}", model.unused());
        assert_eq!(model.max_length(), model.config().positions());
    }
}

/// A bare model, as AutoModel saves it, is the same but for its classifier.
#[test]
fn bare_models_are_the_same() {
    for case in cases() {
        let (whole, prefix) = (case.model(), prefix(case.name));
        let inputs = inputs(&whole, &case.io);
        let states = masked_states(&whole, &inputs);
        case.write_tensors(
            "model/model.safetensors",
            case.under(&format!("model/{prefix}")),
        );
        let bare = case.model();
        // What only a head reads may be missing from the files of a bare model.
        assert!(!tureen::model::differ(bare.id(), whole.id(), true));
        assert_eq!(difference(&masked_states(&bare, &inputs), &states), 0.0);
        assert!(peft::classifier_of(&bare).unwrap().is_none());
    }
}

/// Within a session, too, a model is that of its files.
#[test]
fn a_model_that_was_written_over_is_read_again() {
    let case = Case::new("modernbert");
    let (mut interpreter, _) = crate::script::interpreter(&[]);
    let script = format!("model({:?}).id", case.path("model"));
    let mut id = || match interpreter.run("t", &script) {
        Ok(value) => interpreter.text(&value),
        Err(error) => panic!("{error}"),
    };
    let first = id();
    assert_eq!(id(), first);
    let mut tensors = case.under("model/");
    for tensor in tensors.values_mut() {
        *tensor = (&*tensor * 2.0).unwrap();
    }
    case.write_tensors("model/model.safetensors", tensors);
    assert_ne!(id(), first);
}

/// Dropout included.
#[test]
fn threads_do_not_change_bits() {
    for case in cases() {
        let model = case.model();
        let inputs = inputs(&model, &case.io);
        let lora = Lora::new(2, 4.0, LinearSite::ALL.to_vec()).unwrap();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            pool.install(|| bits(&pass(&model, &lora, &inputs, true)))
        };
        let one = on(1);
        assert_eq!(one, on(2), "{}", case.name);
        assert_eq!(one, on(3), "{}", case.name);
    }
}

/// MPNet is one operation, as BERT is.
#[test]
fn mpnet_is_the_same_node_by_node() {
    let case = Case::new("mpnet");
    let model = case.model();
    let inputs = inputs(&model, &case.io);
    let lora = Lora::new(2, 4.0, LinearSite::ALL.to_vec()).unwrap();
    let (found, expected) = (
        pass(&model, &lora, &inputs, true),
        pass(&model, &lora, &inputs, false),
    );
    for (found, expected) in found.iter().zip(&expected) {
        assert!(difference(found, expected) < 2e-5);
    }
    assert!(model.in_bf16().is_ok());
    let rest = Case::new("modernbert").model().in_bf16().unwrap_err();
    assert!(rest.to_string().contains("no kernel for bf16"), "{rest}");
}

/// A text's states do not depend on how far it is padded and what is beside it, and what dropout
/// draws for them does not depend on the padding.
#[test]
fn a_text_does_not_depend_on_its_batch() {
    for case in cases() {
        let model = case.model();
        let ids: Vec<u32> = (3..20).collect();
        let encoding = |ids: &[u32]| Encoding {
            ids: ids.to_vec(),
            type_ids: vec![0; ids.len()],
        };
        let (short, long) = (encoding(&ids[..9]), encoding(&ids));
        let together = model.pad(&[&short, &long]).unwrap();
        let alone = model.pad(&[&short]).unwrap();
        let states = |inputs: &Inputs| -> Tensor {
            let states = model.forward(inputs, &Frozen, &Noise::default()).unwrap();
            states.get(0).unwrap().narrow(0, 0, 9).unwrap()
        };
        let off = difference(&states(&together), &states(&alone));
        assert!(off < 5e-6, "{}: {off}", case.name);
        let dropped = |inputs: &Inputs, rows: &[u64]| -> Tensor {
            let states = model.forward_summary(inputs, &Frozen, &noise(rows));
            states.unwrap().get(0).unwrap()
        };
        let off = difference(&dropped(&together, &[4, 6]), &dropped(&alone, &[4]));
        assert!(off < 5e-6, "{}: {off} with dropout", case.name);
        let other = difference(&dropped(&alone, &[5]), &dropped(&alone, &[4]));
        assert!(other > 1e-3, "{}: {other}", case.name);
    }
}

/// A sentence-transformers folder of MPNet with a vocabulary alone, as all-mpnet-base-v2 has it.
#[test]
fn mpnet_embeds_sentences() {
    let case = Case::new("mpnet");
    let words: Vec<String> = (0..22).map(|i| format!("w{i}")).collect();
    let special = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"].map(String::from);
    let vocabulary = [&special[..], &words].concat();
    case.write("model/vocab.txt", &vocabulary.join("\n"));
    case.write(
        "model/modules.json",
        r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#,
    );
    case.write(
        "model/1_Pooling/config.json",
        r#"{"pooling_mode_mean_tokens": true}"#,
    );
    case.write(
        "model/sentence_bert_config.json",
        r#"{"max_seq_length": 100}"#,
    );
    let (model, long) = (case.model(), words.join(" "));
    let found = model
        .embed(&["w1 w2".into(), long.as_str().into()])
        .unwrap();
    for (row, ids) in [
        vec![0u32, 7, 8, 2],
        [&[0], &(6..28).collect::<Vec<_>>()[..], &[2]].concat(),
    ]
    .iter()
    .enumerate()
    {
        let encoding = Encoding {
            ids: ids.clone(),
            type_ids: vec![0; ids.len()],
        };
        let mean = masked_states(&model, &model.pad(&[&encoding]).unwrap())
            .mean(1)
            .unwrap();
        let norm = mean.sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
        let unit = mean.broadcast_div(&norm).unwrap().squeeze(0).unwrap();
        assert!(difference(&found.get(row).unwrap(), &unit) < 1e-6);
    }
}

/// What later versions of transformers write in its configuration means the same.
#[test]
fn newer_configurations_of_modernbert_mean_the_same() {
    let case = Case::new("modernbert");
    let old = case.model();
    let inputs = inputs(&old, &case.io);
    let mut config = case.config();
    let fields = config.as_object_mut().unwrap();
    for gone in [
        "global_rope_theta",
        "local_rope_theta",
        "global_attn_every_n_layers",
    ] {
        fields.remove(gone).unwrap();
    }
    let kinds = ["full_attention", "sliding_attention", "full_attention"];
    fields.insert("layer_types".into(), json!(kinds));
    let rope = json!({
        "full_attention": {"rope_theta": 1000.0, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 100.0, "rope_type": "default"},
    });
    fields.insert("rope_parameters".into(), rope);
    case.write("model/config.json", &config.to_string());
    let off = difference(
        &masked_states(&case.model(), &inputs),
        &masked_states(&old, &inputs),
    );
    assert_eq!(off, 0.0);
}

#[test]
fn other_members_of_the_family_are_refused_by_name() {
    let deberta = || Case::new("deberta-v2");
    for (field, value) in [
        ("conv_kernel_size", json!(3)),
        ("position_biased_input", json!(true)),
        ("share_att_key", json!(false)),
        ("pos_att_type", json!("c2p")),
        ("norm_rel_ebd", json!("none")),
        ("relative_attention", json!(false)),
        ("embedding_size", json!(8)),
        ("position_buckets", json!(-1)),
        ("pooler_hidden_act", json!("tanh")),
    ] {
        let message = deberta().refusal(field, value.clone());
        assert!(message.contains(&format!("{field} {value}")), "{message}");
    }
    let modernbert = || Case::new("modernbert");
    for (field, value) in [
        ("embedding_dropout", json!(0.5)),
        ("classifier_pooling", json!("last")),
        ("rope_scaling", json!({"factor": 2.0})),
        ("layer_types", json!(["full_attention"])),
        ("layer_types", json!(["linear", "linear", "linear"])),
        ("global_attn_every_n_layers", json!(0)),
        ("local_rope_theta", json!(-1.0)),
        ("local_attention", json!("far")),
    ] {
        let message = modernbert().refusal(field, value.clone());
        let what = match field {
            "local_rope_theta" => "rope_theta",
            "local_attention" => "invalid type",
            _ => field,
        };
        assert!(message.contains(what), "{field}: {message}");
    }
    let buckets = Case::new("mpnet");
    let mut own = buckets.under("model/");
    let name = "mpnet.encoder.relative_attention_bias.weight";
    own.insert(name.into(), own[name].narrow(0, 0, 16).unwrap());
    buckets.write_tensors("model/model.safetensors", own);
    let message = buckets.open().unwrap_err().to_string();
    assert!(message.contains("[16, 2], expected [32, 2]"), "{message}");
}
