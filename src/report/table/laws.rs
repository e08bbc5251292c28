//! What holds for every table, whatever is in it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Texts that are hard on file formats; never taken for a number or for nothing.
fn text() -> impl Strategy<Value = Value> {
    "t[ab\"',;|\\\\\n\r\t é漢🙂+]{0,8}".prop_map(Value::from)
}

fn float() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-1e3..1e3f64).prop_map(Value::Float),
        proptest::num::f64::NORMAL.prop_map(Value::Float),
        Just(Value::Float(2.0)),
    ]
}

fn or_null(cell: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![5 => cell, 1 => Just(Value::Null)]
}

prop_compose! {
    /// Columns group (few values), int, float, text, bool and an index.
    fn tables()(rows in proptest::collection::vec(
        (0..4i64, or_null(any::<i64>().prop_map(Value::Int)), or_null(float()), or_null(text()),
         any::<bool>()),
        0..30,
    )) -> Table {
        let mut columns: Vec<Vec<Value>> = vec![Vec::new(); 6];
        for (at, (group, int, float, text, flag)) in rows.into_iter().enumerate() {
            let row = [group.into(), int, float, text, flag.into(), at.into()];
            columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
        }
        let names = ["group", "int", "float", "text", "flag", "i"];
        Table::from_columns(names.into_iter().zip(columns)).unwrap()
    }
}

/// Texts that a reader may take for something else: numbers, missing values, parts of the format.
pub(crate) fn odd_text() -> impl Strategy<Value = String> {
    const ODD: &[&str] = &[
        "",
        " ",
        "NA",
        "nan",
        "NaN",
        "None",
        "null",
        "#N/A",
        "true",
        "False",
        "1",
        "-2",
        "007",
        "+3",
        ".5",
        "1.",
        "1e5",
        "inf",
        "1e999",
        "99999999999999999999",
        "\"",
        "\"\"",
        "\"a\"",
        "\"a",
        "a\"",
        "\u{feff}",
        "\u{feff}a",
        " a ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "a\nb",
        "a\tb\nc",
        "a,b",
        "a;b",
        "a|b",
        "\\N",
        "\u{2028}",
        "\0",
        "=1+1",
        "{}",
        "[1]",
        "NaN\"",
        "é漢🙂",
    ];
    prop_oneof![
        3 => proptest::sample::select(ODD).prop_map(String::from),
        2 => "[ab\"',;|\\\\\n\r\t 01.\u{feff}é🙂+-]{0,8}",
        1 => any::<String>(),
    ]
}

/// Columns of one kind each, with odd names and odd texts.
fn odd_tables() -> impl Strategy<Value = Table> {
    (1..4usize, 1..8usize).prop_flat_map(|(columns, rows)| {
        let column = (0..4usize).prop_flat_map(move |kind| {
            let cell = match kind {
                0 => odd_text().prop_map(Value::from).boxed(),
                1 => any::<i64>().prop_map(Value::Int).boxed(),
                2 => float().boxed(),
                _ => any::<bool>().prop_map(Value::Bool).boxed(),
            };
            proptest::collection::vec(or_null(cell), rows)
        });
        let name = odd_text().prop_filter("a name", |name| !name.is_empty());
        let names = proptest::collection::hash_set(name, columns);
        let names = names.prop_map(|names| names.into_iter().collect::<Vec<_>>());
        let columns = proptest::collection::vec(column, columns);
        (names, columns).prop_map(|(names, columns)| {
            Table::from_columns(names.into_iter().zip(columns)).unwrap()
        })
    })
}

fn cells(table: &Table, name: &str) -> Vec<Value> {
    table.column(name).unwrap().to_vec()
}

/// A column of empty cells only has no kind, so one that is filled comes first.
fn has_every_kind(table: &Table) -> bool {
    let kinds = ["int", "float", "text"];
    let filled = |name: &&str| cells(table, name).iter().any(|cell| !cell.is_null());
    kinds.iter().all(filled)
}

proptest! {
    #[test]
    fn sorting_permutes_into_order(table in tables(), down in any::<bool>()) {
        let order = if down { Order::Descending } else { Order::Ascending };
        for by in ["group", "int", "float", "text", "flag"] {
            let sorted = table.sort(&[(by, order)]).unwrap();
            let mut places: Vec<usize> =
                sorted.numbers("i").unwrap().iter().map(|i| *i as usize).collect();
            prop_assert_eq!(&sorted, &table.take(&places));
            for (pair, at) in cells(&sorted, by).windows(2).zip(0..) {
                let step = pair[0].order(&pair[1]);
                let step = if down { step.map(std::cmp::Ordering::reverse) } else { step };
                match step {
                    None => prop_assert!(pair[1].is_null()),
                    Some(step) => {
                        prop_assert!(step.is_le());
                        prop_assert!(step.is_lt() || places[at] < places[at + 1]);
                    }
                }
            }
            places.sort_unstable();
            prop_assert!(places.into_iter().eq(0..table.len()));
        }
    }

    #[test]
    fn a_join_with_itself_on_a_unique_key_changes_nothing(table in tables()) {
        let other = table.select(&["i", "text"]).unwrap().rename(&[("text", "again")]).unwrap();
        for how in [How::Inner, How::Left, How::Outer] {
            let joined = table.join(&other, &["i"], how, "_b").unwrap();
            prop_assert_eq!(cells(&joined, "again"), cells(&table, "text"));
            let names = table.columns();
            prop_assert_eq!(&joined.select(&names).unwrap(), &table);
        }
    }

    #[test]
    fn a_join_makes_every_pair(a in tables(), b in tables()) {
        let b = b.select(&["group", "i"]).unwrap().rename(&[("i", "j")]).unwrap();
        let joined = a.join(&b, &["group"], How::Inner, "_b").unwrap();
        let mut pairs = Vec::new();
        for (group, i) in cells(&a, "group").iter().zip(cells(&a, "i")) {
            for (there, j) in cells(&b, "group").iter().zip(cells(&b, "j")) {
                if group == there {
                    pairs.push((i.clone(), j));
                }
            }
        }
        let ours: Vec<_> = cells(&joined, "i").into_iter().zip(cells(&joined, "j")).collect();
        prop_assert_eq!(ours, pairs);
    }

    #[test]
    fn concat_adds_up(a in tables(), b in tables()) {
        let both = Table::concat(&[a.clone(), b.clone()]).unwrap();
        prop_assert_eq!(both.len(), a.len() + b.len());
        prop_assert_eq!(both.first(a.len()), a);
    }

    #[test]
    fn files_read_back(table in tables()) {
        if table.is_empty() {
            return Ok(());
        }
        let read = |format| Table::decode(&table.encode(format).unwrap(), format).unwrap();
        prop_assert_eq!(&read(Format::Jsonl), &table);
        prop_assert_eq!(read(Format::Jsonl).id(), table.id());
        if has_every_kind(&table) {
            prop_assert_eq!(&read(Format::Csv), &table);
            prop_assert_eq!(&read(Format::Tsv), &table);
        }
    }

    #[test]
    fn what_is_written_is_read_back(table in odd_tables()) {
        for format in [Format::Csv, Format::Tsv, Format::Jsonl] {
            let text = table.encode(format).unwrap();
            let read = Table::decode(&text, format);
            prop_assert!(read.is_ok(), "{:?}: {:?}: {:?}", format, read, text);
            prop_assert_eq!(&read.unwrap(), &table, "{:?}: {:?}", format, text);
        }
    }

    #[test]
    fn groups_sum_up_as_by_hand(table in tables()) {
        let by_hand: BTreeMap<i64, Vec<f64>> = {
            let mut groups: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
            for (group, i) in cells(&table, "group").iter().zip(cells(&table, "i")) {
                let Value::Int(group) = group else { unreachable!() };
                groups.entry(*group).or_default().extend(i.number());
            }
            groups
        };
        let all = vec![Aggregate::N, Aggregate::Mean, Aggregate::Max, Aggregate::Sum];
        let ours = table.group(&["group"]).unwrap().agg(&[("i", all)]).unwrap();
        let ours = ours.sort(&[("group", Order::Ascending)]).unwrap();
        prop_assert_eq!(ours.len(), by_hand.len());
        for (at, (group, values)) in by_hand.into_iter().enumerate() {
            let row: Vec<f64> = ours.row(at).unwrap().iter().filter_map(|(_, c)| c.number()).collect();
            let sum: f64 = values.iter().sum();
            let n = values.len() as f64;
            let expected = [group as f64, n, sum / n, values[values.len() - 1], sum];
            prop_assert_eq!(&row[..], &expected[..]);
        }
    }

    #[test]
    fn filters_split_a_table(table in tables()) {
        let is = |flag: bool| [("flag", Condition::Equals(flag.into()))];
        let (yes, no) = (table.where_(&is(true)).unwrap(), table.where_(&is(false)).unwrap());
        let both = Table::concat(&[yes, no]).unwrap();
        prop_assert_eq!(both.sort(&[("i", Order::Ascending)]).unwrap(), table);
    }

    #[test]
    fn every_table_can_be_shown(table in tables(), width in 0..200usize) {
        let text = table.render(Some(width));
        prop_assert!(text.lines().count() >= 2 + table.len().min(26));
        prop_assert!(!table.encode(Format::Markdown).unwrap().contains('\r'));
        let end = "\\end{tabular}\n";
        prop_assert!(table.encode(Format::Latex).unwrap().ends_with(end));
    }
}
