//! DejaVu Sans in a PDF: the glyphs that are drawn, and what letters they are.
//!
//! The font is the one that the drawing library measures with. It keeps it to itself and gives it
//! out only inside a drawing; it is taken from there rather than carried twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kuva::prelude::SvgBackend;
use kuva::render::render::Scene;
use ttf_parser::{Face, Tag};

use super::write::{Document, number};
use crate::{Error, Result};

/// Regular and bold.
const FACES: usize = 2;

/// The fonts of a page, and what was drawn in each.
pub(super) struct Fonts {
    faces: [Used; FACES],
}

struct Used {
    name: &'static str,
    data: &'static [u8],
    face: Face<'static>,
    /// The glyphs that were drawn, each with its letter; the first stands for what the font lacks.
    glyphs: BTreeMap<u16, char>,
}

fn wrong(what: &str) -> Error {
    Error::new(format!("the figure's font has no {what}"))
}

/// The files of the fonts.
fn files() -> Result<&'static [Vec<u8>]> {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let drawing = SvgBackend::new().with_embedded_font(true);
        let text = drawing.render_scene(&Scene::new(1.0, 1.0));
        let encoded = text.split("base64,").skip(1).take(FACES);
        encoded
            .filter_map(|rest| STANDARD.decode(rest.split('\'').next()?).ok())
            .collect()
    });
    match files.len() {
        FACES => Ok(files),
        _ => Err(wrong("file")),
    }
}

impl Fonts {
    pub(super) fn new() -> Result<Self> {
        let [regular, bold] = files()? else {
            return Err(wrong("file"));
        };
        Ok(Self {
            faces: [
                Used::of("DejaVuSans", regular)?,
                Used::of("DejaVuSans-Bold", bold)?,
            ],
        })
    }

    /// How wide a text is, in parts of its size.
    pub(super) fn width(&self, text: &str, bold: bool) -> f64 {
        let used = &self.faces[usize::from(bold)];
        text.chars()
            .map(|letter| used.advance(used.glyph(letter)))
            .sum::<f64>()
            / 1000.0
    }

    /// The font's name on the page, and the text as its glyphs.
    pub(super) fn set(&mut self, text: &str, bold: bool) -> (&'static str, String) {
        let used = &mut self.faces[usize::from(bold)];
        let mut glyphs = String::new();
        for letter in text.chars() {
            let glyph = used.glyph(letter);
            used.glyphs.insert(glyph, letter);
            let _ = write!(glyphs, "{glyph:04X}");
        }
        (["F0", "F1"][usize::from(bold)], glyphs)
    }

    /// Writes the fonts that were used; gives their entries in the page's resources.
    pub(super) fn write(&self, document: &mut Document) -> Result<String> {
        let mut entries = String::new();
        for (i, used) in self.faces.iter().enumerate() {
            if !used.glyphs.is_empty() {
                let _ = write!(entries, "/F{i} {} 0 R ", used.write(document)?);
            }
        }
        Ok(entries)
    }
}

impl Used {
    fn of(name: &'static str, data: &'static [u8]) -> Result<Self> {
        Ok(Self {
            name,
            data,
            face: Face::parse(data, 0).map_err(|_| wrong("tables"))?,
            glyphs: BTreeMap::new(),
        })
    }

    fn glyph(&self, letter: char) -> u16 {
        self.face.glyph_index(letter).map_or(0, |glyph| glyph.0)
    }

    /// The width of a glyph in thousandths of the size.
    fn advance(&self, glyph: u16) -> f64 {
        let units = self.face.glyph_hor_advance(ttf_parser::GlyphId(glyph));
        self.scaled(units.unwrap_or(0).into())
    }

    fn scaled(&self, units: f64) -> f64 {
        units * 1000.0 / f64::from(self.face.units_per_em())
    }

    fn write(&self, document: &mut Document) -> Result<usize> {
        // Six capitals in front say that the font is not whole.
        let name = format!("TUREEN+{}", self.name);
        let subset = subset(self.data, self.glyphs.keys().copied().collect())?;
        let file = document.stream(&format!("/Length1 {}", subset.len()), &subset)?;
        let bounds = self.face.global_bounding_box();
        let corners = [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max]
            .map(|units| number(self.scaled(units.into()).round()))
            .join(" ");
        let line = |units: i16| number(self.scaled(units.into()).round());
        let (up, down) = (line(self.face.ascender()), line(self.face.descender()));
        let capitals = line(
            self.face
                .capital_height()
                .unwrap_or_else(|| self.face.ascender()),
        );
        let described = document.object(
            format!(
                "<< /Type /FontDescriptor /FontName /{name} /Flags 4 /FontBBox [{corners}] /ItalicAngle 0 \
                 /Ascent {up} /Descent {down} /CapHeight {capitals} /StemV 80 /FontFile2 {file} 0 R >>"
            )
            .as_bytes(),
        );
        let mut widths = String::new();
        for glyph in self.glyphs.keys() {
            let _ = write!(widths, "{glyph} [{}] ", number(self.advance(*glyph)));
        }
        let glyphs = document.object(
            format!(
                "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /{name} /CIDSystemInfo << /Registry (Adobe) \
                 /Ordering (Identity) /Supplement 0 >> /FontDescriptor {described} 0 R /W [{widths}] \
                 /CIDToGIDMap /Identity >>"
            )
            .as_bytes(),
        );
        let letters = document.stream("", self.letters().as_bytes())?;
        Ok(document.object(
            format!(
                "<< /Type /Font /Subtype /Type0 /BaseFont /{name} /Encoding /Identity-H \
                 /DescendantFonts [{glyphs} 0 R] /ToUnicode {letters} 0 R >>"
            )
            .as_bytes(),
        ))
    }

    /// Which letter each glyph is, so that the text can be searched and copied.
    fn letters(&self) -> String {
        /// The most that the format takes in one list.
        const MOST: usize = 100;
        let pairs: Vec<(&u16, &char)> = self.glyphs.iter().collect();
        let mut map = String::from(
            "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n\
             /CMapName /Letters def\n/CMapType 2 def\n\
             1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n",
        );
        for some in pairs.chunks(MOST) {
            let _ = writeln!(map, "{} beginbfchar", some.len());
            for (glyph, letter) in some {
                let units: String = letter
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("{unit:04X}"))
                    .collect();
                let _ = writeln!(map, "<{glyph:04X}> <{units}>");
            }
            map.push_str("endbfchar\n");
        }
        map + "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
    }
}

/// A TrueType file with the outlines of these glyphs alone, under their own numbers.
fn subset(data: &[u8], mut glyphs: BTreeSet<u16>) -> Result<Vec<u8>> {
    let face = ttf_parser::RawFace::parse(data, 0).map_err(|_| wrong("tables"))?;
    let table = |tag: &[u8; 4]| {
        let name = String::from_utf8_lossy(tag).into_owned();
        face.table(Tag::from_bytes(tag)).ok_or_else(|| wrong(&name))
    };
    let (head, loca, glyf) = (table(b"head")?, table(b"loca")?, table(b"glyf")?);
    let (hhea, hmtx, maxp) = (table(b"hhea")?, table(b"hmtx")?, table(b"maxp")?);
    let long = u16_at(head, 50)? == 1;
    let outline = |glyph: u16| {
        let at = |i: usize| match long {
            true => u32_at(loca, 4 * i).map(|offset| offset as usize),
            false => u16_at(loca, 2 * i).map(|offset| 2 * usize::from(offset)),
        };
        let (from, to) = (at(glyph.into())?, at(usize::from(glyph) + 1)?);
        glyf.get(from..to).ok_or_else(|| wrong("outline"))
    };
    // What a font lacks is drawn as its first glyph.
    glyphs.insert(0);
    let mut open: Vec<u16> = glyphs.iter().copied().collect();
    while let Some(glyph) = open.pop() {
        for part in parts(outline(glyph)?)? {
            if glyphs.insert(part) {
                open.push(part);
            }
        }
    }
    let count = glyphs.last().map_or(1, |last| last + 1);
    let (mut outlines, mut places, mut metrics) = (Vec::new(), Vec::new(), Vec::new());
    let measured = u16_at(hhea, 34)?;
    for glyph in 0..count {
        places.extend((outlines.len() as u32).to_be_bytes());
        if glyphs.contains(&glyph) {
            outlines.extend(outline(glyph)?);
            outlines.resize(outlines.len().next_multiple_of(4), 0);
        }
        // Glyphs beyond those measured are as wide as the last of them.
        let row = 4 * usize::from(glyph.min(measured.saturating_sub(1)));
        metrics.extend(hmtx.get(row..row + 2).ok_or_else(|| wrong("width"))?);
        metrics.extend([0, 0]);
    }
    places.extend((outlines.len() as u32).to_be_bytes());
    let put = |table: &[u8], at: usize, value: u16| {
        let mut table = table.to_vec();
        if let Some(place) = table.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        table
    };
    let mut tables: Vec<([u8; 4], Vec<u8>)> = vec![
        (*b"glyf", outlines),
        (*b"head", put(head, 50, 1)),
        (*b"hhea", put(hhea, 34, count)),
        (*b"hmtx", metrics),
        (*b"loca", places),
        (*b"maxp", put(maxp, 4, count)),
    ];
    for tag in [b"cvt ", b"fpgm", b"prep"] {
        if let Some(table) = face.table(Tag::from_bytes(tag)) {
            tables.push((*tag, table.to_vec()));
        }
    }
    tables.sort();
    Ok(assembled(&tables))
}

/// The glyphs that an outline is put together of.
fn parts(outline: &[u8]) -> Result<Vec<u16>> {
    let mut parts = Vec::new();
    // A count of contours below zero says that there are none but parts.
    if outline.is_empty() || u16_at(outline, 0)? < 0x8000 {
        return Ok(parts);
    }
    let mut at = 10;
    loop {
        let flags = u16_at(outline, at)?;
        parts.push(u16_at(outline, at + 2)?);
        let offsets = if flags & 1 == 0 { 2 } else { 4 };
        let turn = match flags {
            f if f & 0x08 != 0 => 2,
            f if f & 0x40 != 0 => 4,
            f if f & 0x80 != 0 => 8,
            _ => 0,
        };
        at += 4 + offsets + turn;
        if flags & 0x20 == 0 {
            return Ok(parts);
        }
    }
}

/// The file that these tables make.
fn assembled(tables: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
    let count = tables.len() as u16;
    let power = count.max(1).ilog2() as u16;
    let range = 16 << power;
    let mut file = 0x0001_0000_u32.to_be_bytes().to_vec();
    for value in [count, range, power, 16 * count - range] {
        file.extend(value.to_be_bytes());
    }
    let mut place = file.len() + 16 * tables.len();
    for (tag, table) in tables {
        file.extend(tag);
        for value in [sum(table), place as u32, table.len() as u32] {
            file.extend(value.to_be_bytes());
        }
        place += table.len().next_multiple_of(4);
    }
    for (_, table) in tables {
        file.extend(table);
        file.resize(file.len().next_multiple_of(4), 0);
    }
    file
}

fn sum(table: &[u8]) -> u32 {
    let words = table.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_be_bytes(word)
    });
    words.fold(0, u32::wrapping_add)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let found = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
    found.map(u16::from_be_bytes).ok_or_else(|| wrong("end"))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let found = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    found.map(u32::from_be_bytes).ok_or_else(|| wrong("end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_keeps_the_outlines_it_is_asked_for() {
        let data: &'static [u8] = &files().unwrap()[0];
        let whole = Face::parse(data, 0).unwrap();
        // One of these is put together of a letter and a mark.
        let letters = ['A', 'é', '0'];
        let glyphs: BTreeSet<u16> = letters
            .iter()
            .map(|l| whole.glyph_index(*l).unwrap().0)
            .collect();
        let bytes = subset(data, glyphs.clone()).unwrap();
        assert!(bytes.len() < data.len() / 10, "{}", bytes.len());
        let less = Face::parse(&bytes, 0).unwrap();
        for glyph in glyphs.iter().map(|g| ttf_parser::GlyphId(*g)) {
            let bounds = |face: &Face<'_>| face.glyph_bounding_box(glyph).unwrap();
            assert_eq!(bounds(&less), bounds(&whole));
            assert_eq!(
                less.glyph_hor_advance(glyph),
                whole.glyph_hor_advance(glyph)
            );
        }
        let other = whole.glyph_index('B').unwrap();
        assert!(less.glyph_bounding_box(other).is_none());
    }
}
