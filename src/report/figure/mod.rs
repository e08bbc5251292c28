//! Figures of tables: scatter, line, bar, box, heatmap, and several side by side.
//!
//! Drawn by kuva; colours are Okabe and Ito's and viridis, safe for the colour-blind, and groups
//! differ in shape or dash too. Equal tables give equal bytes.

mod draw;
mod heatmap;
mod hover;
mod line;
mod pdf;
mod points;
mod terminal;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kuva::prelude::{Figure as Panels, Layout, PngBackend, SvgBackend, TerminalBackend};
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, render_multiple};

use super::Colours;
use super::table::{Format, Table, Value};
use crate::study::files::write_atomic;
use crate::{Error, Result, bail};

pub use heatmap::HeatmapOptions;
pub use line::{Band, LineOptions};
pub use points::{BarOptions, BoxOptions, ScatterOptions};

/// Pixels of a PNG for each unit of the drawing.
const SCALE: f32 = 2.0;

/// A figure. Immutable and cheap to clone.
#[derive(Clone)]
pub struct Figure(Arc<Drawing>);

struct Drawing {
    card: String,
    panels: Vec<Panel>,
    columns: usize,
    data: Table,
}

/// One set of axes, made anew for each drawing since kuva's plots cannot be copied.
type Panel = Arc<dyn Fn() -> (Vec<Plot>, Layout) + Send + Sync>;

impl Figure {
    fn single(
        card: String,
        data: Table,
        panel: impl Fn() -> (Vec<Plot>, Layout) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Drawing {
            card,
            panels: vec![Arc::new(panel)],
            columns: 1,
            data,
        }))
    }

    /// Figures side by side, row after row, at most `columns` in a row.
    pub fn subplots(figures: &[Self], columns: usize) -> Result<Self> {
        if figures.is_empty() || columns == 0 {
            bail!("subplots: no figures or no columns");
        }
        let panels: Vec<Panel> = figures.iter().flat_map(|f| f.0.panels.clone()).collect();
        let tables = figures.iter().enumerate().map(|(i, f)| {
            let panel = vec![(i as i64 + 1).into(); f.0.data.len()];
            f.0.data.with_column("panel", panel)
        });
        let tables = tables.collect::<Result<Vec<Table>>>()?;
        let data = Table::concat(&with_all_columns(tables)?)?;
        Ok(Self(Arc::new(Drawing {
            card: format!("subplots of {}", panels.len()),
            panels,
            columns,
            data,
        })))
    }

    /// The rows it was drawn from.
    pub fn data(&self) -> &Table {
        &self.0.data
    }

    /// The figure as an SVG document, with the values of its points as titles.
    pub fn to_svg(&self) -> String {
        let scene = self.scene_of(hover::titled, |layout| layout);
        draw::scalable(
            &draw::renumber(&SvgBackend::new().render_scene(&scene)),
            &scene,
        )
    }

    /// The figure as a PNG file.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        PngBackend::new()
            .with_scale(SCALE)
            .render_scene(&self.scene(|layout| layout))
            .map_err(|e| Error::new(format!("the figure could not be drawn: {e}")))
    }

    /// The figure as a page of a PDF file, its text in an embedded font.
    pub fn to_pdf(&self) -> Result<Vec<u8>> {
        pdf::document(&self.scene(|layout| layout))
    }

    /// The figure in characters; without colours it has no escape codes.
    pub fn to_terminal(&self, columns: usize, rows: usize, colours: Colours) -> String {
        let rows = rows.clamp(8, 200);
        let scene = self.scene_of(terminal::thinned, |layout| {
            terminal::laid_out(layout, rows as u32)
        });
        let text = TerminalBackend::new(columns.clamp(20, 500), rows).render_scene(&scene);
        match colours {
            Colours::None => draw::plain(&text),
            colours => terminal::recoloured(&text, colours),
        }
    }

    /// The file with the rows that a figure saved at `path` was drawn from: `fig.svg.csv`.
    pub fn rows_of(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_os_string();
        name.push(".csv");
        name.into()
    }

    /// Saves the figure as .svg, .pdf or .png, and the rows it was drawn from beside it.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => self.to_svg().into_bytes(),
            Some("pdf") => self.to_pdf()?,
            Some("png") => self.to_png()?,
            _ => bail!(
                "{}: a figure is saved as .svg, .pdf or .png",
                path.display()
            ),
        };
        write_atomic(
            &Self::rows_of(path),
            self.0.data.encode(Format::Csv)?.as_bytes(),
        )?;
        write_atomic(path, &bytes)
    }

    fn scene(&self, adapt: impl Fn(Layout) -> Layout) -> Scene {
        self.scene_of(|plots| plots, adapt)
    }

    /// The drawing, its plots and its layouts made ready.
    fn scene_of(
        &self,
        ready: impl Fn(Vec<Plot>) -> Vec<Plot>,
        adapt: impl Fn(Layout) -> Layout,
    ) -> Scene {
        let Drawing {
            panels, columns, ..
        } = self.0.as_ref();
        if let [only] = &panels[..] {
            let (plots, layout) = only();
            return render_multiple(ready(plots), adapt(layout));
        }
        let columns = (*columns).min(panels.len());
        let (plots, layouts) = panels
            .iter()
            .map(|panel| panel())
            .map(|(plots, layout)| (ready(plots), adapt(layout)))
            .unzip();
        Panels::new(panels.len().div_ceil(columns), columns)
            .with_plots(plots)
            .with_layouts(layouts)
            .with_cell_size(draw::WIDTH, draw::HEIGHT)
            .with_labels()
            .render()
    }
}

/// The tables, each with the columns of all; what one does not have is empty in it.
fn with_all_columns(tables: Vec<Table>) -> Result<Vec<Table>> {
    let mut names: Vec<String> = Vec::new();
    for name in tables.iter().flat_map(Table::columns) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_string());
        }
    }
    let filled = |mut table: Table| {
        for name in &names {
            if !table.has(name) {
                table = table.with_column(name, vec![Value::Null; table.len()])?;
            }
        }
        Ok(table)
    };
    tables.into_iter().map(filled).collect()
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Figure {}", self.0.card)
    }
}

impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
