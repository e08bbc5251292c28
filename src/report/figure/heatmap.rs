//! Heatmaps.

use std::sync::Arc;

use kuva::prelude::{ColorMap, Heatmap};
use kuva::render::plots::Plot;

use super::{Figure, draw};
use crate::report::table::{Aggregate, Table};
use crate::{Error, Result, bail};

/// Above this many cells in a row their values are not written into them.
const ANNOTATED: usize = 12;

/// How to draw a heatmap.
#[derive(Debug, Clone, Default)]
pub struct HeatmapOptions {
    /// The title.
    pub title: Option<String>,
    /// Whether values are written into the cells; by default where there are at most 12 columns.
    pub annotate: Option<bool>,
    /// What the values are, with their unit: follows the title.
    pub label: Option<String>,
}

/// Viridis without its dark end, on which values could not be read.
fn colours() -> ColorMap {
    ColorMap::Custom(Arc::new(|t| ColorMap::Viridis.map(0.4 + 0.6 * t)))
}

/// Room for a label, and the largest drawing.
const CELL: f64 = 15.0;
const LARGEST: f64 = 1800.0;

/// The length of an axis with so many cells, so that each has room for its label.
fn extent(usual: f64, cells: usize) -> f64 {
    (CELL * cells as f64).clamp(usual, LARGEST)
}

/// The labels, but no more than there is room for: every second, third, ... is written.
fn thinned(labels: Vec<String>) -> Vec<String> {
    let every = (CELL * labels.len() as f64 / LARGEST).ceil().max(1.0) as usize;
    let blank = |i: usize, label: String| match i % every {
        0 => label,
        // Categories are told apart by their text.
        _ => " ".repeat(i + 1),
    };
    labels
        .into_iter()
        .enumerate()
        .map(|(i, label)| blank(i, label))
        .collect()
}

impl Table {
    /// A table whose first column names the rows and whose other columns are numbers.
    pub fn heatmap(&self, options: &HeatmapOptions) -> Result<Figure> {
        self.map("", options)
    }

    fn map(&self, x: &str, options: &HeatmapOptions) -> Result<Figure> {
        draw::filled(self, "heatmap")?;
        let names = self.columns();
        let [rows, columns @ ..] = &names[..] else {
            bail!("heatmap: the table has no columns");
        };
        if columns.is_empty() {
            return Err(Error::new("heatmap: the table has one column alone")
                .hint("the first column names the rows, the others hold numbers"));
        }
        let labels = draw::categories(self, rows)?;
        let labels = thinned(labels.iter().map(|l| draw::short(l)).collect());
        let values = columns
            .iter()
            .map(|c| self.numbers(c))
            .collect::<Result<Vec<_>>>()?;
        let cells: Vec<Vec<f64>> = (0..self.len())
            .map(|r| values.iter().map(|column| column[r]).collect())
            .collect();
        let across = thinned(columns.iter().map(|c| draw::short(c)).collect());
        let annotate = options.annotate.unwrap_or(columns.len() <= ANNOTATED);
        let long = across
            .iter()
            .any(|l| l.chars().count() > 60 / columns.len().max(1));
        let card = format!("heatmap of {} by {}", self.len(), columns.len());
        let (x, rows) = (x.to_string(), rows.to_string());
        // The bar of colours has no room for its label.
        let parts = [&options.title, &options.label];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        let title = (!parts.is_empty()).then(|| parts.join(": "));
        Ok(Figure::single(card, self.clone(), move || {
            // The axes count from below, the table from above.
            let below: Vec<String> = labels.iter().rev().cloned().collect();
            let mut map = Heatmap::new()
                .with_data(cells.iter().rev().map(|row| row.iter().copied()))
                .with_labels(below.clone(), across.clone())
                .with_color_map(colours());
            if annotate {
                map = map.with_values();
            }
            let plots: Vec<Plot> = vec![map.into()];
            let layout = draw::layout(&plots, &x, &rows, title.as_deref())
                .with_width(extent(draw::WIDTH, across.len()))
                .with_height(extent(draw::HEIGHT, below.len()))
                .with_x_categories(across.clone())
                .with_y_categories(below);
            let layout = if long {
                layout.with_x_tick_rotate(-45.0)
            } else {
                layout
            };
            (plots, layout)
        }))
    }

    /// A heatmap of one column's values, by two others: the mean of the rows in each cell.
    pub fn heatmap_of(
        &self,
        rows: &str,
        columns: &str,
        values: &str,
        options: &HeatmapOptions,
    ) -> Result<Figure> {
        self.pivot(rows, columns, values, Aggregate::Mean)?
            .map(columns, options)
    }
}
