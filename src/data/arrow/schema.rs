//! The columns of an Arrow file, as it describes them.

use std::collections::HashMap;

use super::flat::Flat;

/// Deeper nesting than any column of texts has.
const DEEPEST: usize = 32;

/// What an Arrow file holds.
#[derive(Debug)]
pub(super) struct Schema {
    pub columns: Vec<(String, Kind)>,
    /// What the datasets library says of the columns, as JSON.
    pub features: Option<String>,
}

/// What the values of a column are, and how many buffers they take.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Nothing but missing values; no buffers.
    Null,
    Bool,
    /// Whole numbers of so many bits.
    Int {
        bits: i32,
        signed: bool,
    },
    /// Numbers of 16, 32 or 64 bits.
    Float {
        bits: i32,
    },
    /// Decimals of so many bytes with so many digits after the point.
    Decimal {
        bytes: usize,
        scale: i32,
    },
    /// Texts with offsets of 32 or, long ones, of 64 bits.
    Text {
        long: bool,
    },
    /// Nothing that is a text or a label: its name, its buffers and what is within it.
    Other {
        name: &'static str,
        buffers: usize,
        children: Vec<Kind>,
    },
}

impl Schema {
    /// Reads a schema; an error says what is not read.
    pub fn read(flat: Flat<'_>) -> Result<Self, &'static str> {
        if flat.short(0) != 0 {
            return Err("its numbers are big-endian");
        }
        let bad = "bad Arrow schema";
        // A field takes more than eight bytes, however often it is referred to.
        let mut room = 1 << 16;
        let fields = flat.tables(1).ok_or(bad)?;
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            let name = field.text(0).unwrap_or_default().to_string();
            columns.push((name, kind(field, 0, &mut room)?));
        }
        let entries = flat.tables(2).ok_or(bad)?;
        let entries = entries
            .into_iter()
            .filter_map(|e| Some((e.text(0)?, e.text(1)?)));
        let mut entries: HashMap<&str, &str> = entries.collect();
        Ok(Self {
            columns,
            features: entries.remove("huggingface").map(String::from),
        })
    }
}

fn kind(field: Flat<'_>, depth: usize, room: &mut usize) -> Result<Kind, &'static str> {
    *room = room
        .checked_sub(1)
        .ok_or("an Arrow schema of too many columns")?;
    if depth > DEEPEST {
        return Err("an Arrow schema of too deep columns");
    }
    let of = field.table(3);
    let number = |id| of.map_or(0, |of| of.int(id));
    let plain = |name| Kind::Other {
        name,
        buffers: 2,
        children: Vec::new(),
    };
    if field.table(4).is_some() {
        return Ok(plain("values of a dictionary, which are not read"));
    }
    let mut nested = |name, buffers| -> Result<Kind, &'static str> {
        let children = field.tables(5).ok_or("bad Arrow schema")?;
        let children = children
            .into_iter()
            .map(|child| kind(child, depth + 1, room));
        Ok(Kind::Other {
            name,
            buffers,
            children: children.collect::<Result<_, _>>()?,
        })
    };
    Ok(match field.byte(2) {
        1 => Kind::Null,
        2 => Kind::Int {
            bits: number(0),
            signed: of.is_some_and(|of| of.byte(1) != 0),
        },
        3 => Kind::Float {
            bits: match of.map_or(0, |of| of.short(0)) {
                0 => 16,
                1 => 32,
                _ => 64,
            },
        },
        4 | 19 => Kind::Other {
            name: "bytes",
            buffers: 3,
            children: Vec::new(),
        },
        5 => Kind::Text { long: false },
        20 => Kind::Text { long: true },
        6 => Kind::Bool,
        7 => Kind::Decimal {
            bytes: match number(2) {
                0 => 16,
                bits => usize::try_from(bits / 8).unwrap_or_default(),
            },
            scale: number(1),
        },
        8..=11 | 18 => plain("a time"),
        15 => plain("bytes"),
        12 | 17 | 21 => nested("a list or map", 2)?,
        13 | 16 => nested("a list or map", 1)?,
        25 | 26 => nested("a list or map", 3)?,
        22 => nested("run-length encoded values, which are not read", 0)?,
        _ => return Err("a column of a kind that is not read (such as a union or string view)"),
    })
}
