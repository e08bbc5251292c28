//! The values that show below the mouse in a drawing.

use kuva::prelude::ScatterPlot;
use kuva::render::plots::Plot;

use crate::report::number;

/// The radius around a point of a line, or the middle of a box, in which its values show.
const REACH: [f64; 2] = [6.0, 20.0];

/// The plots with their values as titles, which viewers show below the mouse.
pub(super) fn titled(plots: Vec<Plot>) -> Vec<Plot> {
    let mut unseen = Vec::new();
    let mut titled: Vec<Plot> = plots
        .into_iter()
        .map(|plot| match plot {
            Plot::Scatter(plot) => {
                let name = plot.legend_label.as_deref();
                let labels: Vec<String> = plot.data.iter().map(|p| point(name, p.x, p.y)).collect();
                plot.with_tooltip_labels(labels).with_tooltips().into()
            }
            Plot::Line(plot) => {
                let name = plot.legend_label.as_deref();
                let points: Vec<(f64, f64)> = plot.data.iter().map(|p| (p.x, p.y)).collect();
                let labels = points.iter().map(|(x, y)| point(name, *x, *y)).collect();
                unseen.push(targets(points.clone(), labels, REACH[0]));
                plot.into()
            }
            Plot::Bar(plot) => {
                let series = plot.legend_label.clone().unwrap_or_default();
                let labels: Vec<String> = plot
                    .groups
                    .iter()
                    .flat_map(|group| {
                        group.bars.iter().enumerate().map(|(i, bar)| {
                            let series = series.get(i).map_or(String::new(), |s| format!(", {s}"));
                            format!("{}{series}: {}", group.label, number(bar.value))
                        })
                    })
                    .collect();
                plot.with_tooltip_labels(labels).with_tooltips().into()
            }
            Plot::Heatmap(plot) => {
                let name = |names: &Option<Vec<String>>, i: usize| {
                    let name = names.as_ref().and_then(|names| names.get(i));
                    name.cloned().unwrap_or_default()
                };
                let mut labels = Vec::new();
                for (i, row) in plot.data.iter().enumerate() {
                    let row_name = name(&plot.row_labels, i);
                    for (j, value) in row.iter().enumerate() {
                        let column = name(&plot.col_labels, j);
                        labels.push(format!("{row_name}, {column}: {}", number(*value)));
                    }
                }
                plot.with_tooltip_labels(labels).with_tooltips().into()
            }
            Plot::Box(plot) => {
                let mut points = Vec::new();
                let mut labels = Vec::new();
                for (i, group) in plot.groups.iter().enumerate() {
                    if let Some(middle) = median(&group.values) {
                        points.push((i as f64 + 1.0, middle));
                        labels.push(format!(
                            "{}: median {} of {} values",
                            group.label,
                            number(middle),
                            group.values.len()
                        ));
                    }
                }
                unseen.push(targets(points, labels, REACH[1]));
                plot.into()
            }
            other => other,
        })
        .collect();
    titled.append(&mut unseen);
    titled
}

/// Points that cannot be seen and show their labels.
fn targets(points: Vec<(f64, f64)>, labels: Vec<String>, radius: f64) -> Plot {
    ScatterPlot::new()
        .with_data(points)
        .with_marker_opacity(0.0)
        .with_size(radius)
        .with_tooltip_labels(labels)
        .with_tooltips()
        .into()
}

fn point(name: Option<&str>, x: f64, y: f64) -> String {
    let name = name.map_or(String::new(), |name| format!("{name}: "));
    format!("{name}{}, {}", number(x), number(y))
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[half]),
        _ => Some((sorted[half - 1] + sorted[half]) / 2.0),
    }
}
