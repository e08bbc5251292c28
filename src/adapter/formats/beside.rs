//! Files that lie beside an adapter's own: tokenizers, licences, the card.

use std::path::Path;

use serde_json::{Map, Value};

use crate::adapter::metadata::{Metadata, goes_with};
use crate::adapter::value::Adapter;
use crate::study::files::{listed, write_atomic};
use crate::{Error, Result};

use super::standing::{self, CARD};
use super::{Origin, origin};

/// The most bytes of a card that are read.
const LONGEST: u64 = 1 << 20;

/// The adapter with what lies beside its files in `folder`.
pub fn add(folder: &Path, adapter: Adapter) -> Result<Adapter> {
    let mut metadata = (*adapter.parts().metadata.get()).clone();
    for (name, path) in listed(folder)? {
        if goes_with(&name) && belongs(folder, &path) {
            metadata.files.insert(name, path);
        }
    }
    let path = folder.join(CARD);
    if belongs(folder, &path) && path.metadata().is_ok_and(|meta| meta.len() <= LONGEST) {
        let text = crate::input::read(&path)?;
        read_card(
            &mut metadata,
            adapter.name(),
            &String::from_utf8_lossy(&text),
            is_own(folder, &path)?,
        );
    }
    let mut parts = adapter.parts().clone();
    parts.metadata = metadata.into();
    Ok(adapter.with_parts(parts))
}

/// Whether a path is that of a file of this folder: a link may lead elsewhere within it, or within
/// the repository of the hub's cache that it is a snapshot of.
fn belongs(folder: &Path, path: &Path) -> bool {
    let (Ok(root), Ok(path)) = (folder.canonicalize(), path.canonicalize()) else {
        return false;
    };
    let root = match crate::hub::repository_at(&root) {
        Some(_) => root
            .ancestors()
            .nth(2)
            .map(Path::to_path_buf)
            .unwrap_or(root),
        None => root,
    };
    path.is_file() && path.starts_with(root)
}

/// Whether the card was written here and is as it was.
fn is_own(folder: &Path, path: &Path) -> Result<bool> {
    match Origin::read(folder).ok().flatten() {
        Some(origin) if !origin.files.is_empty() => match origin.files.get(CARD) {
            Some(hash) => Ok(standing::hash_of(path)? == *hash),
            None => Ok(false),
        },
        found => Ok(found.is_some() && standing::is_card(path)),
    }
}

/// Title of the cards of others, which are kept under it.
const TITLE: &str = "\n## Card of ";

/// Reads a card: its header, and its text, of one written here what it kept of others'.
fn read_card(metadata: &mut Metadata, name: &str, text: &str, own: bool) {
    let text = text.replace("\r\n", "\n");
    let (front, body) = divided(&text);
    metadata.front = front;
    if !own {
        let body = body.trim();
        if !body.is_empty() {
            metadata.cards.push((name.to_string(), body.to_string()));
        }
        return;
    }
    for key in ["library_name", "base_model"] {
        metadata.front.remove(key);
    }
    if let Some(Value::Array(tags)) = metadata.front.get_mut("tags") {
        tags.retain(|tag| tag != "merge");
    }
    for part in body.split(TITLE).skip(1) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        let card = (name.trim().to_string(), text.trim().to_string());
        metadata.cards.push(card);
    }
}

/// The fields of a card's header, and the text behind it. A header that is no YAML is part of the
/// text.
fn divided(text: &str) -> (Map<String, Value>, &str) {
    let parts = text
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---"));
    if let Some((header, body)) = parts
        && let Ok(Value::Object(front)) = serde_saphyr::from_str::<Value>(header)
    {
        return (front, body.trim_start_matches('-'));
    }
    (Map::new(), text)
}

/// The cards of others as they are kept at the end of a card.
pub fn kept_cards(metadata: &Metadata) -> String {
    let one = |(name, text): &(String, String)| format!("{TITLE}{name}\n\n{text}\n");
    metadata.cards.iter().map(one).collect()
}

/// Copies the files that go with an adapter to its folder, where it has none of that name.
pub fn copy(metadata: &Metadata, folder: &Path) -> Result<()> {
    for (name, from) in &metadata.files {
        let to = folder.join(name);
        if to.exists() {
            continue;
        }
        if !from.is_file() {
            return Err(Error::at_path(from, "is no more there")
                .hint("it lay beside an adapter when that was loaded"));
        }
        let bytes = crate::input::read(from)?;
        write_atomic(&to, &bytes)?;
    }
    Ok(())
}

/// The names of files that are loaded with an adapter besides its own.
pub fn is_needed(name: &str) -> bool {
    name == CARD || goes_with(name) || name == origin::FILE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_kept_once_however_often_they_are_copied() {
        let theirs = "---\nlicense: mit\ntags: [a]\n---\n# Mine\n\nText.\n";
        let mut first = Metadata::default();
        read_card(&mut first, "a", theirs, false);
        assert_eq!(first.front["license"], "mit");
        assert_eq!(first.cards, [("a".into(), "# Mine\n\nText.".into())]);
        let ours = format!(
            "---\nlicense: \"mit\"\nlibrary_name: peft\ntags: [\"a\", \"merge\"]\n---\n\n# a\n{}",
            kept_cards(&first)
        );
        let mut second = Metadata::default();
        read_card(&mut second, "b", &ours, true);
        assert_eq!(second.cards, first.cards);
        assert_eq!(second.front, first.front);
        let mut none = Metadata::default();
        read_card(&mut none, "c", "---\n: [\n---\ntext", false);
        assert!(none.front.is_empty());
        assert_eq!(none.cards.len(), 1);
    }
}
