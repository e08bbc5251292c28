//! Scatter, bar and box figures.

use kuva::prelude::{BarPlot, BoxPlot, LinePlot, ScatterPlot};
use kuva::render::plots::Plot;

use super::{Figure, draw};
use crate::report::table::{Aggregate, Table};
use crate::{Result, stats};

/// How to draw a scatter figure.
#[derive(Debug, Clone, Default)]
pub struct ScatterOptions {
    /// A column whose values get colours and markers of their own.
    pub color: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// A least-squares line through all points.
    pub trend: bool,
}

/// How to draw bars.
#[derive(Debug, Clone, Default)]
pub struct BarOptions {
    /// A column whose values stand side by side at each category.
    pub color: Option<String>,
    /// The title.
    pub title: Option<String>,
}

/// How to draw boxes.
#[derive(Debug, Clone, Default)]
pub struct BoxOptions {
    /// The title.
    pub title: Option<String>,
}

impl Table {
    /// Two columns against each other, a point a row.
    pub fn scatter(&self, x: &str, y: &str, options: &ScatterOptions) -> Result<Figure> {
        draw::filled(self, "scatter")?;
        let (xs, ys) = (self.numbers(x)?, self.numbers(y)?);
        let series: Vec<(String, Vec<(f64, f64)>)> = draw::groups(self, options.color.as_deref())?
            .into_iter()
            .map(|(name, rows)| (name, rows.iter().map(|r| (xs[*r], ys[*r])).collect()))
            .collect();
        let trend = match options.trend {
            true => Some(stats::linregress(&xs, &ys)?),
            false => None,
        };
        let (lo, hi) = xs
            .iter()
            .fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        let mut columns = vec![x, y];
        columns.extend(options.color.as_deref().filter(|c| *c != x && *c != y));
        columns.dedup();
        let card = format!("scatter of {y} by {x}: {} points", self.len());
        let (x, y, options) = (x.to_string(), y.to_string(), options.clone());
        Ok(Figure::single(card, self.select(&columns)?, move || {
            let mut plots: Vec<Plot> = Vec::new();
            if let Some(line) = &trend {
                let at = |x: f64| (x, line.intercept + line.slope * x);
                let line = LinePlot::new().with_data([at(lo), at(hi)]);
                plots.push(line.with_color("#777777").with_dashed().into());
            }
            for (i, (name, points)) in series.iter().enumerate() {
                let mut plot = ScatterPlot::new()
                    .with_data(points.iter().copied())
                    .with_color(draw::colour(i))
                    .with_marker(draw::marker(i))
                    .with_marker_opacity(0.8)
                    .with_size(4.0);
                if options.color.is_some() {
                    plot = plot.with_legend(draw::short(name));
                }
                plots.push(plot.into());
            }
            let layout = draw::layout(&plots, &x, &y, options.title.as_deref());
            (plots, draw::legend(layout, options.color.as_deref()))
        }))
    }

    /// The mean of a column for each category of another.
    pub fn bar(&self, category: &str, value: &str, options: &BarOptions) -> Result<Figure> {
        draw::filled(self, "bar")?;
        let mut keys = vec![category];
        keys.extend(options.color.as_deref());
        let means = self.group(&keys)?.agg(&[(value, vec![Aggregate::Mean])])?;
        let height = means.numbers(&format!("{value}_mean"))?;
        let levels = draw::groups(&means, options.color.as_deref())?;
        let bars: Vec<(String, Vec<f64>)> = draw::groups(&means, Some(category))?
            .into_iter()
            .map(|(name, rows)| {
                let of_level = |members: &Vec<usize>| {
                    rows.iter()
                        .find(|r| members.contains(r))
                        .map_or(0.0, |r| height[*r])
                };
                (
                    name,
                    levels
                        .iter()
                        .map(|(_, members)| of_level(members))
                        .collect(),
                )
            })
            .collect();
        let card = format!("bars of {value} by {category}: {} bars", means.len());
        let (x, y) = (category.to_string(), format!("mean of {value}"));
        let options = options.clone();
        Ok(Figure::single(card, means, move || {
            let mut plot = BarPlot::new();
            for (name, heights) in &bars {
                let coloured = heights
                    .iter()
                    .enumerate()
                    .map(|(i, h)| (*h, draw::colour(i)));
                plot = plot.with_group(draw::short(name), coloured);
            }
            if options.color.is_some() {
                plot = plot.with_legend(levels.iter().map(|(name, _)| name.as_str()).collect());
            }
            let plots: Vec<Plot> = vec![plot.into()];
            let layout = draw::layout(&plots, &x, &y, options.title.as_deref());
            (plots, draw::legend(layout, options.color.as_deref()))
        }))
    }

    /// The spread of a column for each category of another: quartiles, and whiskers to the
    /// farthest values within 1.5 times their distance.
    pub fn box_plot(&self, category: &str, value: &str, options: &BoxOptions) -> Result<Figure> {
        draw::filled(self, "box")?;
        let values = self.numbers(value)?;
        let groups: Vec<(String, Vec<f64>)> = draw::groups(self, Some(category))?
            .into_iter()
            .map(|(name, rows)| (name, rows.iter().map(|r| values[*r]).collect()))
            .collect();
        let card = format!("boxes of {value} by {category}: {} boxes", groups.len());
        let data = self.select(&[category, value])?;
        let (x, y, options) = (category.to_string(), value.to_string(), options.clone());
        Ok(Figure::single(card, data, move || {
            let mut plot = BoxPlot::new().with_color(draw::colour(1));
            for (name, values) in &groups {
                plot = plot.with_group(draw::short(name), values.iter().copied());
            }
            let plots: Vec<Plot> = vec![plot.into()];
            let layout = draw::layout(&plots, &x, &y, options.title.as_deref());
            (plots, layout)
        }))
    }
}
