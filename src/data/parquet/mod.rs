//! Parquet files as tables.
//!
//! Columns of texts, numbers and booleans are read; lists, maps, bytes, times and what is encoded in
//! another way are named where one asks for them. Rows are counted from 0.

mod cells;
mod check;
mod thrift;

use std::cell::Cell as Flag;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

pub(super) use cells::{decimal, signed};

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use super::table::{Cell, Table};
use crate::text::room;
use crate::{Error, Result};

/// Reads a whole file.
///
/// A corrupt file is an error and takes memory in proportion to its size.
pub(super) fn read(source: String, bytes: Vec<u8>) -> Result<Table> {
    let wrong = |what: &dyn std::fmt::Display| {
        Error::new(format!("{source}: not a readable parquet file: {what}"))
    };
    let unread = check::file(&bytes).map_err(|e| wrong(&e))?;
    let room = room(bytes.len());
    // The crate may panic on corrupt pages: this is the one place where that is contained.
    let decoded = contained(|| decode(&source, Bytes::from(bytes), &unread, room));
    decoded
        .unwrap_or_else(|| Err(Failure::Unreadable("its pages are corrupt".into())))
        .map_err(|failure| match failure {
            Failure::Unreadable(what) => wrong(&what),
            Failure::Cell(error) => error,
        })
}

/// What can go wrong in decoding.
enum Failure {
    /// The file as a whole.
    Unreadable(String),
    /// One cell, already named.
    Cell(Error),
}

impl From<parquet::errors::ParquetError> for Failure {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

fn decode(
    source: &str,
    bytes: Bytes,
    unread: &[Option<&'static str>],
    room: usize,
) -> Result<Table, Failure> {
    let size = bytes.len();
    let reader = SerializedFileReader::new(bytes)?;
    let file = reader.metadata().file_metadata();
    let schema = file.schema_descr();
    let features = file
        .key_value_metadata()
        .into_iter()
        .flatten()
        .find(|entry| entry.key == "huggingface");
    let names = class_names(features.and_then(|entry| entry.value.as_deref()));
    let fields = schema.root_schema().get_fields();
    let columns: Vec<String> = fields.iter().map(|f| f.name().to_string()).collect();
    // The leaf of each column; none where it has several.
    let mut leaves: Vec<Option<usize>> = vec![None; fields.len()];
    for leaf in 0..schema.num_columns() {
        let column = schema.get_column_root_idx(leaf);
        if fields[column].is_primitive() && schema.column(leaf).max_rep_level() == 0 {
            leaves[column] = Some(leaf);
        }
    }
    let mut told = (0..reader.num_row_groups()).map(|i| reader.metadata().row_group(i).num_rows());
    let told = told.try_fold(0usize, |sum, n| sum.checked_add(usize::try_from(n).ok()?));
    if told.is_none_or(|rows| rows > size) {
        return Err(Failure::Unreadable("more rows than it can hold".into()));
    }
    let mut rows: Vec<(usize, Vec<Cell>)> = Vec::new();
    let mut sink = cells::Sink::new(room);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let count = usize::try_from(group.metadata().num_rows())
            .map_err(|_| Failure::Unreadable("bad number of rows".into()))?;
        let first = rows.len();
        rows.extend((first..first + count).map(|at| (at, Vec::with_capacity(columns.len()))));
        for (name, leaf) in columns.iter().zip(&leaves) {
            let cells = match leaf {
                None => vec![Cell::Nested("a list or map"); count],
                Some(leaf) if let Some(kind) = unread.get(*leaf).copied().flatten() => {
                    vec![Cell::Nested(kind); count]
                }
                Some(leaf) => {
                    let kind = schema.column(*leaf);
                    sink.read(group.get_column_reader(*leaf)?, &kind, count)?
                }
            };
            for ((at, row), cell) in rows[first..].iter_mut().zip(cells) {
                row.push(match names.get(name) {
                    Some(names) => named(cell, names).map_err(|what| {
                        Failure::Cell(Error::new(format!(
                            "{source}: row {at}: column {name}: {what}"
                        )))
                    })?,
                    None => cell,
                });
            }
        }
    }
    Ok(Table {
        source: source.into(),
        unit: "row",
        columns,
        rows,
        notice: None,
        classes: names,
    })
}

/// The names of each column that the datasets library says holds classes.
pub(super) fn class_names(metadata: Option<&str>) -> HashMap<String, Vec<String>> {
    let metadata: Option<Value> = metadata.and_then(|text| serde_json::from_str(text).ok());
    let features = metadata
        .as_ref()
        .and_then(|m| m.pointer("/info/features")?.as_object());
    let classes = |feature: &Value| -> Option<Vec<String>> {
        if feature.get("_type")? != "ClassLabel" {
            return None;
        }
        let names = feature.get("names")?.as_array()?.iter();
        names.map(|name| name.as_str().map(String::from)).collect()
    };
    features
        .into_iter()
        .flatten()
        .filter_map(|(column, feature)| Some((column.clone(), classes(feature)?)))
        .collect()
}

/// A class by its name; the library writes -1 for a class that is not told.
pub(super) fn named(cell: Cell, names: &[String]) -> std::result::Result<Cell, String> {
    let Cell::Text(text) = &cell else {
        return Ok(cell);
    };
    match text.parse::<i64>() {
        Ok(-1) => Ok(Cell::Untold),
        Ok(class) => match usize::try_from(class).ok().and_then(|i| names.get(i)) {
            Some(name) => Ok(Cell::Text(name.clone())),
            None => Err(format!(
                "class {class}, expected 0 to {} as the file names {} classes, or -1",
                names.len().saturating_sub(1),
                names.len()
            )),
        },
        Err(_) => Ok(cell),
    }
}

thread_local! {
    /// Whether a panic on this thread is expected and needs no words.
    static QUIET: Flag<bool> = const { Flag::new(false) };
}

/// The result of `call`; none where it panics, without a word on standard error.
fn contained<T>(call: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    QUIET.set(false);
    result.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::{Compression, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    const SCHEMA: &str = "message schema {
        REQUIRED BYTE_ARRAY sentence (UTF8);
        OPTIONAL INT64 label;
        OPTIONAL GROUP tags (LIST) { REPEATED GROUP list { OPTIONAL BYTE_ARRAY element (UTF8); } }
        OPTIONAL DOUBLE score;
    }";
    const CLASSES: &str = r#"{"info": {"features": {
        "sentence": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}"#;

    /// Two row groups with these labels, a list in each row and scores that are missing at times.
    fn file(
        compression: Compression,
        version: WriterVersion,
        metadata: Option<&str>,
        labels: &[i64],
    ) -> Vec<u8> {
        let metadata = metadata.map(|m| vec![KeyValue::new("huggingface".into(), m.to_string())]);
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_writer_version(version)
            .set_key_value_metadata(metadata)
            .build();
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let mut writer =
            SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
        for (g, labels) in labels.chunks(labels.len().div_ceil(2)).enumerate() {
            let mut group = writer.next_row_group().unwrap();
            let text = |i| ByteArray::from(format!("text {g} {i} ").repeat(5).as_str());
            let texts: Vec<ByteArray> = (0..labels.len()).map(text).collect();
            let all = vec![1_i16; labels.len()];
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<ByteArrayType>();
            typed.write_batch(&texts, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<Int64Type>();
            typed.write_batch(labels, Some(&all), None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let (three, zero) = (vec![3_i16; labels.len()], vec![0_i16; labels.len()]);
            let typed = column.typed::<ByteArrayType>();
            typed
                .write_batch(&texts, Some(&three), Some(&zero))
                .unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let levels: Vec<i16> = (0..labels.len()).map(|i| (i % 2) as i16).collect();
            let scores = vec![0.25; labels.len() / 2];
            let typed = column.typed::<DoubleType>();
            typed.write_batch(&scores, Some(&levels), None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.into_inner().unwrap()
    }

    fn plain(labels: &[i64]) -> Vec<u8> {
        let v1 = WriterVersion::PARQUET_1_0;
        file(Compression::SNAPPY, v1, None, labels)
    }

    fn table(bytes: Vec<u8>) -> Result<Table> {
        read("a.parquet".into(), bytes)
    }

    #[test]
    fn columns_are_read_however_they_are_packed() {
        let all = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(Default::default()),
            Compression::LZ4_RAW,
            Compression::ZSTD(ZstdLevel::default()),
        ];
        for compression in all {
            let v1 = WriterVersion::PARQUET_1_0;
            let table = table(file(compression, v1, None, &[0, 1, -1, 7])).unwrap();
            assert_eq!(table.columns, ["sentence", "label", "tags", "score"]);
            let row = |i: usize| table.rows[i].clone();
            let text = |text: &str| Cell::Text(text.into());
            let list = Cell::Nested("a list or map");
            let first = vec![
                text(&"text 0 0 ".repeat(5)),
                text("0"),
                list.clone(),
                Cell::Missing,
            ];
            let last = vec![text(&"text 1 1 ".repeat(5)), text("7"), list, text("0.25")];
            assert_eq!((row(0), row(3)), ((0, first), (3, last)), "{compression}");
            assert_eq!((table.rows.len(), table.unit), (4, "row"));
        }
    }

    #[test]
    fn pages_of_the_second_version_are_read_or_told_apart() {
        let gzip = Compression::GZIP(Default::default());
        let v2 = file(gzip, WriterVersion::PARQUET_2_0, None, &[0, 1, 1, 0]);
        match table(v2) {
            Ok(table) => assert_eq!(table.rows.len(), 4),
            Err(error) => assert!(error.message().contains("encoding"), "{error}"),
        }
    }

    #[test]
    fn classes_have_the_names_of_the_file() {
        let v1 = WriterVersion::PARQUET_1_0;
        let of = |labels: &[i64]| table(file(Compression::SNAPPY, v1, Some(CLASSES), labels));
        let named = of(&[0, 1, -1, 1]).unwrap();
        let labels: Vec<Cell> = named.rows.iter().map(|row| row.1[1].clone()).collect();
        let text = |text: &str| Cell::Text(text.into());
        assert_eq!(
            labels,
            [text("neg"), text("pos"), Cell::Untold, text("pos")]
        );
        assert_eq!(
            of(&[0, 1, 2, 1]).unwrap_err().to_string(),
            "a.parquet: row 2: column label: class 2, expected 0 to 1 as the file names 2 classes, or -1"
        );
    }

    #[test]
    fn what_is_no_parquet_file_is_told() {
        let message = |bytes: &[u8]| table(bytes.to_vec()).unwrap_err().to_string();
        let whole = plain(&[0, 1, 1, 0]);
        assert_eq!(
            message(b"PAR1"),
            "a.parquet: not a readable parquet file: not a whole parquet file"
        );
        assert!(message(&whole[..whole.len() - 9]).contains("not a whole"));
        let mut late = whole.clone();
        late.truncate(100);
        late.extend(&whole[whole.len() - 8..]);
        assert!(message(&late).starts_with("a.parquet: not a readable parquet file: "));
    }

    #[test]
    fn no_corruption_panics_or_fills_memory() {
        let gzip = Compression::GZIP(Default::default());
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let labels: Vec<i64> = (0..40).map(|i| i % 2).collect();
        let mut stream = crate::compute::random::Stream::new(1, "corrupt", "");
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, gzip, zstd] {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                let whole = file(compression, version, Some(CLASSES), &labels);
                for at in 0..whole.len() {
                    let mut bytes = whole.clone();
                    let mut order: Vec<u8> = (1..=255).collect();
                    stream.shuffle(&mut order);
                    bytes[at] ^= order[0];
                    if let Ok(table) = table(bytes) {
                        assert!(table.rows.len() <= whole.len());
                    }
                }
                for end in 0..whole.len() {
                    assert!(table(whole[..end].to_vec()).is_err());
                }
            }
        }
    }

    #[test]
    fn panics_are_contained() {
        assert_eq!(contained(|| 1), Some(1));
        assert_eq!(contained(|| -> i32 { panic!("never seen") }), None);
        assert!(!QUIET.get());
    }
}
