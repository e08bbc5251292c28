use super::*;
use crate::report::table::Value;

fn table() -> Table {
    let domain = ["films", "news", "tweets", "products"];
    Table::from_columns([
        (
            "conflict",
            (0..28)
                .map(|i| Value::Float(f64::from(i % 9) * 0.03))
                .collect::<Vec<_>>(),
        ),
        (
            "drop",
            (0..28)
                .map(|i| Value::Float(f64::from(i % 5) * 0.01))
                .collect(),
        ),
        (
            "domain",
            (0..28).map(|i| Value::text(domain[i % 4])).collect(),
        ),
        ("seed", (0..28).map(|i| Value::Int(i / 9)).collect()),
    ])
    .unwrap()
}

/// A figure with two colours.
pub(super) fn figure() -> Figure {
    let options = ScatterOptions {
        color: Some("domain".into()),
        ..ScatterOptions::default()
    };
    table().scatter("conflict", "drop", &options).unwrap()
}

#[test]
fn a_figure_says_what_it_shows_and_is_the_same_twice() {
    let options = ScatterOptions {
        color: Some("domain".into()),
        title: Some("a <b> & \"c\"".into()),
        trend: true,
    };
    let draw = || table().scatter("conflict", "drop", &options).unwrap();
    let svg = draw().to_svg();
    for label in [
        "conflict",
        "drop",
        "films",
        "products",
        "a &lt;b&gt; &amp; ",
    ] {
        assert!(svg.contains(label), "{label}");
    }
    assert_eq!(svg, draw().to_svg());
    assert_eq!(draw().to_png().unwrap(), draw().to_png().unwrap());
}

/// The first row of the table is the topmost of the map, with its own values in it.
#[test]
fn a_heatmap_reads_like_its_table() {
    let table = Table::from_columns([
        ("name", vec![Value::text("first"), Value::text("second")]),
        ("x", vec![Value::Float(0.25), Value::Float(0.75)]),
    ]);
    let svg = table
        .unwrap()
        .heatmap(&HeatmapOptions::default())
        .unwrap()
        .to_svg();
    let height = |label: &str| -> f64 {
        let end = svg.find(&format!(">{label}<")).unwrap();
        let tag = &svg[svg[..end].rfind("<text").unwrap()..end];
        let y = tag.split(" y=\"").nth(1).unwrap();
        y[..y.find('"').unwrap()].parse().unwrap()
    };
    assert!(height("first") < height("second"));
    assert!((height("first") - height("0.25")).abs() < 20.0);
    assert!((height("second") - height("0.75")).abs() < 20.0);
}

#[test]
fn the_terminal_gets_plain_text_within_its_width() {
    let text = table()
        .scatter("conflict", "drop", &ScatterOptions::default())
        .unwrap()
        .to_terminal(70, 20, Colours::None);
    assert!(!text.contains('\u{1b}'));
    assert!(text.contains("conflict"), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 70));
}

#[test]
fn every_point_can_be_seen_in_the_terminal() {
    let at = |v: &[f64]| v.iter().map(|v| Value::Float(*v)).collect::<Vec<_>>();
    let corners = Table::from_columns([
        ("x", at(&[1.0, 2.0, 1.0, 2.0, 1.5])),
        ("y", at(&[2.0, 3.0, 3.0, 2.0, 2.5])),
    ]);
    let text = corners
        .unwrap()
        .scatter("x", "y", &ScatterOptions::default())
        .unwrap()
        .to_terminal(80, 24, Colours::None);
    let points = |row: &str| row.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c));
    let lines: Vec<&str> = text.lines().filter(|line| points(line)).collect();
    let clusters: usize = lines
        .iter()
        .map(|line| {
            line.split(|c: char| !points(&c.to_string()))
                .filter(|p| !p.is_empty())
                .count()
        })
        .sum();
    assert!(clusters >= 5, "{text}");
}

#[test]
fn repeated_rows_need_a_word_on_what_repeats() {
    let error = table()
        .line("conflict", "drop", &LineOptions::default())
        .unwrap_err();
    assert!(error.to_string().contains("over"), "{error}");
    let options = LineOptions {
        over: Some("seed".into()),
        band: Some(Band::Ci95),
        ..LineOptions::default()
    };
    assert!(table().line("conflict", "drop", &options).is_ok());
}

#[test]
fn wrong_columns_and_files_are_errors() {
    assert!(
        table()
            .scatter("conflicts", "drop", &ScatterOptions::default())
            .is_err()
    );
    assert!(
        table()
            .scatter("domain", "drop", &ScatterOptions::default())
            .is_err()
    );
    let figure = table()
        .bar("domain", "drop", &BarOptions::default())
        .unwrap();
    let error = figure.save(Path::new("x.gif")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.gif: a figure is saved as .svg or .png"
    );
}

#[test]
fn a_saved_figure_has_its_data_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let means = table()
        .bar("domain", "drop", &BarOptions::default())
        .unwrap();
    means.save(&folder.path().join("fig.svg")).unwrap();
    let data = Table::read(&folder.path().join("fig.csv")).unwrap();
    assert_eq!(data.columns(), ["domain", "drop_mean"]);
    let both = Figure::subplots(&[means.clone(), means], 2).unwrap();
    assert!(both.to_svg().matches("domain").count() >= 2);
}
