//! What a cell of a text file means: a missing value, a number, true or false, or a text.

/// The texts that data frames write for a missing value: the defaults of pandas' `read_csv`.
const MISSING: &[&str] = &[
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "None", "n/a", "null",
];

/// A number as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// A finite number with a point or a power of ten.
    Float(f64),
    /// An infinity, or a number beyond the largest.
    Infinite,
    /// A whole number that does not fit 64 bits: no type holds it exactly.
    TooLong,
}

/// Whether a cell stands for a missing value in a column of numbers or of true and false: an empty
/// cell, NaN in any case, or one of NA, N/A, NULL, null, None and the others of pandas' defaults.
pub fn is_missing(cell: &str) -> bool {
    let cell = cell.trim();
    MISSING.contains(&cell) || cell.parse::<f64>().is_ok_and(f64::is_nan)
}

/// The number that a cell is, spaces around it aside: digits with a point and a power of ten where
/// wanted (`2`, `+2`, `.5`, `1.`, `1e5`), or `inf`.
///
/// A whole number that begins with a zero (`007`) is a text, since it is an identifier.
pub fn number(cell: &str) -> Option<Number> {
    let cell = cell.trim();
    let digits = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return match digits.len() > 1 && digits.starts_with('0') {
            true => None,
            false => Some(cell.parse().map_or(Number::TooLong, Number::Int)),
        };
    }
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() => Some(Number::Float(value)),
        Ok(value) if value.is_infinite() => Some(Number::Infinite),
        _ => None,
    }
}

/// The truth value that a cell is: `true`, `True` or `TRUE`, and the same of false.
pub fn boolean(cell: &str) -> Option<bool> {
    match cell.trim() {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Whether a cell can be nothing but a text.
pub fn is_plain(cell: &str) -> bool {
    !is_missing(cell) && number(cell).is_none() && boolean(cell).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_grammar() {
        for (cell, value) in [
            ("0", Number::Int(0)),
            ("-1", Number::Int(-1)),
            ("+2", Number::Int(2)),
            (" 3 ", Number::Int(3)),
            ("9223372036854775807", Number::Int(i64::MAX)),
            ("9223372036854775808", Number::TooLong),
            (".5", Number::Float(0.5)),
            ("1.", Number::Float(1.0)),
            ("1e5", Number::Float(1e5)),
            ("-2.5E-3", Number::Float(-2.5e-3)),
            ("00.5", Number::Float(0.5)),
            ("inf", Number::Infinite),
            ("-Infinity", Number::Infinite),
            ("1e999", Number::Infinite),
        ] {
            assert_eq!(number(cell), Some(value), "{cell}");
        }
        for cell in [
            "", "-", ".", "007", "-01", "1e", "nan", "1_0", "0x1", "1,5", "a",
        ] {
            assert_eq!(number(cell), None, "{cell}");
        }
    }

    #[test]
    fn missing_values_are_those_of_pandas() {
        for cell in [
            "", " ", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND",
            "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", " nan",
        ] {
            assert!(is_missing(cell), "{cell}");
        }
        for cell in ["0", "none", "na", "-", ".", "x"] {
            assert!(!is_missing(cell), "{cell}");
        }
        assert!(is_plain("x") && !is_plain("TRUE") && !is_plain("1") && !is_plain("NA"));
    }
}
