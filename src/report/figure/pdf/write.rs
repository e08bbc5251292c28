//! The frame of a PDF file: numbered objects and the table that finds them.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::{Error, Result};

/// Objects by number, from 1.
#[derive(Default)]
pub(super) struct Document {
    objects: Vec<Vec<u8>>,
}

impl Document {
    /// The number that the next object will have.
    pub(super) fn next(&self) -> usize {
        self.objects.len() + 1
    }

    /// Adds an object and gives its number.
    pub(super) fn object(&mut self, body: &[u8]) -> usize {
        self.objects.push(body.to_vec());
        self.objects.len()
    }

    /// Adds compressed bytes, with further `entries` in front of them.
    pub(super) fn stream(&mut self, entries: &str, bytes: &[u8]) -> Result<usize> {
        let failed = |error: std::io::Error| Error::new(error.to_string());
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(bytes).map_err(failed)?;
        let packed = packed.finish().map_err(failed)?;
        let length = packed.len();
        let mut body =
            format!("<< {entries} /Length {length} /Filter /FlateDecode >>\nstream\n").into_bytes();
        body.extend(packed);
        body.extend(b"\nendstream");
        Ok(self.object(&body))
    }

    /// The file whose one page is the object `page`, which names the next object as its parent.
    pub(super) fn finish(mut self, page: usize) -> Vec<u8> {
        let pages =
            self.object(format!("<< /Type /Pages /Kids [{page} 0 R] /Count 1 >>").as_bytes());
        let root = self.object(format!("<< /Type /Catalog /Pages {pages} 0 R >>").as_bytes());
        let about = self.object(b"<< /Producer (tureen) >>");
        // The second line tells programs that the file is binary.
        let mut file = b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n".to_vec();
        let mut places = String::new();
        for (at, body) in self.objects.iter().enumerate() {
            let _ = writeln!(places, "{:010} 00000 n ", file.len());
            file.extend(format!("{} 0 obj\n", at + 1).into_bytes());
            file.extend(body);
            file.extend(b"\nendobj\n");
        }
        let (start, count) = (file.len(), self.objects.len() + 1);
        let end = format!(
            "xref\n0 {count}\n0000000000 65535 f \n{places}trailer\n<< /Size {count} /Root {root} 0 R \
             /Info {about} 0 R >>\nstartxref\n{start}\n%%EOF\n"
        );
        file.extend(end.into_bytes());
        file
    }
}

/// A number as the format takes it: three digits after the point, no more than are needed.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".into(),
        text => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_finds_every_object() {
        let mut document = Document::default();
        let first = document.stream("/A 1", b"content").unwrap();
        assert_eq!((first, document.next()), (1, 2));
        let page = document.object(b"<< /Parent 3 0 R >>");
        let file = document.finish(page);
        let text = String::from_utf8_lossy(&file);
        let table = text.rsplit("startxref\n").next().unwrap();
        let start: usize = table.lines().next().unwrap().parse().unwrap();
        let places = String::from_utf8(file[start..].to_vec()).unwrap();
        let lines: Vec<&str> = places.lines().skip(3).take(5).collect();
        for (at, line) in lines.iter().enumerate() {
            let place: usize = line[..10].parse().unwrap();
            let head = format!("{} 0 obj\n", at + 1);
            assert!(file[place..].starts_with(head.as_bytes()), "{line}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.1 + 0.2, -0.0001, 12.0, 1e6].map(number);
        assert_eq!(shown, ["0.3", "0", "12", "1000000"]);
    }
}
