//! Where words that may take another's place come from.

mod table;
mod vectors;

use std::io::read_to_string;
use std::path::PathBuf;
use std::sync::OnceLock;

use flate2::read::GzDecoder;

use super::wordnet::WordNet;
use crate::study::Id;
use crate::text::gunzip;
use crate::{Error, Result};

use table::Table;
use vectors::Vectors;

/// The table of the binary, made by `scripts/bundle.rs`; its source stands in `NOTICE`.
const CARRIED: &[u8] = include_bytes!("../../../stdlib/data/neighbors.txt.gz");

/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Where words that may take another's place are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// The table that the binary carries: counter-fitted neighbours (Mrkšić et al. 2016) of 25,591
    /// words as Jia et al. (2019) published them, at most 8 each, without cosines.
    #[default]
    Carried,
    /// A file of word vectors, as GloVe's: a word a line, then its numbers. Also .gz.
    Vectors(PathBuf),
    /// WordNet's dict folder (`index.noun`, `data.noun`...): synonyms.
    WordNet(PathBuf),
}

/// What is asked for in a [`Source`], read but not yet made sense of.
#[derive(Debug)]
pub(super) struct Found {
    /// The hash of its bytes.
    pub id: Id,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Carried,
    Vectors(String, PathBuf),
    WordNet(WordNet),
}

/// Words that may take another's place, nearest first.
#[derive(Debug)]
pub(super) enum Neighbors {
    Carried(&'static Table),
    Vectors(Vectors),
    WordNet(WordNet),
}

impl Source {
    /// A folder of WordNet's, or a file of word vectors.
    pub fn at(path: PathBuf) -> Self {
        match path.is_dir() {
            true => Self::WordNet(path),
            false => Self::Vectors(path),
        }
    }

    /// Reads it.
    pub(super) fn read(&self) -> Result<Found> {
        let path = match self {
            Self::Carried => {
                return Ok(Found {
                    id: Id::of_content("neighbors", CARRIED),
                    content: Content::Carried,
                });
            }
            Self::WordNet(folder) => {
                let wordnet = WordNet::read(folder)?;
                return Ok(Found {
                    id: wordnet.id.clone(),
                    content: Content::WordNet(wordnet),
                });
            }
            Self::Vectors(path) => path,
        };
        let bytes = crate::input::read(path)?;
        let id = Id::of_content("neighbors", &bytes);
        let plain = match bytes.starts_with(&GZIP) {
            true => gunzip(path, &bytes)?,
            false => bytes,
        };
        let text = String::from_utf8(plain).map_err(|_| {
            Error::at_path(path, "not a text in UTF-8")
                .hint("expected word vectors: a word a line, then its numbers")
        })?;
        Ok(Found {
            id,
            content: Content::Vectors(text, path.clone()),
        })
    }

    /// Whether it tells how near words are.
    pub(super) fn has_cosines(&self) -> bool {
        matches!(self, Self::Vectors(_))
    }

    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Self::Carried => {
                "the carried table of counter-fitted neighbours, at most 8 a word".into()
            }
            Self::Vectors(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                format!("word vectors {}", name.to_string_lossy())
            }
            Self::WordNet(_) => "synonyms in WordNet".into(),
        }
    }
}

impl Found {
    /// Makes sense of it. Errors name the line.
    pub(super) fn parse(self) -> Result<Neighbors> {
        Ok(match self.content {
            Content::Carried => Neighbors::Carried(carried()?),
            Content::WordNet(wordnet) => Neighbors::WordNet(wordnet),
            Content::Vectors(text, path) => {
                let parsed = Vectors::parse(&text).map_err(|e| e.within(path.display()))?;
                Neighbors::Vectors(parsed)
            }
        })
    }
}

impl Neighbors {
    /// At most `most` words that are nearest to `word`, in small letters, nearest first; none of a
    /// word that is not known.
    pub(super) fn of(&self, word: &str, most: usize) -> Vec<String> {
        let mut found = match self {
            Self::Carried(table) => table.of(word),
            Self::Vectors(vectors) => vectors.of(word, most),
            Self::WordNet(wordnet) => wordnet.synonyms(word),
        };
        found.truncate(most);
        found
    }

    /// The cosine of two words' vectors; none where there are none, or none of these words.
    pub(super) fn cosine(&self, a: &str, b: &str) -> Option<f64> {
        match self {
            Self::Carried(_) | Self::WordNet(_) => None,
            Self::Vectors(vectors) => vectors.cosine(a, b),
        }
    }

    /// The WordNet that it is.
    pub(super) fn wordnet(&self) -> Option<&WordNet> {
        match self {
            Self::WordNet(wordnet) => Some(wordnet),
            _ => None,
        }
    }
}

/// The table of the binary, read once.
fn carried() -> Result<&'static Table> {
    static TABLE: OnceLock<Table> = OnceLock::new();
    if let Some(table) = TABLE.get() {
        return Ok(table);
    }
    let text = read_to_string(GzDecoder::new(CARRIED)).map_err(|e| Error::new(e.to_string()))?;
    Ok(TABLE.get_or_init(|| Table::parse(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carried_table_is_whole() {
        let found = Source::Carried.read().unwrap();
        assert_eq!(carried().unwrap().len(), 25_591);
        let neighbors = found.parse().unwrap();
        let near = neighbors.of("film", 50);
        assert_eq!(near.len(), 8);
        assert_eq!(&near[..3], ["movie", "filmmaking", "movies"]);
        assert_eq!(neighbors.of("film", 5).len(), 5);
        assert!(neighbors.of("nosuchword", 50).is_empty());
        assert_eq!(neighbors.cosine("film", "movie"), None);
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.bin");
        std::fs::write(&path, [255, 254, 0]).unwrap();
        let error = Source::Vectors(path.clone())
            .read()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("v.bin: not a text in UTF-8; expected word vectors"),
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(Source::Vectors(path).read().is_err());
    }
}
