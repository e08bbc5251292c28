//! Neighbours by the cosine of word vectors.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::{Result, bail};

/// Partial sums of a product, so that it can be computed side by side in a fixed order.
const LANES: usize = 8;

/// Word vectors of length 1.
#[derive(Debug)]
pub struct Vectors {
    words: Vec<String>,
    index: HashMap<String, usize>,
    values: Vec<f32>,
    width: usize,
    /// The nearest to words that were asked for.
    known: Mutex<HashMap<(usize, usize), Vec<usize>>>,
}

impl Vectors {
    /// Reads lines of a word and its numbers with spaces between; a first line of two whole numbers
    /// (word2vec's) is passed over. Of a word that comes twice the first counts.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (mut words, mut index) = (Vec::new(), HashMap::new());
        let (mut values, mut width) = (Vec::new(), 0);
        for (at, line) in text.lines().enumerate() {
            let mut parts = line.split(' ').filter(|part| !part.is_empty());
            let Some(word) = parts.next() else {
                continue;
            };
            let before = values.len();
            for part in parts {
                match part.trim_end().parse::<f32>() {
                    Ok(value) if value.is_finite() => values.push(value),
                    _ => bail!(
                        "line {}: expected a word and its numbers, found {part:?}", at + 1;
                        hint: "word vectors have a line a word, as GloVe's"
                    ),
                }
            }
            let own = values.len() - before;
            if at == 0 && own == 1 && word.parse::<usize>().is_ok() {
                values.clear();
                continue;
            }
            if own == 0 || (width > 0 && own != width) {
                let expected = match width {
                    0 => "some".to_string(),
                    width => width.to_string(),
                };
                bail!(
                    "line {}: {own} numbers after {word:?}, expected {expected}",
                    at + 1
                );
            }
            width = own;
            if index.contains_key(word) {
                values.truncate(before);
                continue;
            }
            index.insert(word.to_string(), words.len());
            words.push(word.to_string());
            scale(&mut values[before..]);
        }
        if words.is_empty() {
            bail!("no word vectors in it"; hint: "expected a line a word: the word, then its numbers");
        }
        Ok(Self {
            words,
            index,
            values,
            width,
            known: Mutex::default(),
        })
    }

    /// The `most` words with the largest cosine, equal ones as in the file.
    pub(super) fn of(&self, word: &str, most: usize) -> Vec<String> {
        let Some(&own) = self.index.get(word) else {
            return Vec::new();
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let near = known
            .entry((own, most))
            .or_insert_with(|| self.nearest(own, most));
        near.iter().map(|&i| self.words[i].clone()).collect()
    }

    fn nearest(&self, own: usize, most: usize) -> Vec<usize> {
        let vector = self.vector(own);
        let cosines: Vec<f32> = self
            .values
            .par_chunks(self.width)
            .map(|other| dot(vector, other))
            .collect();
        let mut others: Vec<usize> = (0..self.words.len()).filter(|&i| i != own).collect();
        let nearer = |a: &usize, b: &usize| cosines[*b].total_cmp(&cosines[*a]).then(a.cmp(b));
        if others.len() > most {
            others.select_nth_unstable_by(most, nearer);
            others.truncate(most);
        }
        others.sort_by(nearer);
        others
    }

    pub(super) fn cosine(&self, a: &str, b: &str) -> Option<f64> {
        let (a, b) = (*self.index.get(a)?, *self.index.get(b)?);
        Some(f64::from(dot(self.vector(a), self.vector(b))))
    }

    fn vector(&self, i: usize) -> &[f32] {
        &self.values[i * self.width..][..self.width]
    }
}

/// Makes the length 1; a vector of zeros stays.
fn scale(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    if square > 0.0 {
        let length = square.sqrt();
        vector
            .iter_mut()
            .for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder());
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in whole_a.zip(whole_b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nearest_are_those_of_the_largest_cosine() {
        let text = "4 2\na 2 0\nb 1 1\nc 0 3\nd 1 0.1\na 0 1\n";
        let vectors = Vectors::parse(text).unwrap();
        assert_eq!(vectors.of("a", 3), ["d", "b", "c"]);
        assert_eq!(vectors.of("a", 1), ["d"]);
        assert!(vectors.of("x", 3).is_empty());
        let cosine = vectors.cosine("a", "b").unwrap();
        assert!((cosine - 0.5f64.sqrt()).abs() < 1e-6, "{cosine}");
        assert_eq!(vectors.cosine("a", "x"), None);
    }

    #[test]
    fn wrong_lines_are_named() {
        let told = |text: &str| Vectors::parse(text).unwrap_err().to_string();
        assert_eq!(
            told("a 1 2\nb 1"),
            "line 2: 1 numbers after \"b\", expected 2"
        );
        assert_eq!(told("a"), "line 1: 0 numbers after \"a\", expected some");
        assert_eq!(
            told("a 1 x"),
            "line 1: expected a word and its numbers, found \"x\"; word vectors have a line a word, as GloVe's"
        );
        assert!(told("\n").starts_with("no word vectors in it"));
    }

    proptest! {
        #[test]
        fn nearest_agree_with_sorting_everything(
            rows in prop::collection::vec(prop::collection::vec(-1f32..1.0, 11), 2..30),
            most in 1usize..6,
        ) {
            let line = |(i, row): (usize, &Vec<f32>)| {
                let numbers: Vec<String> = row.iter().map(f32::to_string).collect();
                format!("w{i} {}\n", numbers.join(" "))
            };
            let text: String = rows.iter().enumerate().map(line).collect();
            let vectors = Vectors::parse(&text).unwrap();
            let mut all: Vec<(f64, String)> = (1..rows.len())
                .map(|i| (-vectors.cosine("w0", &format!("w{i}")).unwrap(), format!("w{i}")))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            let expected: Vec<String> = all.into_iter().take(most).map(|(_, word)| word).collect();
            prop_assert_eq!(vectors.of("w0", most), expected);
        }
    }
}
