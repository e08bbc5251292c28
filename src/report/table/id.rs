//! A table's id: the hash of its content.

use super::{Table, Value};

impl Table {
    /// Sixteen hex digits of the hash of names, order and cells. Equal tables have equal ids on
    /// every machine; `2` and `2.0` differ.
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("tureen table 1");
        number(&mut hasher, self.columns.len());
        number(&mut hasher, self.rows);
        for column in self.columns.iter() {
            text(&mut hasher, &column.name);
            column.cells.iter().for_each(|c| cell(&mut hasher, c));
        }
        hasher.finalize().to_hex().as_str()[..16].to_string()
    }
}

fn cell(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Null => {
            hasher.update(b"n");
        }
        Value::Bool(value) => {
            hasher.update(&[b'b', u8::from(*value)]);
        }
        Value::Int(value) => {
            hasher.update(b"i").update(&value.to_le_bytes());
        }
        Value::Float(value) => {
            // Zero has two signs and equals itself.
            let bits = if *value == 0.0 { 0 } else { value.to_bits() };
            hasher.update(b"f").update(&bits.to_le_bytes());
        }
        Value::Text(value) => {
            hasher.update(b"t");
            text(hasher, value);
        }
        Value::List(items) => {
            hasher.update(b"l");
            number(hasher, items.len());
            items.iter().for_each(|item| cell(hasher, item));
        }
    }
}

fn text(hasher: &mut blake3::Hasher, text: &str) {
    number(hasher, text.len());
    hasher.update(text.as_bytes());
}

fn number(hasher: &mut blake3::Hasher, number: usize) {
    hasher.update(&(number as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_follows_the_content() {
        let of = |name: &str, cells: &[Value]| {
            Table::from_columns([(name, cells.to_vec())]).unwrap().id()
        };
        let id = of("a", &[1.into(), "x".into()]);
        assert_eq!(id.len(), 16);
        assert_eq!(id, of("a", &[1.into(), "x".into()]));
        let others = [
            of("b", &[1.into(), "x".into()]),
            of("a", &[1.0.into(), "x".into()]),
            of("a", &["x".into(), 1.into()]),
            of("a", &[1.into(), Value::list(["x"])]),
            of("a", &[1.into(), Value::Null]),
        ];
        assert!(!others.contains(&id));
        assert_eq!(of("a", &[0.0.into()]), of("a", &[(-0.0).into()]));
    }

    #[test]
    fn the_id_is_fixed_for_all_time() {
        let table = Table::from_columns([("size", vec![Value::Int(2), 0.5.into()])]).unwrap();
        assert_eq!(table.id(), "c0aa394e0e815dac");
    }
}
