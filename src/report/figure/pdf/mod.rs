//! A drawing as a PDF page: vectors, and text as text in an embedded font, for papers.
//!
//! The drawing library's own way to PDF brings a second engine for SVG with it. What its drawings
//! consist of (lines, paths, boxes, circles, text) is little enough to be written down here.

mod content;
mod font;
mod path;
mod write;

use kuva::render::render::Scene;

use crate::Result;
use content::Content;
use font::Fonts;
use write::Document;

/// Points for each unit of the drawing, which is a CSS pixel.
const POINTS: f64 = 0.75;

/// The page of a drawing. Equal drawings give equal bytes.
pub(super) fn document(scene: &Scene) -> Result<Vec<u8>> {
    let mut fonts = Fonts::new()?;
    let content = Content::of(scene, &mut fonts)?;
    let mut document = Document::default();
    let fonts = fonts.write(&mut document)?;
    let body = document.stream("", content.operators.as_bytes())?;
    let states: Vec<String> = content
        .opacities
        .iter()
        .map(|percent| {
            let share = f64::from(*percent) / 100.0;
            format!("/A{percent} << /ca {share} >>")
        })
        .collect();
    let page = format!(
        "<< /Type /Page /Parent {} 0 R /MediaBox [0 0 {} {}] /Contents {body} 0 R \
         /Resources << /Font << {fonts} >> /ExtGState << {} >> >> >>",
        document.next() + 1,
        write::number(scene.width * POINTS),
        write::number(scene.height * POINTS),
        states.join(" "),
    );
    let page = document.object(page.as_bytes());
    Ok(document.finish(page))
}
