//! A column of a parquet file as cells.

use parquet::basic::{ConvertedType, LogicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
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
        let fixed: fn(&FixedLenByteArray) -> Cell = match meaning {
            Meaning::Decimal(scale) => return self.decimals(reader, column, rows, scale),
            Meaning::Half => half,
            _ => bytes,
        };
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
            ColumnReader::FixedLenByteArrayColumnReader(r) => self.cells(r, depth, rows, fixed),
            ColumnReader::Int96ColumnReader(_) => Ok(vec![Cell::Nested("a time"); rows]),
        }
    }

    /// The cells of a column of decimals with so many digits after the point.
    fn decimals(
        &mut self,
        reader: ColumnReader,
        column: &ColumnDescriptor,
        rows: usize,
        scale: i32,
    ) -> Result<Vec<Cell>, Failure> {
        let depth = column.max_def_level();
        let whole = |value: i128| Cell::Text(decimal(value, scale));
        let of_bytes = |bytes: &[u8]| signed(bytes).map_or(Cell::Nested("a decimal"), whole);
        match reader {
            ColumnReader::Int32ColumnReader(r) => {
                self.cells(r, depth, rows, |v| whole(i128::from(*v)))
            }
            ColumnReader::Int64ColumnReader(r) => {
                self.cells(r, depth, rows, |v| whole(i128::from(*v)))
            }
            ColumnReader::ByteArrayColumnReader(r) => {
                self.cells(r, depth, rows, |v| of_bytes(v.data()))
            }
            ColumnReader::FixedLenByteArrayColumnReader(r) => {
                self.cells(r, depth, rows, |v| of_bytes(v.data()))
            }
            _ => Ok(vec![Cell::Nested("a decimal"); rows]),
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
    /// Decimals with so many digits after the point.
    Decimal(i32),
    /// Numbers of 16 bits.
    Half,
    /// Nothing that is a text or a label.
    Other(&'static str),
}

impl Meaning {
    fn of(column: &ColumnDescriptor) -> Self {
        use ConvertedType as Old;
        match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Decimal(_)), _) | (_, Old::DECIMAL) => {
                Self::Decimal(column.type_scale())
            }
            (Some(LogicalType::Float16), _) => Self::Half,
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

/// Two's complement, the most significant byte first; none where it has more than 128 bits.
pub(in crate::data) fn signed(bytes: &[u8]) -> Option<i128> {
    let fill = match bytes.first() {
        Some(first) if *first >= 0x80 => 0xff,
        _ => 0,
    };
    let mut all = [fill; 16];
    let start = all.len().checked_sub(bytes.len())?;
    all[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(all))
}

/// A whole number with its last `scale` digits after the point.
pub(in crate::data) fn decimal(value: i128, scale: i32) -> String {
    /// More digits than any decimal has.
    const MOST: usize = 76;
    let scale = usize::try_from(scale).unwrap_or(0).min(MOST);
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    match part.is_empty() {
        true => format!("{sign}{whole}"),
        false => format!("{sign}{whole}.{part}"),
    }
}

/// A number of 16 bits.
fn half(value: &FixedLenByteArray) -> Cell {
    match value.data() {
        [low, high] => {
            let value = half::f16::from_le_bytes([*low, *high]).to_f64();
            number(value.is_nan(), &value)
        }
        _ => Cell::Nested("bytes"),
    }
}

fn bytes(_: &FixedLenByteArray) -> Cell {
    Cell::Nested("bytes")
}

/// Older writers do not say which bytes are texts.
fn text(value: &ByteArray) -> Cell {
    match std::str::from_utf8(value.data()) {
        Ok(text) => Cell::Text(text.into()),
        Err(_) => Cell::Nested("bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        for (value, scale, text) in [
            (15, 1, "1.5"),
            (-5, 2, "-0.05"),
            (0, 3, "0.000"),
            (12, 0, "12"),
            (i128::MIN, 0, "-170141183460469231731687303715884105728"),
        ] {
            assert_eq!(decimal(value, scale), text);
        }
        assert_eq!(signed(&[0xff]), Some(-1));
        assert_eq!(signed(&[1, 0]), Some(256));
        assert_eq!(signed(&[0; 17]), None);
    }
}
