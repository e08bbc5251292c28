//! Numbers as text: short for reading, exact for files.

/// For reading: four decimals at most, or four digits and a power of ten where that says nothing.
pub(super) fn shown(value: f64) -> String {
    shown_with(value, decimals(value))
}

/// How many decimals, one to four, `shown` needs; one for numbers shown by a power of ten.
pub(super) fn decimals(value: f64) -> usize {
    if by_power(value) {
        return 1;
    }
    let text = format!("{value:.4}");
    let trimmed = text.trim_end_matches('0');
    let after = trimmed.find('.').map_or(0, |dot| trimmed.len() - dot - 1);
    after.max(1)
}

/// The same with so many decimals, so that a column's numbers stand below each other.
pub(super) fn shown_with(value: f64, decimals: usize) -> String {
    if by_power(value) {
        let text = format!("{value:.3e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        return format!("{digits}e{power}");
    }
    let text = format!("{value:.decimals$}");
    // A negative number that rounds to nothing would read as -0.0.
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|b| matches!(b, b'0' | b'.')) => rest.to_string(),
        _ => text,
    }
}

/// The shortest text that reads back as exactly this number, always with a point or a power.
pub(super) fn exact(value: f64) -> String {
    format!("{value:?}")
}

fn by_power(value: f64) -> bool {
    let size = value.abs();
    value != 0.0 && !(1e-3..1e9).contains(&size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_numbers_are_short() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (2.0, "2.0"),
            (0.5, "0.5"),
            (0.783333333, "0.7833"),
            (12345.67891, "12345.6789"),
            (0.00097656, "9.766e-4"),
            (-4.0738e-12, "-4.074e-12"),
            (1e-5, "1e-5"),
            (2.5e12, "2.5e12"),
        ] {
            assert_eq!(shown(value), text);
        }
        assert_eq!(shown_with(0.5, 4), "0.5000");
    }

    #[test]
    fn exact_numbers_read_back() {
        for value in [0.1 + 0.2, 1.0, 1e300, 5e-324, -0.0, 123456789.125] {
            let text = exact(value);
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
            assert!(text.contains(['.', 'e']), "{text}");
        }
    }
}
