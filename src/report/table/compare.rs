//! One level of a column against the others, pair by pair.

use super::key::{Groups, Key};
use super::{Table, Value};
use crate::stats::{Paired, PairedTest, paired};
use crate::{Error, Result, bail};

/// Against what to compare, which rows are pairs, by which test.
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// The level that the others are compared with.
    pub against: Value,
    /// The columns that make two rows a pair.
    pub pair: Vec<String>,
    /// The test; Wilcoxon's signed ranks by default.
    pub test: PairedTest,
}

impl Table {
    /// How `value` differs between each level of `column` and the one it is compared `against`.
    ///
    /// A row a level: the level under `column`'s own name, `diff` (mean of level less against),
    /// `lo` and `hi` (the mean difference's 95 % interval by Student's t), `p` and `n` (pairs).
    /// Every row of a level has exactly one partner; anything else is an error.
    pub fn compare(&self, column: &str, value: &str, options: &CompareOptions) -> Result<Self> {
        if options.pair.is_empty() {
            bail!("a comparison needs the columns that make two rows a pair"; hint: "such as pair: [\"seed\"]");
        }
        let levels = self.groups_by(&[column])?;
        let cells = self.column(column)?;
        let numbers = self.numbers(value)?;
        let pair: Vec<&str> = options.pair.iter().map(String::as_str).collect();
        if pair.contains(&column) || pair.contains(&value) {
            bail!("`{column}` and `{value}` are compared, so neither can pair rows");
        }
        let keys = Key::of_rows(&self.cells_of(&pair)?, self.len());
        let Some(base) = levels.find(&Key::new([&options.against])) else {
            let known: Vec<String> = self.unique(column)?.iter().map(Value::to_string).collect();
            bail!(
                "`{column}` is nowhere `{}`", options.against;
                hint: "it is {}", known.join(", ")
            );
        };
        let sides = Sides {
            table: self,
            pair: &pair,
            keys: &keys,
            numbers: &numbers,
        };
        let mut out: [Vec<Value>; 6] = Default::default();
        for (level, rows) in levels.rows.iter().enumerate() {
            if level == base {
                continue;
            }
            let name = &cells[rows[0]];
            let test = sides
                .test(rows, &levels.rows[base], options.test)
                .map_err(|e| e.within(format!("`{name}` against `{}`", options.against)))?;
            let row: [Value; 6] = [
                name.clone(),
                test.diff.into(),
                test.lo.into(),
                test.hi.into(),
                test.p.into(),
                test.n.into(),
            ];
            out.iter_mut()
                .zip(row)
                .for_each(|(column, cell)| column.push(cell));
        }
        if out[0].is_empty() {
            bail!(
                "`{column}` is `{}` in every row: there is nothing to compare",
                options.against
            );
        }
        Self::from_columns([column, "diff", "lo", "hi", "p", "n"].into_iter().zip(out))
    }
}

/// What pairs rows and what is compared.
struct Sides<'a> {
    table: &'a Table,
    pair: &'a [&'a str],
    keys: &'a [Key],
    numbers: &'a [f64],
}

impl Sides<'_> {
    /// The rows of a level against those of the base, each with its one partner.
    fn test(&self, level: &[usize], base: &[usize], test: PairedTest) -> Result<Paired> {
        let (ours, theirs) = (self.unique(level)?, self.unique(base)?);
        if let Some(&row) = base
            .iter()
            .find(|&&row| ours.find(&self.keys[row]).is_none())
        {
            return Err(self.alone(row)?);
        }
        let mut a = Vec::with_capacity(level.len());
        let mut b = Vec::with_capacity(level.len());
        for &row in level {
            let Some(at) = theirs.find(&self.keys[row]) else {
                return Err(self.alone(row)?);
            };
            a.push(self.numbers[row]);
            b.push(self.numbers[base[at]]);
        }
        paired(&a, &b, test)
    }

    fn alone(&self, row: usize) -> Result<Error> {
        let told = format!("{} has no partner: unmatched pairs", self.describe(row)?);
        Ok(Error::new(told).hint("pair by columns in which both sides have the same values"))
    }

    /// The rows by their pairing cells, which no two share.
    fn unique(&self, rows: &[usize]) -> Result<Groups> {
        let groups = Groups::new(rows.iter().map(|&row| self.keys[row].clone()).collect());
        if let Some(twice) = groups.rows.iter().find(|group| group.len() > 1) {
            bail!(
                "{} is there twice", self.describe(rows[twice[0]])?;
                hint: "pair by more columns, take means first, or, where one baseline stands against many settings, give each setting a level of its own: add(\"level\", |r| ...)"
            );
        }
        Ok(groups)
    }

    fn describe(&self, row: usize) -> Result<String> {
        let cells = self.table.cells_of(self.pair)?;
        let parts = self.pair.iter().zip(cells);
        let parts: Vec<String> = parts
            .map(|(name, c)| format!("{name} {}", c[row]))
            .collect();
        Ok(format!("row {row} ({})", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut rows = Vec::new();
        for (kind, shift) in [("lora", 0.0), ("pfeiffer", 0.1), ("ia3", -0.2)] {
            for seed in [3, 1, 2, 4] {
                let noise = f64::from(seed * seed % 7) * 0.01 * shift;
                rows.push(vec![
                    ("kind", Value::from(kind)),
                    ("seed", seed.into()),
                    (
                        "accuracy",
                        (0.7 + 0.01 * f64::from(seed) + shift + noise).into(),
                    ),
                ]);
            }
        }
        Table::from_rows(&rows, &["kind", "seed", "accuracy"]).unwrap()
    }

    fn options(against: &str, test: PairedTest) -> CompareOptions {
        CompareOptions {
            against: against.into(),
            pair: vec!["seed".into()],
            test,
        }
    }

    #[test]
    fn levels_differ_by_what_was_put_in() {
        let table = table()
            .sort(&[("accuracy", super::super::Order::Ascending)])
            .unwrap();
        let result = table.compare("kind", "accuracy", &options("lora", PairedTest::Wilcoxon));
        let result = result.unwrap();
        assert_eq!(result.columns(), ["kind", "diff", "lo", "hi", "p", "n"]);
        assert_eq!(
            result.column("kind").unwrap(),
            ["ia3".into(), "pfeiffer".into()]
        );
        let diff = result.numbers("diff").unwrap();
        assert!(
            (diff[0] + 0.2045).abs() < 1e-9 && (diff[1] - 0.10225).abs() < 1e-9,
            "{diff:?}"
        );
        // All four pairs on one side: two of sixteen sign patterns.
        assert_eq!(result.numbers("p").unwrap(), [0.125, 0.125]);
        assert_eq!(result.column("n").unwrap(), [Value::Int(4), 4.into()]);
        let t = table
            .compare("kind", "accuracy", &options("lora", PairedTest::T))
            .unwrap();
        assert_eq!(t.numbers("lo").unwrap(), result.numbers("lo").unwrap());
        assert!(t.numbers("p").unwrap()[0] < 1e-4);
    }

    #[test]
    fn unmatched_and_ambiguous_pairs_are_errors() {
        let fails = |table: &Table, options: &CompareOptions| {
            table
                .compare("kind", "accuracy", options)
                .unwrap_err()
                .to_string()
        };
        let plain = options("lora", PairedTest::Wilcoxon);
        assert_eq!(
            fails(&table().first(7), &plain),
            "`pfeiffer` against `lora`: row 3 (seed 4) has no partner: unmatched pairs; pair by columns in which both sides have the same values"
        );
        let mut kept = vec![true; 12];
        kept[1] = false;
        let without = table().filter(&kept).unwrap();
        assert!(fails(&without, &plain).contains("row 4 (seed 1) has no partner"));
        let twice = Table::concat(&[table(), table()]).unwrap();
        assert!(fails(&twice, &plain).contains("(seed 3) is there twice"));
        assert_eq!(
            fails(&table(), &options("lorra", PairedTest::Wilcoxon)),
            "`kind` is nowhere `lorra`; it is lora, pfeiffer, ia3"
        );
        assert!(fails(&table().first(4), &plain).contains("nothing to compare"));
        let none = CompareOptions {
            pair: vec![],
            ..plain
        };
        assert!(fails(&table(), &none).contains("make two rows a pair"));
    }
}
