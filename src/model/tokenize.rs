//! Texts as token ids.

mod added;
mod byte_pair;
mod class;
mod padded;
mod sentence_piece;
mod settings;
mod word_piece;

use std::path::Path;

use rayon::prelude::*;
use serde_json::Value;
use tokenizers::PostProcessor;
use tokenizers::utils::truncation::{TruncationDirection, TruncationParams, truncate_encodings};

use crate::study::Id;
use crate::{Error, Result, bail, input};

use added::Declared;
use class::{Class, Family};

pub use padded::{Padded, pad};

/// A text, or two that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text<'a> {
    /// One text.
    Single(&'a str),
    /// A pair, told apart by the type ids where the model has them.
    Pair(&'a str, &'a str),
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Single(text)
    }
}

impl<'a> From<(&'a str, &'a str)> for Text<'a> {
    fn from((first, second): (&'a str, &'a str)) -> Self {
        Self::Pair(first, second)
    }
}

/// A text in tokens, special ones included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Which text of a pair a token is of, as the model numbers them; as many as `ids`.
    pub type_ids: Vec<u32>,
}

/// A model's tokenizer. Truncation and padding settings stored with it are ignored.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pad_id: u32,
    max_length: Option<usize>,
    /// The side at which what is too long is cut.
    side: TruncationDirection,
    /// Whether special tokens in a text are cut like other words.
    splits_special: bool,
    /// Whether the model is passed the type ids; all are zero if not.
    types: bool,
}

impl Tokenizer {
    /// Reads the content of a `tokenizer.json`.
    pub fn from_bytes(tokenizer_json: &[u8]) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(tokenizer_json)
            .map_err(|e| Error::new(format!("not a readable tokenizer.json: {e}")))?;
        let stored = inner.get_padding().map(|padding| padding.pad_id);
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| Error::new(e.to_string()))?;
        let mut tokenizer = Self::new(inner);
        tokenizer.pad_id = stored.unwrap_or(tokenizer.pad_id);
        Ok(tokenizer)
    }

    fn new(inner: tokenizers::Tokenizer) -> Self {
        let known = ["[PAD]", "<pad>"];
        let pad_id = known.iter().find_map(|token| inner.token_to_id(token));
        Self {
            inner,
            pad_id: pad_id.unwrap_or(0),
            max_length: None,
            side: TruncationDirection::Right,
            splits_special: false,
            types: true,
        }
    }

    /// Reads a model's folder: `tokenizer.json`, or the vocabulary of its class alone: `vocab.txt`,
    /// `vocab.json` with `merges.txt`, `spm.model` or `sentencepiece.bpe.model`.
    ///
    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` count beside it as
    /// they do in `AutoTokenizer` of transformers 4.57.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let settings = added::settings(folder)?;
        let config = read_json(&folder.join("config.json"))?.unwrap_or_default();
        let class = Class::of(folder, &settings, &config)?;
        let json = folder.join("tokenizer.json");
        let within = |e: Error| e.within(folder.join("tokenizer_config.json").display());
        let (mut tokenizer, class, declared) = if json.is_file() {
            only_one(&settings).map_err(within)?;
            let bytes = input::read(&json)?;
            let mut own = Self::from_bytes(&bytes).map_err(|e| e.within(json.display()))?;
            let declared = Declared::read(folder, &settings, Some(&own.inner))?;
            declared
                .add_to(&mut own.inner, class, false)
                .map_err(|e| e.within(folder.display()))?;
            (own, class, declared)
        } else {
            let class = match class {
                Some(class) => class,
                None => class_of_files(folder)?,
            };
            let declared = Declared::read(folder, &settings, None)?;
            let mut own = from_vocabulary(folder, &settings, class, &declared)?;
            declared
                .add_to(&mut own, Some(class), true)
                .map_err(|e| e.within(folder.display()))?;
            (Self::new(own), Some(class), declared)
        };
        if let Some(class) = class {
            settings::rewrite(&mut tokenizer.inner, &settings, class).map_err(within)?;
            tokenizer.types = settings::passes_types(&settings, class);
        }
        tokenizer.side = settings::truncation_side(&settings).map_err(within)?;
        tokenizer.splits_special =
            settings::flag(&settings, "split_special_tokens", false).map_err(within)?;
        tokenizer
            .inner
            .set_encode_special_tokens(tokenizer.splits_special);
        let padding = declared.special("pad_token", None, false);
        let named = padding.and_then(|token| tokenizer.inner.token_to_id(token.text()));
        let numbered = config["pad_token_id"].as_u64();
        let numbered = numbered.and_then(|id| u32::try_from(id).ok());
        tokenizer.pad_id = named.or(numbered).unwrap_or(tokenizer.pad_id);
        let longest = ["model_max_length", "max_len"].map(|name| &settings[name]);
        let longest = longest.into_iter().find(|length| !length.is_null());
        tokenizer.max_length = longest.and_then(sane_length);
        Ok(tokenizer)
    }

    /// The hash of all that decides its tokens.
    pub fn hash(&self) -> Result<String> {
        let json = self.inner.to_string(false);
        let json = json.map_err(|e| Error::new(e.to_string()))?;
        let mut all = format!("{} {:?} {json}", self.pad_id, self.max_length);
        // What is as usual is left out, so that the hashes of earlier versions stay.
        if self.side == TruncationDirection::Left {
            all.push_str(" left");
        }
        if self.splits_special {
            all.push_str(" splits special tokens");
        }
        if !self.types && self.gives_types()? {
            all.push_str(" without types");
        }
        let id = Id::of_content("tokenizer", all.as_bytes());
        Ok(id.as_str().to_string())
    }

    /// Whether its own rules number the second text of a pair otherwise than the first.
    fn gives_types(&self) -> Result<bool> {
        let with = Self {
            types: true,
            ..self.clone()
        };
        let pair = with.encode_one(("a", "a").into(), usize::MAX)?;
        Ok(pair.type_ids.iter().any(|&kind| kind != 0))
    }

    /// The longest input the tokenizer allows, where its folder says a sensible one.
    pub fn max_length(&self) -> Option<usize> {
        self.max_length
    }

    /// The id that fills up shorter rows; 0 where the model has none.
    pub fn pad_id(&self) -> u32 {
        self.pad_id
    }

    /// The id of a token, if the vocabulary has it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, if the vocabulary has it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The texts in tokens, in their order, none padded.
    ///
    /// What is longer than `max_length` loses tokens at its end, or at its start where the tokenizer's
    /// `truncation_side` is left, of pairs the longer text first;
    /// special tokens stay. A `max_length` too small for these is an error.
    pub fn encode(&self, texts: &[Text<'_>], max_length: usize) -> Result<Vec<Encoding>> {
        texts
            .par_iter()
            .map(|text| self.encode_one(*text, max_length))
            .collect()
    }

    fn encode_one(&self, text: Text<'_>, max_length: usize) -> Result<Encoding> {
        let (first, second) = match text {
            Text::Single(text) => (text, None),
            Text::Pair(first, second) => (first, Some(second)),
        };
        let special = self
            .inner
            .get_post_processor()
            .map_or(0, |processor| processor.added_tokens(second.is_some()));
        if max_length < special.max(1) {
            bail!("max_length {max_length} leaves no room beside {special} special tokens");
        }
        let params = TruncationParams {
            max_length: max_length - special,
            direction: self.side,
            ..TruncationParams::default()
        };
        let encode = || -> tokenizers::Result<tokenizers::Encoding> {
            let first = self.inner.encode_fast(first, false)?;
            let second = second
                .map(|second| self.inner.encode_fast(second, false))
                .transpose()?;
            let (mut first, mut second) = truncate_encodings(first, second, &params)?;
            // What is cut off is kept as further encodings; they would be post-processed, too.
            first.take_overflowing();
            if let Some(second) = &mut second {
                second.take_overflowing();
                second.set_type_ids(vec![1; second.len()]);
            }
            self.inner.post_process(first, second, true)
        };
        let encoding = encode().map_err(|e| Error::new(format!("tokenizing failed: {e}")))?;
        Ok(Encoding {
            ids: encoding.get_ids().to_vec(),
            type_ids: match self.types {
                true => encoding.get_type_ids().to_vec(),
                false => vec![0; encoding.len()],
            },
        })
    }
}

/// A file's JSON; none where there is no such file.
fn read_json(path: &Path) -> Result<Option<Value>> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = input::read(path)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| Error::at_path(path, format!("bad JSON: {e}")))
}

/// A file's text, which is UTF-8 throughout.
fn read_text(path: &Path) -> Result<String> {
    let bytes = input::read(path)?;
    String::from_utf8(bytes).map_err(|_| Error::at_path(path, "not UTF-8"))
}

/// The vocabulary of a class alone, without the tokens that other files add.
fn from_vocabulary(
    folder: &Path,
    settings: &Value,
    class: &Class,
    declared: &Declared,
) -> Result<tokenizers::Tokenizer> {
    let find = |names: &[&str]| -> Result<Vec<std::path::PathBuf>> {
        let paths: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
        match paths.iter().all(|path| path.is_file()) {
            true => Ok(paths),
            false => Err(Error::at_path(
                folder,
                format!(
                    "no tokenizer, expected tokenizer.json or, for {}, {}",
                    class.name,
                    names.join(" with ")
                ),
            )),
        }
    };
    match class.family {
        Family::Bert | Family::Mpnet => {
            let paths = find(&["vocab.txt"])?;
            word_piece::from_vocabulary(&paths[0], settings, class, declared)
        }
        Family::Roberta | Family::Gpt2 => {
            let paths = find(&["vocab.json", "merges.txt"])?;
            byte_pair::from_files(&paths[0], &paths[1], settings, class, declared)
        }
        Family::DebertaV2 => {
            let paths = find(&["spm.model"])?;
            sentence_piece::from_model(&paths[0], settings, class, declared)
        }
        Family::XlmRoberta => {
            let paths = find(&["sentencepiece.bpe.model"])?;
            sentence_piece::from_model(&paths[0], settings, class, declared)
        }
        Family::Plain => Err(Error::at_path(
            folder,
            "no tokenizer, expected tokenizer.json",
        )),
    }
}

/// The class of a folder's vocabulary where neither its settings nor a configuration name one.
fn class_of_files(folder: &Path) -> Result<&'static Class> {
    let is = |name: &str| folder.join(name).is_file();
    if is("vocab.txt") {
        word_piece::class(&folder.join("vocab.txt"))
    } else if is("vocab.json") && is("merges.txt") {
        byte_pair::class(&folder.join("vocab.json"))
    } else if is("spm.model") {
        Ok(Class::of_family(Family::DebertaV2))
    } else if is("sentencepiece.bpe.model") {
        Ok(Class::of_family(Family::XlmRoberta))
    } else {
        Err(Error::at_path(
            folder,
            "no tokenizer, expected tokenizer.json, vocab.txt, vocab.json with merges.txt, spm.model or sentencepiece.bpe.model",
        ))
    }
}

/// Refuses a list of files from which transformers picks one by its version.
fn only_one(settings: &Value) -> Result<()> {
    let files = settings["fast_tokenizer_files"].as_array();
    let other = files
        .into_iter()
        .flatten()
        .find(|file| *file != "tokenizer.json");
    match other {
        Some(other) => bail!("fast_tokenizer_files lists {other}; only tokenizer.json is read"),
        None => Ok(()),
    }
}

/// Tokenizers without a limit say 1e30.
fn sane_length(length: &Value) -> Option<usize> {
    let length = length.as_f64()?;
    (1.0..1e6).contains(&length).then_some(length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundled;

    const CONFORMANCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/conformance");

    fn mini() -> Tokenizer {
        Tokenizer::from_bytes(bundled::mini().tokenizer).unwrap()
    }

    fn numbers(rows: &Value) -> Vec<Vec<u32>> {
        serde_json::from_value(rows.clone()).unwrap()
    }

    #[test]
    fn ids_equal_those_of_transformers() {
        let cases = Path::new(CONFORMANCE).join("tokenize");
        if !cases.is_dir() {
            eprintln!("skipped: no conformance cases here");
            return;
        }
        for kind in [
            "bert",
            "distilbert",
            "electra",
            "gpt2",
            "roberta",
            "xlm-roberta",
        ] {
            let case = read_json(&cases.join(kind).join("case.json"))
                .unwrap()
                .unwrap();
            let model = Path::new(CONFORMANCE).join(case["model"].as_str().unwrap());
            let tokenizer = Tokenizer::from_folder(&model).unwrap();
            let max_length = case["max_length"].as_u64().unwrap() as usize;
            let texts: Vec<String> = serde_json::from_value(case["texts"].clone()).unwrap();
            let singles: Vec<Text> = texts.iter().map(|text| text.as_str().into()).collect();
            let singles = tokenizer.encode(&singles, max_length).unwrap();
            let ids: Vec<Vec<u32>> = singles.into_iter().map(|e| e.ids).collect();
            assert_eq!(ids, numbers(&case["single"]), "{kind}");
            let pairs: Vec<Text> = texts
                .windows(2)
                .map(|pair| (pair[0].as_str(), pair[1].as_str()).into())
                .collect();
            let pairs = tokenizer.encode(&pairs, max_length).unwrap();
            let ids: Vec<Vec<u32>> = pairs.iter().map(|e| e.ids.clone()).collect();
            assert_eq!(ids, numbers(&case["pairs"]), "{kind}");
            let types: Vec<Vec<u32>> = pairs.into_iter().map(|e| e.type_ids).collect();
            assert_eq!(types, numbers(&case["pair_type_ids"]), "{kind}");
        }
    }

    #[test]
    fn mini_reads_english() {
        let encodings = mini()
            .encode(
                &["Hello, world!".into(), ("Hello", "world").into(), "".into()],
                128,
            )
            .unwrap();
        assert_eq!(encodings[0].ids, [101, 7592, 1010, 2088, 999, 102]);
        assert_eq!(encodings[1].ids, [101, 7592, 102, 2088, 102]);
        assert_eq!(encodings[1].type_ids, [0, 0, 0, 1, 1]);
        assert_eq!(encodings[2].ids, [101, 102]);
    }

    #[test]
    fn stored_padding_and_truncation_are_ignored() {
        let mut json: Value = serde_json::from_slice(bundled::mini().tokenizer).unwrap();
        json["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0
        });
        json["padding"] = serde_json::json!({
            "strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 7, "pad_type_id": 0, "pad_token": "[PAD]"
        });
        let tokenizer = Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap();
        let encoding = tokenizer.encode(&["Hello, world!".into()], 128).unwrap();
        assert_eq!(encoding[0].ids.len(), 6);
        assert_eq!(tokenizer.pad_id(), 7);
    }

    #[test]
    fn long_texts_are_cut_and_special_tokens_kept() {
        let long = "good film ".repeat(10_000);
        let tokenizer = mini();
        let start = std::time::Instant::now();
        let encodings = tokenizer
            .encode(&[long.as_str().into(), (long.as_str(), "short").into()], 16)
            .unwrap();
        assert!(start.elapsed().as_secs() < 5);
        assert_eq!((encodings[0].ids.len(), encodings[0].ids[15]), (16, 102));
        assert_eq!(encodings[1].ids[13..], [102, 2460, 102]);
        assert_eq!(
            tokenizer.encode(&["a film".into()], 2).unwrap()[0].ids,
            [101, 102]
        );
        let error = tokenizer.encode(&[("a", "b").into()], 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "max_length 2 leaves no room beside 3 special tokens"
        );
    }

    #[test]
    fn a_vocabulary_alone_makes_a_tokenizer() {
        let mini = mini();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        let vocabulary: Vec<String> = (0..30522).map(|id| mini.token(id).unwrap()).collect();
        write("vocab.txt", &vocabulary.join("\n")).unwrap();
        write("tokenizer_config.json", r#"{"model_max_length": 128}"#).unwrap();
        let own = Tokenizer::from_folder(folder.path()).unwrap();
        let texts = [
            "Hello, [MASK] naïve World!".into(),
            ("日本 café", "a\tb").into(),
        ];
        assert_eq!(
            own.encode(&texts, 32).unwrap(),
            mini.encode(&texts, 32).unwrap()
        );
        assert_eq!((own.max_length(), own.pad_id()), (Some(128), 0));
        write(
            "tokenizer_config.json",
            r#"{"do_lower_case": false, "model_max_length": 1e30}"#,
        )
        .unwrap();
        let cased = Tokenizer::from_folder(folder.path()).unwrap();
        assert_eq!(
            cased.encode(&["Hello".into()], 32).unwrap()[0].ids,
            [101, 100, 102]
        );
        assert_eq!(cased.max_length(), None);
    }

    #[test]
    fn broken_and_missing_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let message = || {
            Tokenizer::from_folder(folder.path())
                .unwrap_err()
                .to_string()
        };
        assert!(message().contains("no tokenizer, expected tokenizer.json, vocab.txt, vocab.json"));
        std::fs::write(folder.path().join("vocab.txt"), "a\nb\n").unwrap();
        assert!(message().ends_with("the vocabulary has no [SEP], which BertTokenizer needs"));
        std::fs::write(folder.path().join("tokenizer.json"), "{").unwrap();
        assert!(message().contains("not a readable tokenizer.json"));
    }
}
