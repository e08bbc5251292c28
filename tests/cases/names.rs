//! Canonical names of tensors.

use tureen::adapter::{deltas, formats};

use super::{case, peft, printed, tureen};

/// One member changes `lm_head`, the other does not: the mixture holds half of each member's change
/// under the names that PEFT has for them.
#[test]
fn no_member_is_lost_beside_a_changed_head() {
    let folder = case("lmhead-mix");
    let (with, without) = (folder.join("with_lm_head"), folder.join("without"));
    let (a, b) = (
        formats::load(&with).unwrap(),
        formats::load(&without).unwrap(),
    );
    for members in [[&with, &without], [&without, &with]] {
        let out = tempfile::tempdir().unwrap();
        let mixed = out.path().join("mixed");
        let paths = members.map(|m| m.to_str().unwrap());
        let arguments = ["soup", paths[0], paths[1], "--out", mixed.to_str().unwrap()];
        printed(&tureen(out.path(), &arguments));
        let mut expected: Vec<String> = peft::tensors(&with).into_keys().collect();
        expected.extend(peft::tensors(&without).into_keys());
        expected.sort();
        expected.dedup();
        let names: Vec<String> = peft::tensors(&mixed).into_keys().collect();
        assert_eq!(names, expected);
        let found = deltas(&formats::load(&mixed).unwrap()).unwrap();
        let (own, theirs) = (deltas(&a).unwrap(), deltas(&b).unwrap());
        assert_eq!(found.len(), 5);
        for (name, change) in &found {
            let parts = [own.get(name), theirs.get(name)];
            let mut sum = change.zeros_like().unwrap();
            for part in parts.into_iter().flatten() {
                sum = (sum + (part * 0.5).unwrap()).unwrap();
            }
            assert!(peft::distance(change, &sum) < 1e-6, "{name}");
        }
        let targets = peft::config(&mixed)["target_modules"].clone();
        assert_eq!(targets, serde_json::json!(["lm_head", "q_proj", "v_proj"]));
    }
}

/// A module's canonical name is the same in every file and never begins with a dot.
#[test]
fn names_are_the_same_whatever_lies_beside_them() {
    let folders = [
        case("lmhead-mix/with_lm_head"),
        case("lmhead-mix/without"),
        case("modules-to-save-prune/lmhead-emb-saved-1"),
        case("modules-to-save-prune/bert-qa-1"),
        case("modules-to-save-prune/vit-1"),
        case("embedding-lora/emb-lora-1"),
        case("embedding-lora/no-base-layer"),
    ];
    for folder in folders {
        let adapter = formats::load(&folder).unwrap();
        let shapes = adapter.shapes().unwrap();
        for name in shapes.keys() {
            let text = name.as_str();
            assert!(!text.starts_with('.'), "{text}");
            assert!(
                !text.starts_with("model.") && !text.starts_with("vit."),
                "{text}"
            );
            if name.layer().is_some() {
                let starts = text.starts_with("layers.") || text.starts_with("encoder.layer.");
                assert!(starts, "{text}");
            }
        }
        // Written again, every tensor has the name it had.
        let out = tempfile::tempdir().unwrap();
        let again = out.path().join("again");
        formats::save(&adapter, &again, Some(formats::Format::Peft)).unwrap();
        let names = |folder| peft::tensors(folder).into_keys().collect::<Vec<_>>();
        assert_eq!(names(&again), names(&folder), "{}", folder.display());
    }
}
