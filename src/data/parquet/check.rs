//! Whether a parquet file is what it says, before it is decoded.
//!
//! The reader of the `parquet` crate takes sizes and counts at their word: a small file could make
//! it ask for more memory than there is, or recurse without end, and neither can be caught.

use std::io::{self, Read};

use super::thrift::{self, Node};
use crate::text::room;

/// More cells than this need a file that is as large as they are many, by [`CELLS_A_BYTE`].
const CELLS: usize = 1 << 20;
const CELLS_A_BYTE: usize = 8;

/// Deeper nesting than any schema of texts has.
const DEEPEST: usize = 32;

type Checked<T> = Result<T, String>;

/// Checks the footer, and the pages of all columns that are read.
///
/// Returns for each leaf of the schema why it is not decoded, if it is not: a writer may choose
/// what this reader has not for columns that nobody asks for.
pub(super) fn file(bytes: &[u8]) -> Checked<Vec<Option<&'static str>>> {
    let cut = || "not a whole parquet file".to_string();
    let footer = match bytes.last_chunk::<8>() {
        Some([l0, l1, l2, l3, b'P', b'A', b'R', b'1']) if bytes.starts_with(b"PAR1") => {
            let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
            let start = (bytes.len() - 8).checked_sub(length).ok_or_else(cut)?;
            bytes.get(start..).ok_or_else(cut)?
        }
        Some([.., b'P', b'A', b'R', b'E']) => return Err("it is encrypted".into()),
        _ => return Err(cut()),
    };
    let (footer, _) = thrift::read(footer).ok_or("bad parquet footer")?;
    let flat = flat_columns(footer.list(2).ok_or("no schema in the parquet footer")?)?;
    let groups = footer.list(4).unwrap_or_default();
    let rows = groups.iter().try_fold(0_usize, |sum, group| {
        let rows = usize::try_from(group.int(3)?).ok()?;
        sum.checked_add(rows)
    });
    let rows = rows.ok_or("bad number of rows")?;
    // A row with a text takes a byte at least, however well it is packed.
    let cells = rows.saturating_mul(flat.len());
    if rows > bytes.len() || cells > CELLS.saturating_add(bytes.len().saturating_mul(CELLS_A_BYTE))
    {
        return Err(format!(
            "{rows} rows of {} columns in {} bytes, more than it can hold",
            flat.len(),
            bytes.len()
        ));
    }
    let mut budget = Budget {
        stored: bytes.len(),
        unpacked: room(bytes.len()),
        rows,
    };
    let mut unread = vec![None; flat.len()];
    for group in groups {
        let columns = group.list(1).unwrap_or_default();
        if columns.len() != flat.len() {
            return Err(format!(
                "a row group of {} columns, expected {} as in the schema",
                columns.len(),
                flat.len()
            ));
        }
        for ((column, leaf), unread) in columns.iter().zip(&flat).zip(&mut unread) {
            let Some(leaf) = leaf else {
                continue;
            };
            let meta = column.field(3).ok_or("a column without its description")?;
            *unread = unread.or(pages(bytes, meta, *leaf, &mut budget)?);
        }
    }
    Ok(unread)
}

/// A plain column: one that is not in a list or a map.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    /// The least bytes that a value takes in a dictionary.
    least: usize,
}

impl Leaf {
    /// By its element of the schema: values of a fixed length take that, others at least the four
    /// bytes of a number or of a text's length.
    fn of(element: &Node) -> Self {
        const FIXED: i64 = 7;
        const WIDE: usize = 4;
        let least = match element.int(1) {
            Some(FIXED) => element.int(2).and_then(|n| usize::try_from(n).ok()),
            _ => None,
        };
        Self {
            least: least.map_or(WIDE, |n| n.max(1)),
        }
    }
}

/// The leaves of the schema, those that are plain columns as such.
fn flat_columns(schema: &[Node]) -> Checked<Vec<Option<Leaf>>> {
    let bad = || "bad parquet schema".to_string();
    let mut flat = Vec::new();
    // How many children each group that is open still has.
    let mut open: Vec<usize> = Vec::new();
    for (i, element) in schema.iter().enumerate() {
        if i > 0 {
            *open.last_mut().ok_or_else(bad)? -= 1;
        }
        match usize::try_from(element.int(5).unwrap_or(0)).map_err(|_| bad())? {
            0 if i == 0 => {}
            0 => {
                let plain = open.len() == 1 && element.int(3) != Some(2);
                flat.push(plain.then(|| Leaf::of(element)));
            }
            children if children > schema.len() || open.len() == DEEPEST => return Err(bad()),
            children => open.push(children),
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    if open.is_empty() {
        Ok(flat)
    } else {
        Err(bad())
    }
}

/// What the columns together may still take, in bytes, and the rows of the file.
struct Budget {
    stored: usize,
    unpacked: usize,
    rows: usize,
}

/// Checks the pages of a column: sizes within the file, counts within sizes. Returns why it is not
/// decoded, if it is compressed or encoded as this reader does not read it.
fn pages(
    bytes: &[u8],
    meta: &Node,
    leaf: Leaf,
    budget: &mut Budget,
) -> Checked<Option<&'static str>> {
    let size = |node: &Node, id| node.int(id).and_then(|n| usize::try_from(n).ok());
    let outside = || "a column lies outside of the file".to_string();
    let start = match meta.field(11) {
        Some(_) => size(meta, 11),
        None => size(meta, 9),
    };
    let (start, length) = start.zip(size(meta, 7)).ok_or_else(outside)?;
    let end = start.checked_add(length).ok_or_else(outside)?;
    let mut chunk = bytes.get(start..end).ok_or_else(outside)?;
    budget.stored = budget.stored.checked_sub(length).ok_or_else(outside)?;
    let codec = meta.int(4).unwrap_or_default();
    if let Some(unread) = unread_codec(codec) {
        return Ok(Some(unread));
    }
    while !chunk.is_empty() {
        let bad = || "a bad page".to_string();
        let (header, length) = thrift::read(chunk).ok_or_else(bad)?;
        let sizes = size(&header, 2).zip(size(&header, 3));
        let (unpacked, packed) = sizes.ok_or_else(bad)?;
        let rest = &chunk[length..];
        let (page, rest) = rest.split_at_checked(packed).ok_or_else(bad)?;
        chunk = rest;
        budget.unpacked = budget
            .unpacked
            .checked_sub(unpacked)
            .ok_or("its pages unpack to far more than the file's size")?;
        let v2 = header.field(8);
        if let Some(dictionary) = header.field(7) {
            // A narrow value takes more memory than its bytes, but stands in a row at least.
            let most = match leaf.least {
                0..4 => budget.rows.min(unpacked / leaf.least),
                _ => unpacked / leaf.least,
            };
            if size(dictionary, 1).is_none_or(|count| count > most) {
                return Err("a dictionary of more values than it holds".into());
            }
        }
        let encoding = header.field(5).and_then(|page| page.int(2));
        if let Some(encoding) = encoding.or(v2.and_then(|page| page.int(4)))
            && !matches!(encoding, 0 | 2 | 3 | 5 | 8 | 9)
        {
            return Ok(Some(
                "texts in an encoding that is not read (version 1.0 writes plain and dictionary pages)",
            ));
        }
        if codec == GZIP && v2.and_then(|page| page.flag(7)) != Some(false) {
            let levels = v2.map_or(Some(0), |page| size(page, 5)?.checked_add(size(page, 6)?));
            let levels = levels.ok_or_else(bad)?;
            let packed = page.get(levels..).ok_or_else(bad)?;
            let told = unpacked.checked_sub(levels).ok_or_else(bad)?;
            inflates_to(packed, told)?;
        }
    }
    Ok(None)
}

const GZIP: i64 = 2;

fn unread_codec(codec: i64) -> Option<&'static str> {
    match codec {
        // none, snappy, gzip, lz4, zstd, lz4 raw
        0..=2 | 5..=7 => None,
        3 => Some("values compressed by lzo, which is not read"),
        4 => Some("values compressed by brotli, which is not read"),
        _ => Some("values compressed in a way that is not read"),
    }
}

/// The decoder inflates whatever there is, so its length is looked at first.
fn inflates_to(packed: &[u8], told: usize) -> Checked<()> {
    if told == 0 {
        return Ok(());
    }
    let plain = flate2::read::MultiGzDecoder::new(packed);
    let length = io::copy(&mut plain.take(told as u64 + 1), &mut io::sink());
    match length {
        Ok(length) if length == told as u64 => Ok(()),
        _ => Err("a bad gzip page".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with nothing but this footer.
    fn only(footer: &[u8]) -> Vec<u8> {
        let length = (footer.len() as u32).to_le_bytes();
        [b"PAR1", footer, &length, b"PAR1"].concat()
    }

    fn message(footer: &[u8]) -> String {
        file(&only(footer)).unwrap_err()
    }

    #[test]
    fn schemas_that_would_overflow_are_refused() {
        // 2: a list of one element with 5: 2^30 children
        let wide = [0x29, 0x1c, 0x55, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 0];
        assert_eq!(message(&wide), "bad parquet schema");
        // 2: a list of 100 elements with 5: one child each
        let deep = [vec![0x29, 0xfc, 100], [0x55, 2, 0].repeat(100), vec![0]].concat();
        assert_eq!(message(&deep), "bad parquet schema");
        // a root without columns that others follow
        assert_eq!(message(&[0x29, 0x2c, 0, 0, 0]), "bad parquet schema");
    }

    #[test]
    fn more_rows_than_bytes_are_refused() {
        // 2: a root of one child and that child; 4: a group of 2^30 rows (3)
        let schema = [0x29, 0x2c, 0x55, 2, 0, 0x35, 0, 0];
        let group = [0x29, 0x1c, 0x36, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 0];
        let error = message(&[&schema[..], &group].concat());
        assert!(
            error.starts_with("1073741824 rows of 1 columns in"),
            "{error}"
        );
    }

    #[test]
    fn columns_outside_of_the_file_are_refused() {
        let schema = [0x29, 0x2c, 0x55, 2, 0, 0x35, 0, 0];
        // 4: a group with 1: a column whose 3: says 7: 100 bytes from 9: 4; and 3: one row
        let column = [0x19, 0x1c, 0x3c, 0x76, 0xc8, 1, 0x26, 8, 0, 0];
        let group = [&[0x29, 0x1c][..], &column, &[0x26, 2, 0, 0]].concat();
        let error = message(&[&schema[..], &group].concat());
        assert_eq!(error, "a column lies outside of the file");
    }
}
