//! Line figures, with bands over repetitions.

use std::str::FromStr;

use kuva::prelude::LinePlot;
use kuva::render::plots::Plot;

use super::{Figure, draw};
use crate::report::table::{Aggregate, Order, Table, Value};
use crate::{Error, Result, bail};

/// What a band around a line shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// The mean's 95 % interval by Student's t.
    Ci95,
    /// One standard deviation either way.
    Sd,
}

impl FromStr for Band {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "ci95" => Ok(Self::Ci95),
            "sd" => Ok(Self::Sd),
            other => bail!("band {other:?}: expected ci95 or sd"),
        }
    }
}

/// How to draw lines.
#[derive(Debug, Clone, Default)]
pub struct LineOptions {
    /// A column whose values get lines of their own.
    pub color: Option<String>,
    /// A column whose values are repetitions: the line is their mean.
    pub over: Option<String>,
    /// A band around the mean.
    pub band: Option<Band>,
    /// The title.
    pub title: Option<String>,
}

impl Table {
    /// One column along another: the mean of the rows at each place, a line for each group. A
    /// group with a single place is a level, drawn across the figure.
    pub fn line(&self, x: &str, y: &str, options: &LineOptions) -> Result<Figure> {
        draw::filled(self, "line")?;
        let mut keys: Vec<&str> = options.color.as_deref().into_iter().collect();
        keys.push(x);
        let spread = match options.band {
            Some(Band::Sd) => Aggregate::Sd,
            Some(Band::Ci95) | None => Aggregate::Ci95,
        };
        let once = self.repetitions(&keys, y, options)?;
        let means = once
            .group(&keys)?
            .agg(&[(y, vec![Aggregate::Mean, spread, Aggregate::N])])?
            .sort(&[(x, Order::Ascending)])?;
        if options.over.is_none() && options.band.is_none() && means.len() < once.len() {
            return Err(Error::new(format!(
                "line: several rows have one {x}{}",
                options
                    .color
                    .as_ref()
                    .map_or(String::new(), |c| format!(" and one {c}"))
            ))
            .hint("say what repeats: #{ over: \"seed\" }"));
        }
        let xs = means.numbers(x)?;
        let middle = means.numbers(&format!("{y}_mean"))?;
        let half: Vec<f64> = means
            .column(&format!("{y}_{}", spread.name()))?
            .iter()
            .map(|cell| Value::number(cell).unwrap_or(0.0))
            .collect();
        let mut lines: Vec<(String, Vec<[f64; 3]>)> =
            draw::groups(&means, options.color.as_deref())?
                .into_iter()
                .map(|(name, rows)| {
                    (
                        name,
                        rows.iter()
                            .map(|r| [xs[*r], middle[*r], half[*r]])
                            .collect(),
                    )
                })
                .collect();
        let card = format!(
            "lines of {y} by {x}: {} lines, {} points",
            lines.len(),
            means.len()
        );
        let least = xs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (_, points) in &mut lines {
            levelled(points, least, most);
        }
        let step = draw::whole_step(&xs);
        let (x, y, options) = (x.to_string(), y.to_string(), options.clone());
        Ok(Figure::single(card, means, move || {
            let mut plots: Vec<Plot> = Vec::new();
            for (i, (name, points)) in lines.iter().enumerate() {
                let mut plot = LinePlot::new()
                    .with_data(points.iter().map(|[x, y, _]| (*x, *y)))
                    .with_color(draw::colour(i))
                    .with_line_style(draw::dash(i))
                    .with_stroke_width(2.0);
                if options.band.is_some() {
                    plot = plot.with_band(
                        points.iter().map(|[_, y, h]| y - h),
                        points.iter().map(|[_, y, h]| y + h),
                    );
                }
                if options.color.is_some() {
                    plot = plot.with_legend(draw::short(name));
                }
                plots.push(plot.into());
            }
            let layout = draw::layout(&plots, &x, &y, options.title.as_deref());
            let layout = match step {
                Some(step) => layout.with_x_tick_step(step),
                None => layout,
            };
            (plots, draw::legend(layout, options.color.as_deref()))
        }))
    }

    /// One row for each place, group and repetition, so that repetitions count alike however many
    /// rows they have.
    fn repetitions(&self, keys: &[&str], y: &str, options: &LineOptions) -> Result<Self> {
        let Some(over) = options.over.as_deref() else {
            return Ok(self.clone());
        };
        let mut all = keys.to_vec();
        all.push(over);
        let mean = format!("{y}_mean");
        let once = self.group(&all)?.agg(&[(y, vec![Aggregate::Mean])])?;
        once.rename(&[(&mean, y)])
    }
}

/// Draws a single point out to a level, as a baseline among curves is drawn.
fn levelled(points: &mut Vec<[f64; 3]>, least: f64, most: f64) {
    if let [[_, y, half]] = points[..]
        && least < most
    {
        *points = vec![[least, y, half], [most, y, half]];
    }
}

#[cfg(test)]
mod tests {
    use super::{draw, levelled};

    #[test]
    fn whole_numbers_get_ticks_at_whole_numbers() {
        let step = |most: u32| draw::whole_step(&(2..=most).map(f64::from).collect::<Vec<_>>());
        assert_eq!(
            [step(13), step(30), step(70)],
            [Some(1.0), Some(2.0), Some(5.0)]
        );
        assert_eq!((step(1000), draw::whole_step(&[0.5, 1.0])), (None, None));
    }

    #[test]
    fn a_single_point_among_curves_is_a_level() {
        let mut one = vec![[1.0, 0.8, 0.1]];
        levelled(&mut one, 0.1, 1.0);
        assert_eq!(one, [[0.1, 0.8, 0.1], [1.0, 0.8, 0.1]]);
        let mut alone = vec![[1.0, 0.8, 0.1]];
        levelled(&mut alone, 1.0, 1.0);
        assert_eq!(alone.len(), 1);
        let mut curve = vec![[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]];
        levelled(&mut curve, 0.0, 2.0);
        assert_eq!(curve[1][0], 1.0);
    }
}
