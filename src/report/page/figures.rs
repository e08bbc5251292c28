//! The figures of a run's folder.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::inline::inlined;
use crate::Result;
use crate::report::escaped;
use crate::study::files::listed;

/// Larger files are named and not shown, in bytes.
const LARGEST: u64 = 16 << 20;

/// The figures in the run's folder, in order of their names. A drawing of our own stands in the
/// page itself, where its values show below the mouse; what may be anything is a picture.
pub(super) fn of_folder(folder: &Path) -> Result<String> {
    let mut out = String::new();
    let mut seen: Vec<String> = Vec::new();
    // Drawings before pictures of the same name.
    let mut files = listed(folder)?;
    files.sort_by_key(|(name, path)| {
        let stem = name
            .rsplit_once('.')
            .map_or(name.clone(), |(s, _)| s.into());
        (stem, path.extension().is_none_or(|e| e != "svg"))
    });
    for (name, path) in files {
        let kind = match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            _ => continue,
        };
        let stem = name
            .rsplit_once('.')
            .map_or(name.as_str(), |(stem, _)| stem);
        // A figure saved as both is shown once.
        if seen.iter().any(|known| known == stem) {
            continue;
        }
        seen.push(stem.to_string());
        if path.metadata().is_ok_and(|meta| meta.len() > LARGEST) {
            let _ = writeln!(out, "<p class=\"aside\">{}</p>", escaped(&name));
            continue;
        }
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let drawing = std::str::from_utf8(&bytes)
            .ok()
            .filter(|_| kind != "image/png");
        let shown = drawing.and_then(|svg| inlined(svg, stem, seen.len()));
        let shown = shown.unwrap_or_else(|| {
            let width = half_width(&bytes).map_or(String::new(), |n| format!(" width=\"{n}\""));
            let data = STANDARD.encode(&bytes);
            format!(
                "<img alt=\"{}\"{width} src=\"data:{kind};base64,{data}\">",
                escaped(stem)
            )
        });
        let _ = writeln!(
            out,
            "<figure>{shown}<figcaption>{}</figcaption></figure>",
            escaped(&name)
        );
    }
    Ok(match out.is_empty() {
        true => out,
        false => format!("<h2>Figures</h2>\n<div class=\"figures\">\n{out}</div>\n"),
    })
}

/// The width at which a PNG is shown: it has two pixels for each unit of the drawing.
fn half_width(bytes: &[u8]) -> Option<u32> {
    let png = bytes.starts_with(b"\x89PNG");
    let width = bytes.get(16..20).filter(|_| png)?;
    Some(u32::from_be_bytes(width.try_into().ok()?) / 2)
}
