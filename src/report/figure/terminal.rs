//! Figures in a terminal: as an image where it takes images, else in characters.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kuva::prelude::Layout;
use kuva::render::plots::Plot;

use super::Figure;
use crate::report::{Colours, Images, Screen};
use crate::{Error, Result};

/// The most columns and rows that a figure takes.
const WIDEST: usize = 100;
const TALLEST: usize = 28;
/// The pixels that a column of characters is taken for, where an image is made to fit.
const PIXELS: usize = 9;

/// Plots without what would cover others: a band fills its cells, whatever runs through them.
pub(super) fn thinned(mut plots: Vec<Plot>) -> Vec<Plot> {
    for plot in &mut plots {
        if let Plot::Line(line) = plot {
            line.band = None;
        }
    }
    plots
}

/// A panel made ready for characters. A cell of the terminal that a line runs through shows the
/// line and nothing else: so no grid, and no data on the axes.
pub(super) fn laid_out(layout: Layout, rows: u32) -> Layout {
    /// Room between the data and the axes, as a share of what the data covers.
    const ROOM: f64 = 0.06;
    let mut layout = layout
        .with_term_rows(rows)
        .with_legend_box(false)
        .with_show_grid(false);
    if layout.x_categories.is_some() || layout.y_categories.is_some() {
        return layout;
    }
    let room = |(low, high): (f64, f64)| {
        let room = (high - low).max(f64::MIN_POSITIVE) * ROOM;
        (low - room, high + room)
    };
    if let Some((low, high)) = layout.data_x_range.map(room) {
        layout = layout.with_x_axis_min(low).with_x_axis_max(high);
    }
    if let Some((low, high)) = layout.data_y_range.map(room) {
        layout = layout.with_y_axis_min(low).with_y_axis_max(high);
    }
    layout
}

impl Figure {
    /// The figure for `screen`.
    pub fn show(&self, screen: &Screen) -> String {
        let columns = screen.width.min(WIDEST);
        let image = screen.images.map(|images| self.image(images, columns));
        // Where no image can be made, characters do.
        if let Some(Ok(image)) = image {
            return image;
        }
        let rows = screen.height.saturating_sub(2).min(TALLEST);
        self.to_terminal(columns, rows, screen.colours)
    }

    fn image(&self, images: Images, columns: usize) -> Result<String> {
        let png = self.to_png()?;
        Ok(match images {
            Images::Kitty => kitty(&png, columns),
            Images::Iterm => iterm(&png, columns),
            Images::Sixel => sixel(&Pixels::read(&png)?.scaled(columns * PIXELS)),
        })
    }
}

/// Kitty's protocol: the file in pieces of at most 4096 characters.
fn kitty(png: &[u8], columns: usize) -> String {
    let encoded = STANDARD.encode(png);
    let pieces: Vec<&str> = encoded
        .as_bytes()
        .chunks(4096)
        .filter_map(|piece| std::str::from_utf8(piece).ok())
        .collect();
    let mut out = String::new();
    for (at, piece) in pieces.iter().enumerate() {
        let more = u8::from(at + 1 < pieces.len());
        let first = if at == 0 {
            format!("a=T,f=100,q=2,c={columns},")
        } else {
            String::new()
        };
        out += &format!("\u{1b}_G{first}m={more};{piece}\u{1b}\\");
    }
    out
}

/// iTerm2's protocol.
fn iterm(png: &[u8], columns: usize) -> String {
    format!(
        "\u{1b}]1337;File=inline=1;size={};width={columns}:{}\u{7}",
        png.len(),
        STANDARD.encode(png)
    )
}

/// An image, three bytes a pixel.
struct Pixels {
    width: usize,
    height: usize,
    bytes: Vec<[u8; 3]>,
}

impl Pixels {
    /// Reads a PNG file of eight bits a channel, on white where it is see-through.
    fn read(file: &[u8]) -> Result<Self> {
        let failed = |error: png::DecodingError| Error::new(format!("the figure: {error}"));
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(failed)?;
        let size = reader.output_buffer_size().unwrap_or(0);
        let mut raw = vec![0; size];
        let info = reader.next_frame(&mut raw).map_err(failed)?;
        let samples = info.color_type.samples();
        let pixel = |pixel: &[u8]| {
            let at = |i: usize| pixel.get(i).copied().unwrap_or(255);
            match samples {
                1 | 2 => [at(0); 3],
                4 => [0, 1, 2].map(|i| {
                    let alpha = u32::from(at(3));
                    ((u32::from(at(i)) * alpha + 255 * (255 - alpha)) / 255) as u8
                }),
                _ => [at(0), at(1), at(2)],
            }
        };
        Ok(Self {
            width: info.width as usize,
            height: info.height as usize,
            bytes: raw.chunks_exact(samples).map(pixel).collect(),
        })
    }

    /// At most `width` pixels wide, each the mean of those it covers.
    fn scaled(self, width: usize) -> Self {
        if self.width <= width || width == 0 {
            return self;
        }
        let height = (self.height * width / self.width).max(1);
        let mut bytes = Vec::with_capacity(width * height);
        for y in 0..height {
            let rows = y * self.height / height..((y + 1) * self.height).div_ceil(height);
            for x in 0..width {
                let columns = x * self.width / width..((x + 1) * self.width).div_ceil(width);
                let mut sum = [0u32; 3];
                for row in rows.clone() {
                    for column in columns.clone() {
                        let pixel = self.bytes[row * self.width + column];
                        for (sum, channel) in sum.iter_mut().zip(pixel) {
                            *sum += u32::from(channel);
                        }
                    }
                }
                let count = (rows.len() * columns.len()) as u32;
                bytes.push(sum.map(|sum| (sum / count) as u8));
            }
        }
        Self {
            width,
            height,
            bytes,
        }
    }
}

/// DEC's sixels: six rows at a time, a run of each colour of a cube of 6 x 6 x 6.
fn sixel(image: &Pixels) -> String {
    const STEPS: usize = 6;
    let level = |channel: u8| (usize::from(channel) * (STEPS - 1) + 127) / 255;
    let colour = |pixel: [u8; 3]| {
        let [r, g, b] = pixel.map(level);
        (r * STEPS + g) * STEPS + b
    };
    let colours: Vec<usize> = image.bytes.iter().map(|pixel| colour(*pixel)).collect();
    let mut out = format!("\u{1b}Pq\"1;1;{};{}", image.width, image.height);
    let mut named = [false; STEPS * STEPS * STEPS];
    for band in colours.chunks(image.width * 6) {
        let mut present: Vec<usize> = band.to_vec();
        present.sort_unstable();
        present.dedup();
        for colour in present {
            out += &format!("#{colour}");
            if !std::mem::replace(&mut named[colour], true) {
                let percent = |level: usize| level * 100 / (STEPS - 1);
                let (r, g, b) = (colour / 36, colour / 6 % 6, colour % 6);
                out += &format!(";2;{};{};{}", percent(r), percent(g), percent(b));
            }
            let column = |x: usize| {
                let rows = band.chunks(image.width).enumerate();
                let bits = rows.map(|(y, row)| u8::from(row.get(x) == Some(&colour)) << y);
                char::from(b'?' + bits.sum::<u8>())
            };
            let mut x = 0;
            while x < image.width {
                let six = column(x);
                let run = (x..image.width).take_while(|x| column(*x) == six).count();
                match run {
                    0..=3 => out.extend(std::iter::repeat_n(six, run)),
                    _ => out += &format!("!{run}{six}"),
                }
                x += run;
            }
            out.push('$');
        }
        out.push('-');
    }
    out + "\u{1b}\\"
}

/// `text`, whose colours are any of 24 bits, in the colours that there are.
pub(super) fn recoloured(text: &str, colours: Colours) -> String {
    const ANY: &str = "\u{1b}[38;2;";
    let mut parts = text.split(ANY);
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let Some((rgb, rest)) = part.split_once('m') else {
            out += part;
            continue;
        };
        let mut channels = rgb.split(';').map(|c| c.parse::<u8>().unwrap_or(0));
        let mut next = || channels.next().unwrap_or(0);
        let rgb = [next(), next(), next()];
        out += &match colours {
            Colours::Any => format!("{ANY}{};{};{}m", rgb[0], rgb[1], rgb[2]),
            Colours::Palette => format!("\u{1b}[38;5;{}m", of_palette(rgb)),
            Colours::Eight | Colours::None => format!("\u{1b}[{}m", of_eight(rgb)),
        };
        out += rest;
    }
    out
}

/// The nearest of the 6 x 6 x 6 cube and the greys of the 256 colours.
fn of_palette(rgb: [u8; 3]) -> u32 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let nearest = |channel: u8| {
        let far = |level: &usize| LEVELS[*level].abs_diff(channel);
        (0..6).min_by_key(far).unwrap_or(0)
    };
    let [r, g, b] = rgb.map(nearest);
    let cube = [LEVELS[r], LEVELS[g], LEVELS[b]];
    let mean = rgb.iter().map(|c| u32::from(*c)).sum::<u32>() / 3;
    let grey = (mean.saturating_sub(3) / 10).min(23);
    let shade = (8 + 10 * grey) as u8;
    if distance(rgb, [shade; 3]) < distance(rgb, cube) {
        232 + grey
    } else {
        (16 + 36 * r + 6 * g + b) as u32
    }
}

/// The nearest of the eight colours: black and white as the terminal's own.
fn of_eight(rgb: [u8; 3]) -> u32 {
    let (low, high) = (rgb.iter().min(), rgb.iter().max());
    let (low, high) = (low.copied().unwrap_or(0), high.copied().unwrap_or(0));
    if high - low < 40 {
        return 39;
    }
    let bit = |channel: u8| u32::from(u32::from(channel) * 2 > u32::from(low) + u32::from(high));
    30 + bit(rgb[0]) + 2 * bit(rgb[1]) + 4 * bit(rgb[2])
}

fn distance(a: [u8; 3], b: [u8; 3]) -> u32 {
    let squares = a
        .iter()
        .zip(b)
        .map(|(a, b)| u32::from(a.abs_diff(b)).pow(2));
    squares.sum()
}

#[cfg(test)]
mod tests {
    use super::super::tests::figure;
    use super::*;

    fn screen(colours: Colours, images: Option<Images>) -> Screen {
        Screen {
            width: 70,
            height: 20,
            colours,
            images,
        }
    }

    #[test]
    fn characters_have_the_colours_there_are() {
        let plain = figure().show(&screen(Colours::None, None));
        assert!(!plain.contains('\u{1b}'));
        let any = figure().show(&screen(Colours::Any, None));
        assert!(any.contains("\u{1b}[38;2;"));
        let palette = figure().show(&screen(Colours::Palette, None));
        assert!(palette.contains("\u{1b}[38;5;") && !palette.contains("38;2;"));
        let eight = figure().show(&screen(Colours::Eight, None));
        assert!(eight.contains("\u{1b}[3") && !eight.contains("\u{1b}[38"));
        let height = |text: &str| text.lines().count();
        assert!(height(&any) <= 20 && height(&plain) <= 20);
    }

    #[test]
    fn the_nearest_colour_is_found() {
        assert_eq!(of_palette([0, 0, 0]), 16);
        assert_eq!(of_palette([255, 255, 255]), 231);
        assert_eq!(of_palette([128, 128, 128]), 244);
        assert_eq!(of_palette([215, 95, 0]), 166);
        assert_eq!(of_eight([200, 20, 20]), 31);
        assert_eq!(of_eight([10, 200, 220]), 36);
        assert_eq!(of_eight([210, 210, 210]), 39);
    }

    #[test]
    fn images_are_whole() {
        let png = figure().to_png().unwrap();
        let kitty = figure().show(&screen(Colours::Any, Some(Images::Kitty)));
        let mut encoded = String::new();
        for piece in kitty.split("\u{1b}_G").skip(1) {
            let (_, data) = piece.split_once(';').unwrap();
            let data = data.strip_suffix("\u{1b}\\").unwrap();
            assert!(data.len() <= 4096);
            encoded += data;
        }
        assert_eq!(STANDARD.decode(encoded).unwrap(), png);
        let iterm = figure().show(&screen(Colours::Any, Some(Images::Iterm)));
        let (_, data) = iterm.split_once(':').unwrap();
        assert_eq!(
            STANDARD.decode(data.trim_end_matches('\u{7}')).unwrap(),
            png
        );
    }

    /// Reads sixels back: every pixel has the colour it was given, and none is left out.
    #[test]
    fn sixels_paint_every_pixel_once() {
        let image = Pixels::read(&figure().to_png().unwrap())
            .unwrap()
            .scaled(200);
        let text = sixel(&image);
        let body = text
            .strip_prefix("\u{1b}Pq")
            .unwrap()
            .strip_suffix("\u{1b}\\")
            .unwrap();
        let body = &body[body.find('#').unwrap()..];
        let mut painted = vec![None; image.width * image.height];
        let (mut colour, mut x, mut y, mut run) = (0usize, 0, 0, 1);
        let mut chars = body.chars().peekable();
        while let Some(c) = chars.next() {
            let mut number = || {
                let mut digits = String::new();
                while let Some(d) = chars.next_if(char::is_ascii_digit) {
                    digits.push(d);
                }
                digits.parse::<usize>().unwrap()
            };
            match c {
                '#' => colour = number(),
                ';' => drop(number()),
                '!' => run = number(),
                '$' => x = 0,
                '-' => (x, y) = (0, y + 6),
                six => {
                    for _ in 0..run {
                        for bit in 0..6 {
                            if (six as u8 - b'?') >> bit & 1 == 1 {
                                let place = &mut painted[(y + bit) * image.width + x];
                                assert_eq!(place.replace(colour), None);
                            }
                        }
                        x += 1;
                    }
                    run = 1;
                }
            }
        }
        let channel = |c: u8| (f64::from(c) / 51.0).round() as usize;
        for (painted, pixel) in painted.iter().zip(&image.bytes) {
            let [r, g, b] = pixel.map(channel);
            assert_eq!(*painted, Some(r * 36 + g * 6 + b));
        }
    }
}
