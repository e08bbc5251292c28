//! The operators that draw a page.

use std::collections::BTreeSet;
use std::fmt::Write;

use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::font::Fonts;
use super::write::number;
use super::{POINTS, path};
use crate::{Error, Result, bail};

/// How far the handles of a quarter of a circle reach, of its radius.
const HANDLE: f64 = 0.552_284_75;

/// What draws the page.
#[derive(Default)]
pub(super) struct Content {
    pub(super) operators: String,
    /// The opacities that were used, in percent.
    pub(super) opacities: BTreeSet<u8>,
}

/// How something is painted.
struct Paint<'a> {
    fill: &'a Color,
    opacity: Option<f64>,
    stroke: &'a Color,
    width: f64,
    dash: Option<&'a str>,
}

static NONE: Color = Color::None;

impl Default for Paint<'_> {
    fn default() -> Self {
        Self {
            fill: &NONE,
            opacity: None,
            stroke: &NONE,
            width: 1.0,
            dash: None,
        }
    }
}

impl Content {
    pub(super) fn of(scene: &Scene, fonts: &mut Fonts) -> Result<Self> {
        let mut content = Self::default();
        // Drawings count from above, pages from below.
        content.add(&format!(
            "{} 0 0 {} 0 {} cm",
            number(POINTS),
            number(-POINTS),
            number(scene.height * POINTS)
        ));
        if let Some(colour) = &scene.background_color {
            let fill = Color::from(colour);
            let paint = Paint {
                fill: &fill,
                ..Paint::default()
            };
            content.shape(&rectangle(0.0, 0.0, scene.width, scene.height), &paint)?;
        }
        let text = Color::from(scene.text_color.as_deref().unwrap_or("black"));
        for element in &scene.elements {
            content.element(element, &text, fonts)?;
        }
        Ok(content)
    }

    fn add(&mut self, operator: &str) {
        self.operators.push_str(operator);
        self.operators.push('\n');
    }

    fn element(&mut self, element: &Primitive, ink: &Color, fonts: &mut Fonts) -> Result<()> {
        match element {
            Primitive::Circle {
                cx,
                cy,
                r,
                fill,
                fill_opacity,
                stroke,
                stroke_width,
            } => self.circle(
                (*cx, *cy),
                *r,
                &painted(fill, *fill_opacity, stroke, *stroke_width),
            ),
            Primitive::CircleBatch {
                cx,
                cy,
                r,
                fill,
                fill_opacity,
                stroke,
                stroke_width,
            } => {
                let paint = painted(fill, *fill_opacity, stroke, *stroke_width);
                let mut centres = cx.iter().zip(cy);
                centres.try_for_each(|(x, y)| self.circle((*x, *y), *r, &paint))
            }
            Primitive::Rect {
                x,
                y,
                width,
                height,
                fill,
                stroke,
                stroke_width,
                opacity,
            } => {
                let paint = painted(fill, *opacity, stroke, *stroke_width);
                self.shape(&rectangle(*x, *y, *width, *height), &paint)
            }
            Primitive::RectBatch { x, y, w, h, fills } => {
                for (i, fill) in fills.iter().enumerate() {
                    let paint = Paint {
                        fill,
                        ..Paint::default()
                    };
                    self.shape(&rectangle(x[i], y[i], w[i], h[i]), &paint)?;
                }
                Ok(())
            }
            Primitive::Line {
                x1,
                y1,
                x2,
                y2,
                stroke,
                stroke_width,
                stroke_dasharray,
            } => {
                let line = polyline(&[(*x1, *y1), (*x2, *y2)]);
                self.shape(&line, &stroked(stroke, *stroke_width, stroke_dasharray))
            }
            Primitive::PolyLine {
                points,
                stroke,
                stroke_width,
                stroke_dasharray,
            } => {
                let paint = stroked(stroke, *stroke_width, stroke_dasharray);
                self.shape(&polyline(points), &paint)
            }
            Primitive::Path(data) => {
                let paint = Paint {
                    fill: data.fill.as_ref().unwrap_or(&NONE),
                    opacity: data.opacity,
                    ..stroked(&data.stroke, data.stroke_width, &data.stroke_dasharray)
                };
                self.shape(&path::operators(&data.d)?, &paint)
            }
            Primitive::Text {
                x,
                y,
                content,
                size,
                anchor,
                rotate,
                bold,
                color,
            } => {
                let colour = color.as_ref().unwrap_or(ink);
                let place = (*x, *y, rotate.unwrap_or(0.0));
                self.text(&[(content, *bold)], place, (*size, *anchor), colour, fonts)
            }
            Primitive::RichText {
                x,
                y,
                spans,
                size,
                anchor,
                color,
            } => {
                let colour = color.as_ref().unwrap_or(ink);
                let runs: Vec<(&str, bool)> =
                    spans.iter().map(|span| (&*span.text, span.bold)).collect();
                self.text(&runs, (*x, *y, 0.0), (*size, *anchor), colour, fonts)
            }
            Primitive::GroupStart { transform, .. } => {
                self.add("q");
                if let Some(transform) = transform {
                    let matrix = matrix(transform)?;
                    self.add(&matrix);
                }
                Ok(())
            }
            Primitive::ClipStart {
                x,
                y,
                width,
                height,
                ..
            } => {
                self.add("q");
                let shape = rectangle(*x, *y, *width, *height);
                self.operators.push_str(&shape);
                self.add("W n");
                Ok(())
            }
            Primitive::GroupEnd | Primitive::ClipEnd => {
                self.add("Q");
                Ok(())
            }
        }
    }

    fn circle(&mut self, (x, y): (f64, f64), r: f64, paint: &Paint<'_>) -> Result<()> {
        let k = r * HANDLE;
        let at = |dx: f64, dy: f64| format!("{} {}", number(x + dx), number(y + dy));
        let mut shape = format!("{} m\n", at(r, 0.0));
        for (a, b, end) in [
            ((r, k), (k, r), (0.0, r)),
            ((-k, r), (-r, k), (-r, 0.0)),
            ((-r, -k), (-k, -r), (0.0, -r)),
            ((k, -r), (r, -k), (r, 0.0)),
        ] {
            let _ = writeln!(
                shape,
                "{} {} {} c",
                at(a.0, a.1),
                at(b.0, b.1),
                at(end.0, end.1)
            );
        }
        self.shape(&(shape + "h\n"), paint)
    }

    /// Fills and strokes a path.
    fn shape(&mut self, shape: &str, paint: &Paint<'_>) -> Result<()> {
        let (fill, stroke) = (rgb(paint.fill)?, rgb(paint.stroke)?);
        let operator = match (&fill, &stroke) {
            (Some(_), Some(_)) => "B",
            (Some(_), None) => "f",
            (None, Some(_)) => "S",
            (None, None) => return Ok(()),
        };
        self.add("q");
        if let Some(fill) = fill {
            self.add(&format!("{fill} rg"));
            if let Some(opacity) = paint.opacity {
                let percent = (opacity.clamp(0.0, 1.0) * 100.0).round() as u8;
                self.opacities.insert(percent);
                self.add(&format!("/A{percent} gs"));
            }
        }
        if let Some(stroke) = stroke {
            self.add(&format!("{stroke} RG {} w", number(paint.width)));
            if let Some(dash) = paint.dash {
                let lengths = dash.replace(',', " ");
                self.add(&format!("[{lengths}] 0 d"));
            }
        }
        self.operators.push_str(shape);
        self.add(operator);
        self.add("Q");
        Ok(())
    }

    fn text(
        &mut self,
        runs: &[(&str, bool)],
        (x, y, degrees): (f64, f64, f64),
        (size, anchor): (u32, TextAnchor),
        colour: &Color,
        fonts: &mut Fonts,
    ) -> Result<()> {
        let size = f64::from(size);
        // A quoted dollar sign, which is no formula's.
        let runs: Vec<(String, bool)> = runs
            .iter()
            .map(|(text, bold)| (text.replace("\\$", "$"), *bold))
            .collect();
        let width: f64 = runs
            .iter()
            .map(|(text, bold)| fonts.width(text, *bold) * size)
            .sum();
        let before = match anchor {
            TextAnchor::Start => 0.0,
            TextAnchor::Middle => width / 2.0,
            TextAnchor::End => width,
        };
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (x, y) = (x - before * cos, y - before * sin);
        let Some(colour) = rgb(colour)? else {
            return Ok(());
        };
        self.add(&format!("BT {colour} rg"));
        // Letters stand upright on a page that counts from above.
        let turn = [cos, sin, sin, -cos, x, y].map(number).join(" ");
        self.add(&format!("{turn} Tm"));
        for (text, bold) in &runs {
            let (name, glyphs) = fonts.set(text, *bold);
            self.add(&format!("/{name} {} Tf <{glyphs}> Tj", number(size)));
        }
        self.add("ET");
        Ok(())
    }
}

fn painted<'a>(
    fill: &'a Color,
    opacity: Option<f64>,
    stroke: &'a Option<Color>,
    width: Option<f64>,
) -> Paint<'a> {
    Paint {
        fill,
        opacity,
        stroke: stroke.as_ref().unwrap_or(&NONE),
        width: width.unwrap_or(1.0),
        dash: None,
    }
}

fn stroked<'a>(stroke: &'a Color, width: f64, dash: &'a Option<String>) -> Paint<'a> {
    Paint {
        stroke,
        width,
        dash: dash.as_deref(),
        ..Paint::default()
    }
}

fn rectangle(x: f64, y: f64, width: f64, height: f64) -> String {
    format!("{} re\n", [x, y, width, height].map(number).join(" "))
}

fn polyline(points: &[(f64, f64)]) -> String {
    let mut shape = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let operator = if i == 0 { 'm' } else { 'l' };
        let _ = writeln!(shape, "{} {} {operator}", number(*x), number(*y));
    }
    shape
}

/// Shares of red, green and blue; none where nothing is painted.
fn rgb(colour: &Color) -> Result<Option<String>> {
    match colour {
        Color::Rgb(r, g, b) => {
            let shares = [r, g, b].map(|part| number(f64::from(*part) / 255.0));
            Ok(Some(shares.join(" ")))
        }
        Color::None => Ok(None),
        Color::Css(other) => bail!("the colour {other} has no PDF"),
    }
}

/// `translate(x,y)`, `scale(x,y)` or `rotate(degrees,x,y)` as an operator.
fn matrix(transform: &str) -> Result<String> {
    let wrong = || Error::new(format!("the transform {transform} has no PDF"));
    let (name, rest) = transform.trim().split_once('(').ok_or_else(wrong)?;
    let numbers: Vec<f64> = rest
        .trim_end_matches(')')
        .split([',', ' '])
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_err(|_| wrong()))
        .collect::<Result<_>>()?;
    let matrix = match (name, &numbers[..]) {
        ("translate", [x]) => [1.0, 0.0, 0.0, 1.0, *x, 0.0],
        ("translate", [x, y]) => [1.0, 0.0, 0.0, 1.0, *x, *y],
        ("scale", [x]) => [*x, 0.0, 0.0, *x, 0.0, 0.0],
        ("scale", [x, y]) => [*x, 0.0, 0.0, *y, 0.0, 0.0],
        ("rotate", [degrees, centre @ ..]) if matches!(centre.len(), 0 | 2) => {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let (x, y) = (
                centre.first().unwrap_or(&0.0),
                centre.last().unwrap_or(&0.0),
            );
            [
                cos,
                sin,
                -sin,
                cos,
                x - x * cos + y * sin,
                y - x * sin - y * cos,
            ]
        }
        _ => return Err(wrong()),
    };
    Ok(format!("{} cm", matrix.map(number).join(" ")))
}

#[cfg(test)]
mod tests {
    use super::matrix;

    #[test]
    fn transforms_become_matrices() {
        assert_eq!(matrix("translate(3,4)").unwrap(), "1 0 0 1 3 4 cm");
        // Around a point: it stays where it is.
        assert_eq!(matrix("rotate(90, 2, 1)").unwrap(), "0 1 -1 0 3 -1 cm");
        assert!(matrix("skewX(3)").is_err() && matrix("rotate(a)").is_err());
    }
}
