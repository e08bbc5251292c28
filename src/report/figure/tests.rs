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
        "x.gif: a figure is saved as .svg, .pdf or .png"
    );
}

#[test]
fn a_saved_figure_has_its_data_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let means = table()
        .bar("domain", "drop", &BarOptions::default())
        .unwrap();
    means.save(&folder.path().join("fig.svg")).unwrap();
    let data = Table::read(&folder.path().join("fig.svg.csv")).unwrap();
    assert_eq!(data.columns(), ["domain", "drop_mean"]);
    let both = Figure::subplots(&[means.clone(), means], 2).unwrap();
    assert!(both.to_svg().matches("domain").count() >= 2);
}

/// The text of a page by its fonts' own tables, as a reader finds it.
fn searched(pdf: &[u8]) -> String {
    use std::io::Read;
    let mut streams = Vec::new();
    let mut rest = pdf;
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|w| w == what);
    while let Some(at) = find(rest, b"stream\n") {
        rest = &rest[at + 7..];
        let mut text = Vec::new();
        let _ = flate2::read::ZlibDecoder::new(rest).read_to_end(&mut text);
        streams.push(String::from_utf8_lossy(&text).into_owned());
        rest = &rest[find(rest, b"endstream").unwrap() + 9..];
    }
    let letters: Vec<&String> = streams
        .iter()
        .filter(|s| s.contains("beginbfchar"))
        .collect();
    let page = streams.iter().find(|s| s.contains(" Tj")).unwrap();
    let mut found = String::new();
    for line in page.lines().filter(|line| line.ends_with(" Tj")) {
        let font = usize::from(line.starts_with("/F1"));
        let map = letters[font.min(letters.len() - 1)];
        let glyphs = line.split(['<', '>']).nth(1).unwrap();
        for glyph in glyphs.as_bytes().chunks(4) {
            let key = format!("<{}> <", std::str::from_utf8(glyph).unwrap());
            let at = map.find(&key).unwrap() + key.len();
            let code = u32::from_str_radix(&map[at..at + 4], 16).unwrap();
            found.push(char::from_u32(code).unwrap());
        }
        found.push('\n');
    }
    found
}

#[test]
fn a_pdf_has_its_text_and_its_font_and_is_the_same_twice() {
    let options = ScatterOptions {
        color: Some("domain".into()),
        title: Some("5 $ per adapter: \u{e4}".into()),
        trend: true,
    };
    let draw = || table().scatter("conflict", "drop", &options).unwrap();
    let pdf = draw().to_pdf().unwrap();
    assert_eq!(pdf, draw().to_pdf().unwrap());
    assert!(
        pdf.starts_with(b"%PDF-") && pdf.len() < 60_000,
        "{}",
        pdf.len()
    );
    let text = searched(&pdf);
    for label in [
        "conflict",
        "drop",
        "films",
        "products",
        "5 $ per adapter: \u{e4}",
    ] {
        assert!(text.lines().any(|line| line == label), "{label}:\n{text}");
    }
}

#[test]
fn every_kind_of_figure_has_a_pdf_and_shows_its_values() {
    let table = table();
    let line = LineOptions {
        color: Some("domain".into()),
        over: Some("seed".into()),
        band: Some(Band::Ci95),
        ..LineOptions::default()
    };
    let bars = BarOptions {
        color: Some("seed".into()),
        ..BarOptions::default()
    };
    let figures = [
        (
            table.line("conflict", "drop", &line),
            "films: 0.0900, 0.0200",
        ),
        (table.bar("domain", "drop", &bars), "films, 0: 0.0233"),
        (
            table.box_plot("domain", "drop", &BoxOptions::default()),
            "films: median 0.0200 of 7 values",
        ),
        (
            table
                .first(27)
                .heatmap_of("domain", "seed", "drop", &HeatmapOptions::default()),
            "films, 0: 0.0233",
        ),
    ];
    let mut all = vec![figure()];
    for (figure, title) in figures {
        let figure = figure.unwrap();
        let svg = figure.to_svg();
        assert!(
            svg.contains(&format!("<title>{title}</title>")),
            "{title}\n{svg}"
        );
        figure.to_pdf().unwrap();
        all.push(figure);
    }
    Figure::subplots(&all, 2).unwrap().to_pdf().unwrap();
}
