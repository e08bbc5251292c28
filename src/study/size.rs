//! Sizes and durations as people write them.

use std::time::Duration;

use crate::{Error, Result};

const SIZES: [(&str, u64); 5] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

const TIMES: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// `12.3 MB`.
pub fn bytes(bytes: u64) -> String {
    let fitting = SIZES.into_iter().find(|(_, size)| bytes >= *size);
    let (unit, size) = fitting.unwrap_or(("B", 1));
    match (size, bytes % size) {
        (1, _) => format!("{bytes} {unit}"),
        (_, 0) => format!("{} {unit}", bytes / size),
        _ => format!("{:.1} {unit}", bytes as f64 / size as f64),
    }
}

/// What else sizes are read in: without the B, and by powers of 1024.
const ALSO: [(&str, u64); 8] = [
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1000),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// The bytes that `10GB`, `10G`, `0.5 mb` or `512MiB` means.
pub fn read_bytes(text: &str) -> Result<u64> {
    let number = read(text, &SIZES)
        .or_else(|| read(text, &ALSO))
        .ok_or_else(|| Error::new("expected a size").hint("such as 500MB or 10GB"))?;
    Ok(number as u64)
}

/// `90s`, `12h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let whole = |(_, size): &(&str, u64)| seconds > 0 && seconds.is_multiple_of(*size);
    match TIMES.into_iter().find(whole) {
        Some((unit, size)) if time.subsec_nanos() == 0 => format!("{}{unit}", seconds / size),
        _ => format!("{}s", time.as_secs_f64()),
    }
}

/// The time that `90s`, `1.5h` or `2d` means.
pub fn read_duration(text: &str) -> Result<Duration> {
    read(text, &TIMES)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| Error::new("expected a duration").hint("such as 90s, 30m, 12h or 2d"))
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = text[digits.len()..].trim();
    let (_, size) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    let number: f64 = digits.parse().ok()?;
    (number >= 0.0 && number.is_finite()).then_some(number * *size as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!(read_bytes("10GB").unwrap(), 10_000_000_000);
        assert_eq!(read_bytes("0.5 mb").unwrap(), 500_000);
        assert_eq!(read_bytes("600M").unwrap(), 600_000_000);
        assert_eq!(read_bytes("2GiB").unwrap(), 2 << 30);
        for wrong in ["ten", "10", "-1MB", "", "GB"] {
            assert!(read_bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(bytes(12_345_678), "12.3 MB");
        assert_eq!(bytes(20_000_000_000), "20 GB");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(bytes(0), "0 B");
    }

    #[test]
    fn durations_are_read_and_shown() {
        for (text, seconds) in [("90s", 90.0), ("1.5h", 5400.0), ("2d", 172_800.0)] {
            let time = Duration::from_secs_f64(seconds);
            assert_eq!(read_duration(text).unwrap(), time);
        }
        assert!(read_duration("90").is_err() && read_duration("-1s").is_err());
        let shown = |seconds| duration(Duration::from_secs_f64(seconds));
        assert_eq!(
            [90.0, 7200.0, 0.5, 0.0].map(shown),
            ["90s", "2h", "0.5s", "0s"]
        );
    }
}
