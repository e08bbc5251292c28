//! Arrow files as tables: the streams that the datasets library's `save_to_disk` writes, and files
//! with a footer, uncompressed.
//!
//! Hand-written: the crates of the Arrow project take longer to compile than the rest of the
//! readers together, and believe sizes that a file states. Rows are counted from 0.

mod flat;
mod schema;

use std::collections::HashMap;

use self::flat::{Flat, chunk};
use self::schema::{Kind, Schema};
use super::parquet::{class_names, decimal, named, signed};
use super::table::{Cell, Table};
use crate::text::room;
use crate::{Error, Result};

/// How a file with a footer begins; a stream begins with its first message.
const MAGIC: &[u8] = b"ARROW1\0\0";

/// More cells than this need a file that is as large as they are many, by [`CELLS_A_BYTE`].
const CELLS: usize = 1 << 20;
const CELLS_A_BYTE: usize = 8;

/// Reads a whole file.
///
/// A corrupt file is an error and takes memory in proportion to its size.
pub(super) fn read(source: String, bytes: &[u8]) -> Result<Table> {
    let wrong = |what: &str| Error::new(format!("{source}: not a readable Arrow file: {what}"));
    let mut messages = Messages {
        rest: bytes.strip_prefix(MAGIC).unwrap_or(bytes),
    };
    let mut schema: Option<(Schema, HashMap<String, Vec<String>>)> = None;
    let mut columns: Vec<Vec<Cell>> = Vec::new();
    let mut sink = Sink {
        cells: CELLS.saturating_add(bytes.len().saturating_mul(CELLS_A_BYTE)),
        room: room(bytes.len()),
    };
    while let Some((header, kind, body)) = messages.next().map_err(wrong)? {
        match (kind, &schema) {
            (SCHEMA, None) => {
                let own = Schema::read(header).map_err(wrong)?;
                let names = class_names(own.features.as_deref());
                columns = vec![Vec::new(); own.columns.len()];
                schema = Some((own, names));
            }
            (BATCH, Some((schema, _))) => {
                let batch = sink.batch(schema, header, body).map_err(wrong)?;
                for (column, cells) in columns.iter_mut().zip(batch) {
                    column.extend(cells);
                }
            }
            (_, None) => return Err(wrong("it does not begin with a schema")),
            _ => {}
        }
    }
    let (schema, names) = schema.ok_or_else(|| wrong("it holds nothing"))?;
    let count = columns.first().map_or(0, Vec::len);
    let mut rows: Vec<(usize, Vec<Cell>)> = (0..count).map(|at| (at, Vec::new())).collect();
    for ((name, _), cells) in schema.columns.iter().zip(columns) {
        let classes = names.get(name);
        for ((at, row), cell) in rows.iter_mut().zip(cells) {
            row.push(match classes {
                Some(classes) => named(cell, classes).map_err(|what| {
                    Error::new(format!("{source}: row {at}: column {name}: {what}"))
                })?,
                None => cell,
            });
        }
    }
    Ok(Table {
        source,
        unit: "row",
        columns: schema.columns.into_iter().map(|(name, _)| name).collect(),
        rows,
        notice: None,
        classes: names,
    })
}

/// Kinds of messages.
const SCHEMA: u8 = 1;
const BATCH: u8 = 3;

/// The header of a message with its kind, and the message's body.
type Message<'b> = (Flat<'b>, u8, &'b [u8]);

/// The messages of a stream.
struct Messages<'b> {
    rest: &'b [u8],
}

impl<'b> Messages<'b> {
    /// The next message; none at the end.
    fn next(&mut self) -> Result<Option<Message<'b>>, &'static str> {
        let cut = "it is not whole";
        if self.rest.is_empty() {
            return Ok(None);
        }
        let rest = match self.rest.strip_prefix(&[0xff; 4]) {
            Some(rest) => rest,
            None => self.rest,
        };
        let size = u32::from_le_bytes(chunk(rest, 0).ok_or(cut)?) as usize;
        if size == 0 {
            self.rest = &[];
            return Ok(None);
        }
        let (message, rest) = rest[4..].split_at_checked(size).ok_or(cut)?;
        let message = Flat::root(message).ok_or("a bad message")?;
        let header = message.table(2).ok_or("a bad message")?;
        let length = usize::try_from(message.long(3)).map_err(|_| cut)?;
        let (body, rest) = rest.split_at_checked(length).ok_or(cut)?;
        self.rest = rest;
        Ok(Some((header, message.byte(1), body)))
    }
}

/// Takes cells as long as they and their texts stay within a size.
struct Sink {
    cells: usize,
    room: usize,
}

impl Sink {
    /// The cells of a batch, column by column.
    fn batch(
        &mut self,
        schema: &Schema,
        header: Flat<'_>,
        body: &[u8],
    ) -> Result<Vec<Vec<Cell>>, &'static str> {
        let bad = "a bad batch of rows";
        if header.table(3).is_some() {
            return Err("its rows are compressed, which is not read");
        }
        let rows = usize::try_from(header.long(0)).map_err(|_| bad)?;
        let wanted = rows.saturating_mul(schema.columns.len().max(1));
        self.cells = self
            .cells
            .checked_sub(wanted)
            .ok_or("more rows than it can hold")?;
        let mut parts = Parts {
            nodes: header.pairs(1).ok_or(bad)?.into_iter(),
            buffers: header.pairs(2).ok_or(bad)?.into_iter(),
            body,
        };
        let columns = schema.columns.iter();
        columns
            .map(|(_, kind)| self.column(kind, rows, &mut parts))
            .collect()
    }

    fn column(
        &mut self,
        kind: &Kind,
        rows: usize,
        parts: &mut Parts<'_>,
    ) -> Result<Vec<Cell>, &'static str> {
        let bad = "a column that is not as its schema says";
        if let Kind::Other { name, .. } = kind {
            parts.skip(kind)?;
            return Ok(vec![Cell::Nested(name); rows]);
        }
        parts.nodes.next().ok_or(bad)?;
        if *kind == Kind::Null {
            return Ok(vec![Cell::Missing; rows]);
        }
        let valid = parts.buffer()?;
        let first = parts.buffer()?;
        let texts = match kind {
            Kind::Text { .. } => parts.buffer()?,
            _ => &[],
        };
        let mut cells = Vec::with_capacity(rows);
        for row in 0..rows {
            let here = valid.is_empty() || bit(valid, row).ok_or(bad)?;
            let cell = match kind {
                _ if !here => Cell::Missing,
                Kind::Text { long } => text(first, texts, *long, row).ok_or(bad)?,
                kind => value(kind, first, row).ok_or(bad)?,
            };
            if let Cell::Text(text) = &cell {
                let rest = self.room.checked_sub(text.len());
                self.room = rest.ok_or("its texts are far longer than the file")?;
            }
            cells.push(cell);
        }
        Ok(cells)
    }
}

/// What a batch has for its columns, in their order.
struct Parts<'b> {
    nodes: std::vec::IntoIter<(i64, i64)>,
    buffers: std::vec::IntoIter<(i64, i64)>,
    body: &'b [u8],
}

impl<'b> Parts<'b> {
    fn buffer(&mut self) -> Result<&'b [u8], &'static str> {
        let outside = "a column lies outside of the file";
        let (offset, length) = self.buffers.next().ok_or(outside)?;
        let start = usize::try_from(offset).map_err(|_| outside)?;
        let length = usize::try_from(length).map_err(|_| outside)?;
        let end = start.checked_add(length).ok_or(outside)?;
        self.body.get(start..end).ok_or(outside)
    }

    /// Passes over a column and all that is within it.
    fn skip(&mut self, kind: &Kind) -> Result<(), &'static str> {
        self.nodes.next().ok_or("a bad batch of rows")?;
        let (buffers, children) = match kind {
            Kind::Null => (0, &[][..]),
            Kind::Text { .. } => (3, &[][..]),
            Kind::Other {
                buffers, children, ..
            } => (*buffers, &children[..]),
            _ => (2, &[][..]),
        };
        for _ in 0..buffers {
            self.buffers.next().ok_or("a bad batch of rows")?;
        }
        children.iter().try_for_each(|child| self.skip(child))
    }
}

fn bit(bits: &[u8], at: usize) -> Option<bool> {
    Some(bits.get(at / 8)? >> (at % 8) & 1 == 1)
}

/// A text between its offsets; bytes that are none are named so.
fn text(offsets: &[u8], texts: &[u8], long: bool, row: usize) -> Option<Cell> {
    let offset = |at: usize| match long {
        true => usize::try_from(i64::from_le_bytes(chunk(offsets, at.checked_mul(8)?)?)).ok(),
        false => usize::try_from(i32::from_le_bytes(chunk(offsets, at.checked_mul(4)?)?)).ok(),
    };
    let bytes = texts.get(offset(row)?..offset(row + 1)?)?;
    Some(match std::str::from_utf8(bytes) {
        Ok(text) => Cell::Text(text.into()),
        Err(_) => Cell::Nested("bytes"),
    })
}

/// A value of a fixed width.
fn value(kind: &Kind, values: &[u8], row: usize) -> Option<Cell> {
    // Data frames write NaN for a number that is not there.
    let float = |value: f64, text: String| match value.is_nan() {
        true => Cell::Missing,
        false => Cell::Text(text),
    };
    let whole = |value: i128| Cell::Text(value.to_string());
    Some(match kind {
        Kind::Bool => Cell::Text(bit(values, row)?.to_string()),
        Kind::Int { bits, signed } => match (bits, signed) {
            (8, true) => whole(i8::from_le_bytes(chunk(values, row)?).into()),
            (8, false) => whole(u8::from_le_bytes(chunk(values, row)?).into()),
            (16, true) => whole(i16::from_le_bytes(chunk(values, row * 2)?).into()),
            (16, false) => whole(u16::from_le_bytes(chunk(values, row * 2)?).into()),
            (32, true) => whole(i32::from_le_bytes(chunk(values, row * 4)?).into()),
            (32, false) => whole(u32::from_le_bytes(chunk(values, row * 4)?).into()),
            (64, true) => whole(i64::from_le_bytes(chunk(values, row * 8)?).into()),
            (64, false) => whole(u64::from_le_bytes(chunk(values, row * 8)?).into()),
            _ => return None,
        },
        Kind::Float { bits: 16 } => {
            let value = half::f16::from_le_bytes(chunk(values, row * 2)?).to_f64();
            float(value, value.to_string())
        }
        Kind::Float { bits: 32 } => {
            let value = f32::from_le_bytes(chunk(values, row * 4)?);
            float(value.into(), value.to_string())
        }
        Kind::Float { .. } => {
            let value = f64::from_le_bytes(chunk(values, row * 8)?);
            float(value, value.to_string())
        }
        Kind::Decimal { bytes, scale } => {
            let start = row.checked_mul(*bytes)?;
            let mut own = values.get(start..start.checked_add(*bytes)?)?.to_vec();
            own.reverse();
            match signed(&own) {
                Some(value) => Cell::Text(decimal(value, *scale)),
                None => Cell::Nested("a decimal"),
            }
        }
        Kind::Null | Kind::Text { .. } | Kind::Other { .. } => return None,
    })
}
