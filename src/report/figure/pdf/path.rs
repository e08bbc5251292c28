//! Paths as SVG writes them.

use std::fmt::Write;

use super::write::number;
use crate::{Result, bail};

/// The path `d` as operators of a page.
pub(super) fn operators(d: &str) -> Result<String> {
    let mut out = String::new();
    let mut left = Tokens(d);
    let (mut command, mut at, mut begun) = ('M', [0.0; 2], [0.0; 2]);
    while let Some(found) = left.command(command)? {
        command = found;
        let from = if command.is_ascii_lowercase() {
            at
        } else {
            [0.0; 2]
        };
        let mut point =
            || Ok::<_, crate::Error>([left.number()? + from[0], left.number()? + from[1]]);
        match command.to_ascii_uppercase() {
            'M' => {
                at = point()?;
                begun = at;
                let _ = writeln!(out, "{} m", pair(at));
                // Further points after it are lines.
                command = if command == 'M' { 'L' } else { 'l' };
            }
            'L' => {
                at = point()?;
                let _ = writeln!(out, "{} l", pair(at));
            }
            'H' => {
                at[0] = left.number()? + from[0];
                let _ = writeln!(out, "{} l", pair(at));
            }
            'V' => {
                at[1] = left.number()? + from[1];
                let _ = writeln!(out, "{} l", pair(at));
            }
            'C' => {
                let (a, b, end) = (point()?, point()?, point()?);
                let _ = writeln!(out, "{} {} {} c", pair(a), pair(b), pair(end));
                at = end;
            }
            'Q' => {
                let (middle, end) = (point()?, point()?);
                // The same curve, of one degree more.
                let near = |p: [f64; 2]| [0, 1].map(|i| p[i] + 2.0 / 3.0 * (middle[i] - p[i]));
                let (a, b) = (near(at), near(end));
                let _ = writeln!(out, "{} {} {} c", pair(a), pair(b), pair(end));
                at = end;
            }
            'Z' => {
                out.push_str("h\n");
                at = begun;
            }
            other => bail!("a path has the command {other}, which has no PDF"),
        }
    }
    Ok(out)
}

fn pair([x, y]: [f64; 2]) -> String {
    format!("{} {}", number(x), number(y))
}

struct Tokens<'a>(&'a str);

impl Tokens<'_> {
    fn skip(&mut self) {
        let between = |c: char| c.is_whitespace() || c == ',';
        self.0 = self.0.trim_start_matches(between);
    }

    /// The next command; where numbers follow, the one before goes on.
    fn command(&mut self, before: char) -> Result<Option<char>> {
        self.skip();
        let Some(first) = self.0.chars().next() else {
            return Ok(None);
        };
        if first.is_ascii_alphabetic() {
            self.0 = &self.0[1..];
            return Ok(Some(first));
        }
        match before.eq_ignore_ascii_case(&'Z') {
            true => bail!("a path goes on after its end"),
            false => Ok(Some(before)),
        }
    }

    fn number(&mut self) -> Result<f64> {
        self.skip();
        let mut end = 0;
        for (i, c) in self.0.char_indices() {
            let exponent = self.0[..i].ends_with(['e', 'E']);
            let signed = matches!(c, '+' | '-') && (i == 0 || exponent);
            let point = c == '.' && !self.0[..i].contains('.');
            if !(c.is_ascii_digit() || signed || point || matches!(c, 'e' | 'E')) {
                break;
            }
            end = i + 1;
        }
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        match digits.parse() {
            Ok(number) => Ok(number),
            Err(_) => bail!("a path has no number at {:?}", digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_operators() {
        let told = |d: &str| operators(d).unwrap().replace('\n', ";");
        assert_eq!(told("M1,2 L3.5,4 Z"), "1 2 m;3.5 4 l;h;");
        assert_eq!(told("M 1 2 3 4 l1-1"), "1 2 m;3 4 l;4 3 l;");
        assert_eq!(told("m1 2h3v-1"), "1 2 m;4 2 l;4 1 l;");
        assert_eq!(told("M0 0Q3 3 6 0"), "0 0 m;2 2 4 2 6 0 c;");
        assert_eq!(told("M0 0C1 1 2 1e0 3 0z"), "0 0 m;1 1 2 1 3 0 c;h;");
        // What follows the end of a part starts where that began.
        assert_eq!(told("M5 5L9 9Zl1 1"), "5 5 m;9 9 l;h;6 6 l;");
        assert!(operators("M1 1A1 1 0 0 0 2 2").is_err());
        assert!(operators("M1").is_err());
    }
}
