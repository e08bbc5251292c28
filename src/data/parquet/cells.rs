//! A column of a parquet file as cells.

use parquet::basic::{ConvertedType, LogicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::schema::types::ColumnDescriptor;

use super::super::table::Cell;
use super::Failure;

/// How many values are decoded at a time.
const BATCH: usize = 1024;

/// Takes cells as long as their texts stay within a size: a dictionary may repeat a long text
/// without end.
pub(super) struct Sink {
    room: usize,
}

impl Sink {
    /// With room for so many bytes of text.
    pub fn new(room: usize) -> Self {
        Self { room }
    }

    /// The first `rows` cells of a column.
    pub fn read(
        &mut self,
        reader: ColumnReader,
        column: &ColumnDescriptor,
        rows: usize,
    ) -> Result<Vec<Cell>, Failure> {
        let meaning = Meaning::of(column);
        if let Meaning::Other(kind) = meaning {
            return Ok(vec![Cell::Nested(kind); rows]);
        }
        let unsigned = meaning == Meaning::Unsigned;
        let depth = column.max_def_level();
        match reader {
            ColumnReader::BoolColumnReader(r) => {
                self.cells(r, depth, rows, |v| Cell::Text(v.to_string()))
            }
            ColumnReader::Int32ColumnReader(r) if unsigned => {
                self.cells(r, depth, rows, |v| Cell::Text((*v as u32).to_string()))
            }
            ColumnReader::Int32ColumnReader(r) => {
                self.cells(r, depth, rows, |v| Cell::Text(v.to_string()))
            }
            ColumnReader::Int64ColumnReader(r) if unsigned => {
                self.cells(r, depth, rows, |v| Cell::Text((*v as u64).to_string()))
            }
            ColumnReader::Int64ColumnReader(r) => {
                self.cells(r, depth, rows, |v| Cell::Text(v.to_string()))
            }
            ColumnReader::FloatColumnReader(r) => {
                self.cells(r, depth, rows, |v| number(v.is_nan(), v))
            }
            ColumnReader::DoubleColumnReader(r) => {
                self.cells(r, depth, rows, |v| number(v.is_nan(), v))
            }
            ColumnReader::ByteArrayColumnReader(r) => self.cells(r, depth, rows, text),
            ColumnReader::FixedLenByteArrayColumnReader(_) => Ok(vec![Cell::Nested("bytes"); rows]),
            ColumnReader::Int96ColumnReader(_) => Ok(vec![Cell::Nested("a time"); rows]),
        }
    }

    fn cells<T: DataType>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        depth: i16,
        rows: usize,
        cell: impl Fn(&T::T) -> Cell,
    ) -> Result<Vec<Cell>, Failure> {
        let mut cells = Vec::with_capacity(rows);
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        while cells.len() < rows {
            values.clear();
            levels.clear();
            let batch = BATCH.min(rows - cells.len());
            let told = (depth > 0).then_some(&mut levels);
            let (read, ..) = reader.read_records(batch, told, None, &mut values)?;
            let mut values = values.iter();
            let before = cells.len();
            for i in 0..read {
                let here = depth == 0 || levels.get(i) == Some(&depth);
                let value = if here { values.next() } else { None };
                let cell = value.map_or(Cell::Missing, &cell);
                if let Cell::Text(text) = &cell {
                    self.room = self.room.checked_sub(text.len()).ok_or_else(|| {
                        Failure::Unreadable("its texts are far longer than the file".into())
                    })?;
                }
                cells.push(cell);
            }
            if cells.len() == before {
                return Err(Failure::Unreadable(format!(
                    "a column of {before} rows, expected {rows}"
                )));
            }
        }
        Ok(cells)
    }
}

/// What the values of a column are.
#[derive(PartialEq)]
enum Meaning {
    /// Texts, or numbers as they are.
    Plain,
    /// Whole numbers without a sign.
    Unsigned,
    /// Nothing that is a text or a label.
    Other(&'static str),
}

impl Meaning {
    fn of(column: &ColumnDescriptor) -> Self {
        use ConvertedType as Old;
        match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Decimal(_)), _) | (_, Old::DECIMAL) => Self::Other("a decimal"),
            (Some(LogicalType::Date | LogicalType::Time(_) | LogicalType::Timestamp(_)), _)
            | (
                _,
                Old::DATE
                | Old::TIME_MILLIS
                | Old::TIME_MICROS
                | Old::TIMESTAMP_MILLIS
                | Old::TIMESTAMP_MICROS,
            ) => Self::Other("a time"),
            (Some(LogicalType::Integer(kind)), _) if !kind.is_signed => Self::Unsigned,
            (_, Old::UINT_8 | Old::UINT_16 | Old::UINT_32 | Old::UINT_64) => Self::Unsigned,
            _ => Self::Plain,
        }
    }
}

/// Data frames write NaN for a number that is not there.
fn number(missing: bool, value: &impl ToString) -> Cell {
    if missing {
        Cell::Missing
    } else {
        Cell::Text(value.to_string())
    }
}

/// Older writers do not say which bytes are texts.
fn text(value: &ByteArray) -> Cell {
    match std::str::from_utf8(value.data()) {
        Ok(text) => Cell::Text(text.into()),
        Err(_) => Cell::Nested("bytes"),
    }
}
