//! Ids: the hash of a value's content, or of the recipe that makes it.

use std::fmt;

use serde_json::Value;

/// The identity of a value: 128 bits of a BLAKE3 hash in hexadecimal. Equal ids mean equal values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// The id of what operation `operation` (with its version, as `train/1`) makes of `recipe`.
    /// Object keys count in any order; numbers count as written by serde_json.
    pub fn of_recipe(operation: &str, recipe: &Value) -> Self {
        let mut text = String::new();
        canonical(recipe, &mut text);
        let mut hasher = blake3::Hasher::new_derive_key("tureen recipe 1");
        hasher.update(operation.as_bytes());
        hasher.update(b"\0");
        hasher.update(text.as_bytes());
        Self(hasher.finalize().to_hex()[..32].to_string())
    }

    /// The id of content that is already one run of bytes; `kind` keeps kinds of content apart.
    pub fn of_content(kind: &str, bytes: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tureen content 1");
        hasher.update(kind.as_bytes());
        hasher.update(b"\0");
        // Below this threads do not pay; and a script's hash must not start them, because their
        // number may not be settled yet.
        match bytes.len() {
            0..=0x20000 => hasher.update(bytes),
            _ => hasher.update_rayon(bytes),
        };
        Self(hasher.finalize().to_hex()[..32].to_string())
    }

    /// The same of content that comes piece by piece.
    pub fn of_pieces(
        kind: &str,
        feed: impl FnOnce(&mut dyn FnMut(&[u8])) -> crate::Result<()>,
    ) -> crate::Result<Self> {
        let mut hasher = blake3::Hasher::new_derive_key("tureen content 1");
        hasher.update(kind.as_bytes());
        hasher.update(b"\0");
        feed(&mut |bytes| {
            hasher.update(bytes);
        })?;
        Ok(Self(hasher.finalize().to_hex()[..32].to_string()))
    }

    /// An id as it is written; none if `text` is no id.
    pub fn read(text: &str) -> Option<Self> {
        let digit = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(digit)).then(|| Self(text.to_string()))
    }

    /// All 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 8 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no id")))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes JSON with sorted keys and no spaces, so that equal values are equal texts.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_keys_does_not_matter_and_everything_else_does() {
        let a = Id::of_recipe("train/1", &json!({"lr": 0.001, "seed": 42}));
        assert_eq!(
            a,
            Id::of_recipe("train/1", &json!({"seed": 42, "lr": 0.001}))
        );
        assert_ne!(
            a,
            Id::of_recipe("train/2", &json!({"seed": 42, "lr": 0.001}))
        );
        assert_ne!(
            a,
            Id::of_recipe("train/1", &json!({"seed": 43, "lr": 0.001}))
        );
        assert_eq!(a.as_str().len(), 32);
    }
}
