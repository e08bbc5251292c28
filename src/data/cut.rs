//! Cutting one set of rows into train, validation and test.

use std::collections::BTreeMap;

use super::row::{Label, Row, Split, Task};
use crate::compute::random::Stream;
use crate::{Error, Result};

/// Checks the three shares of train, validation and test: from 0 to 1, train above 0, together 1.
pub(super) fn check(shares: [f64; 3]) -> Result<()> {
    let valid = shares.iter().all(|share| (0.0..=1.0).contains(share))
        && shares[0] > 0.0
        && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-6;
    if valid {
        return Ok(());
    }
    Err(Error::new(format!(
        "split is {shares:?}, expected three shares of train, validation and test that sum to 1"
    ))
    .hint("write split: [0.8, 0.1, 0.1]"))
}

/// Cuts rows by shares, label by label; each split keeps the order of the rows.
///
/// The rows of a label are shuffled by the stream `(seed, "split", label)`. A split of n rows gets
/// its share of them rounded, and of each label its share within one row; train gets at least one
/// row of each label.
pub(super) fn stratified(
    rows: &[Row],
    task: &Task,
    shares: [f64; 3],
    seed: u64,
) -> Result<[Vec<Row>; 3]> {
    check(shares)?;
    let mut strata: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        strata.entry(stratum(row, task)).or_default().push(i);
    }
    let mut chosen: [Vec<usize>; 3] = Default::default();
    let mut before = 0;
    for (label, mut members) in strata {
        Stream::new(seed, "split", label).shuffle(&mut members);
        let after = before + members.len();
        // Rounding the running totals, not each label's own, makes the splits add up.
        let cut = |share: f64| rounded(after, share) - rounded(before, share);
        let train = cut(shares[0]).max(1);
        let validation = cut(shares[0] + shares[1]).clamp(train, members.len());
        chosen[0].extend(&members[..train]);
        chosen[1].extend(&members[train..validation]);
        chosen[2].extend(&members[validation..]);
        before = after;
    }
    for (split, share) in Split::ALL.into_iter().zip(shares) {
        if share > 0.0 && chosen[split as usize].is_empty() {
            return Err(Error::new(format!(
                "{} rows are too few to give {split} a share of {share}",
                rows.len()
            )));
        }
    }
    Ok(chosen.map(|mut indices| {
        indices.sort_unstable();
        indices.into_iter().map(|i| rows[i].clone()).collect()
    }))
}

fn rounded(n: usize, share: f64) -> usize {
    ((n as f64 * share.min(1.0)).round() as usize).min(n)
}

fn stratum<'a>(row: &Row, task: &'a Task) -> &'a str {
    match (row.label, task) {
        (Label::Class(class), Task::Classification { labels, .. }) => &labels[class],
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(counts: &[usize]) -> (Vec<Row>, Task) {
        let rows = counts
            .iter()
            .enumerate()
            .flat_map(|(class, &count)| {
                (0..count).map(move |i| Row {
                    text: format!("{class} {i}").into(),
                    text_b: None,
                    label: Label::Class(class),
                })
            })
            .collect();
        let labels = (0..counts.len()).map(|i| format!("l{i}")).collect();
        (
            rows,
            Task::Classification {
                labels,
                order: crate::data::Order::Sorted,
            },
        )
    }

    #[test]
    fn every_label_is_cut_by_the_shares() {
        let (rows, task) = rows(&[100, 10]);
        let splits = stratified(&rows, &task, [0.8, 0.1, 0.1], 3).unwrap();
        let count = |split: &[Row], class| {
            split
                .iter()
                .filter(|row| row.label == Label::Class(class))
                .count()
        };
        let counts = splits.each_ref().map(|s| (count(s, 0), count(s, 1)));
        assert_eq!(counts, [(80, 8), (10, 1), (10, 1)]);
        let mut all: Vec<&str> = splits.iter().flatten().map(|row| &*row.text).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 110);
        assert_eq!(
            stratified(&rows, &task, [0.8, 0.1, 0.1], 3).unwrap(),
            splits
        );
        assert_ne!(
            stratified(&rows, &task, [0.8, 0.1, 0.1], 4).unwrap(),
            splits
        );
    }

    #[test]
    fn splits_of_odd_labels_add_up() {
        let (rows, task) = rows(&[333, 333, 334]);
        let splits = stratified(&rows, &task, [0.7, 0.1, 0.2], 0).unwrap();
        assert_eq!(splits.map(|s| s.len()), [700, 100, 200]);
    }

    #[test]
    fn a_rare_label_goes_to_train() {
        let (rows, task) = rows(&[1, 40]);
        let [train, _, _] = stratified(&rows, &task, [0.3, 0.3, 0.4], 0).unwrap();
        assert!(train.iter().any(|row| row.label == Label::Class(0)));
    }

    #[test]
    fn bad_shares_and_too_few_rows_are_refused() {
        let (rows, task) = rows(&[2]);
        for shares in [
            [0.8, 0.1, 0.2],
            [0.0, 0.5, 0.5],
            [1.2, -0.2, 0.0],
            [f64::NAN, 0.5, 0.5],
        ] {
            let error = stratified(&rows, &task, shares, 0).unwrap_err().to_string();
            assert!(error.contains("sum to 1"), "{error}");
        }
        let error = stratified(&rows, &task, [0.8, 0.1, 0.1], 0)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "2 rows are too few to give validation a share of 0.1"
        );
    }
}
