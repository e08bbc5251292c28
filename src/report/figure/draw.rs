//! What all kinds of figures share: size, colours, labels, groups.

use std::sync::Arc;

use kuva::plot::scatter::MarkerShape;
use kuva::prelude::{Layout, LegendPosition, LineStyle, Palette};
use kuva::render::layout::TickFormat;
use kuva::render::plots::Plot;
use kuva::render::render::Scene;

use crate::report::table::{Table, Value};
use crate::{Result, bail};

/// The drawing area of one set of axes.
pub(super) const WIDTH: f64 = 620.0;
pub(super) const HEIGHT: f64 = 420.0;

/// The longest label of a category, in characters.
const LONGEST: usize = 24;

/// The colour of the `i`-th group.
pub(super) fn colour(i: usize) -> String {
    let palette = Palette::okabe_ito();
    // Yellow on white cannot be seen: the palette's other colours go round.
    let colours: Vec<&String> = palette
        .colors()
        .iter()
        .filter(|c| *c != "#F0E442")
        .collect();
    colours[i % colours.len()].clone()
}

/// The marker of the `i`-th group.
pub(super) fn marker(i: usize) -> MarkerShape {
    const MARKERS: [MarkerShape; 4] = [
        MarkerShape::Circle,
        MarkerShape::Square,
        MarkerShape::Triangle,
        MarkerShape::Diamond,
    ];
    MARKERS[i % MARKERS.len()]
}

/// The dash of the `i`-th group.
pub(super) fn dash(i: usize) -> LineStyle {
    match i % 4 {
        0 => LineStyle::Solid,
        1 => LineStyle::Dashed,
        2 => LineStyle::DashDot,
        _ => LineStyle::Dotted,
    }
}

/// Axes around `plots` with these labels and, where there is one, a title.
pub(super) fn layout(plots: &[Plot], x: &str, y: &str, title: Option<&str>) -> Layout {
    let layout = Layout::auto_from_plots(plots)
        .with_width(WIDTH)
        .with_height(HEIGHT)
        .with_tick_format(TickFormat::Custom(Arc::new(tick)))
        .with_x_label(text(x))
        .with_y_label(text(y));
    match title {
        Some(title) => layout.with_title(text(title)).with_title_wrap(64),
        None => layout,
    }
}

/// The distance of ticks at whole numbers along an axis from 0 or below, where all that lies on it is
/// whole; none where the library's own are.
pub(super) fn whole_step(values: &[f64]) -> Option<f64> {
    let most = values.iter().copied().fold(0.0, f64::max);
    let least = values.iter().copied().fold(0.0, f64::min);
    let whole = values.iter().all(|value| value.fract() == 0.0);
    let steps = [1.0, 2.0, 5.0];
    let few = |step: &f64| (most - least) / step <= 15.0;
    steps.into_iter().find(few).filter(|_| whole)
}

/// The number at a tick, none of its digits lost: ticks stand at round numbers.
fn tick(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 || (size < 1e-4 && size > 1e-12) {
        return format!("{:e}", format!("{value:.3e}").parse().unwrap_or(value));
    }
    let text = format!("{value:.6}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".into(),
        text => text.into(),
    }
}

/// A legend to the right, where groups are told apart by a column.
pub(super) fn legend(layout: Layout, column: Option<&str>) -> Layout {
    match column {
        Some(column) => layout
            .with_legend_position(LegendPosition::OutsideRightTop)
            .with_legend_title(text(column)),
        None => layout,
    }
}

/// A label as it is drawn: what the drawing library would take for formulas is quoted.
pub(super) fn text(label: &str) -> String {
    label.replace('$', "\\$")
}

/// A category's label, shortened in the middle where it is long.
pub(super) fn short(label: &str) -> String {
    let letters: Vec<char> = label.chars().collect();
    if letters.len() <= LONGEST {
        return text(label);
    }
    let half = (LONGEST - 1) / 2;
    let head: String = letters[..half].iter().collect();
    let tail: String = letters[letters.len() - half..].iter().collect();
    text(&format!("{head}\u{2026}{tail}"))
}

/// The rows of each group of a column, in the order groups appear; one nameless group without a
/// column.
pub(super) fn groups(table: &Table, column: Option<&str>) -> Result<Vec<(String, Vec<usize>)>> {
    let Some(column) = column else {
        return Ok(vec![(String::new(), (0..table.len()).collect())]);
    };
    let cells = table.column(column)?;
    Ok(table
        .unique(column)?
        .iter()
        .map(|level| {
            let rows = (0..cells.len()).filter(|i| cells[*i] == *level).collect();
            (level.to_string(), rows)
        })
        .collect())
}

/// A column's cells as category names.
pub(super) fn categories(table: &Table, column: &str) -> Result<Vec<String>> {
    Ok(table.column(column)?.iter().map(Value::to_string).collect())
}

/// An error for a table without rows.
pub(super) fn filled(table: &Table, what: &str) -> Result<()> {
    if table.is_empty() {
        bail!("{what}: the table has no rows");
    }
    Ok(())
}

/// The document with its clip paths numbered from 0: kuva counts them over the whole process, so
/// the same figure drawn twice would differ.
pub(super) fn renumber(svg: &str) -> String {
    const MARK: &str = "kuva-clip-";
    let mut parts = svg.split(MARK);
    let mut out = parts.next().unwrap_or_default().to_string();
    let mut seen: Vec<&str> = Vec::new();
    for part in parts {
        let digits = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        let at = seen.iter().position(|s| *s == number).unwrap_or_else(|| {
            seen.push(number);
            seen.len() - 1
        });
        out += &format!("clip-{at}{rest}");
    }
    out
}

/// The document with its size as a view, so that it can be drawn at any other.
pub(super) fn scalable(svg: &str, scene: &Scene) -> String {
    let view = format!("<svg viewBox=\"0 0 {} {}\"", scene.width, scene.height);
    svg.replacen("<svg", &view, 1)
}

/// Text without escape codes, lines without trailing space.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        // An escape code ends with its first letter.
        for c in chars.by_ref() {
            if c.is_ascii_alphabetic() {
                break;
            }
        }
    }
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_string()
}
