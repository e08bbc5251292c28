//! Levenshtein's distance, as far as it matters.

/// Whether `a` becomes `b` by at most `most` letters put in, taken away or replaced. Takes
/// time in proportion to the length times `most`.
pub(super) fn within(a: &str, b: &str, most: usize) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let ends = |(x, y): &(&char, &char)| x == y;
    let head = a.iter().zip(&b).take_while(ends).count();
    let (a, b) = (&a[head..], &b[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(ends).count();
    let (a, b) = (&a[..a.len() - tail], &b[..b.len() - tail]);
    if a.len().abs_diff(b.len()) > most {
        return false;
    }
    // Only cells this near to the diagonal can hold a distance of at most `most`.
    let far = most + 1;
    let mut row: Vec<usize> = (0..=b.len()).map(|j| j.min(far)).collect();
    for (i, x) in a.iter().enumerate() {
        let (first, last) = ((i + 1).saturating_sub(most), (i + 1 + most).min(b.len()));
        let mut corner = row[first.saturating_sub(1)];
        let mut start = first;
        if first == 0 {
            row[0] = (i + 1).min(far);
            start = 1;
        } else {
            row[first - 1] = far;
        }
        for j in start..=last {
            let replaced = corner + usize::from(*x != b[j - 1]);
            corner = row[j];
            row[j] = replaced.min(corner + 1).min(row[j - 1] + 1).min(far);
        }
    }
    row[b.len()] <= most
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_the_whole_table(a in "[abé]{0,12}", b in "[abé]{0,12}", most in 0usize..8) {
            let distance = strsim::levenshtein(&a, &b);
            prop_assert_eq!(within(&a, &b, most), distance <= most, "{}", distance);
        }
    }

    #[test]
    fn long_texts_are_told_apart() {
        let a = "x".repeat(3000);
        let b = format!("{a}{}", "y".repeat(30));
        assert!(within(&a, &b, 30));
        assert!(!within(&a, &format!("y{b}"), 30));
    }
}
