//! Numbers and texts as pages and cards show them.

/// A number with at most four decimals, or in powers of ten where they would say too little.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e15 {
        format!("{value}")
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.3e}")
    } else {
        format!("{value:.4}")
    }
}

/// A text as HTML shows it.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (3.0, "3"),
            (0.5, "0.5000"),
            (1e-9, "1.000e-9"),
            (-0.0, "-0"),
            (f64::NAN, "NaN"),
            (1234.56789, "1234.5679"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
