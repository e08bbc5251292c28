//! The tokenizers of DeBERTa-v3 and XLM-RoBERTa from a SentencePiece model (Kudo and Richardson
//! 2018) alone, where there is no tokenizer.json: its pieces and rules, put together as transformers
//! does.

use std::path::Path;

use serde_json::Value;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{
    Lowercase, NormalizerWrapper, Precompiled, Replace, Sequence, Strip,
};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use crate::{Error, Result, bail};

use super::added::Declared;
use super::class::{Class, Family};
use super::settings::flag;

/// What stands for a space within pieces.
const SPACE: char = '\u{2581}';

/// The tokenizer of a SentencePiece model: of `spm.model` with the `do_lower_case` and
/// `split_by_punct` (both false if not said) of its settings, or of XLM-RoBERTa's
/// `sentencepiece.bpe.model`.
pub(super) fn from_model(
    path: &Path,
    settings: &Value,
    class: &Class,
    declared: &Declared,
) -> Result<Tokenizer> {
    let bytes = crate::input::read(path)?;
    from_bytes(&bytes, settings, class, declared).map_err(|e| e.within(path.display()))
}

/// The same of the file's content.
fn from_bytes(
    bytes: &[u8],
    settings: &Value,
    class: &Class,
    declared: &Declared,
) -> Result<Tokenizer> {
    let failed = |e: tokenizers::Error| Error::new(e.to_string());
    let model = Model::read(bytes)?;
    let xlm = class.family == Family::XlmRoberta;
    let whose = if xlm { "XLM-RoBERTa's" } else { "DeBERTa-v3's" };
    if model.kind != UNIGRAM {
        bail!("not a unigram model, as {whose} is");
    }
    let own = model
        .pieces
        .iter()
        .filter(|p| p.kind == CONTROL || p.kind == USER);
    let own: Vec<AddedToken> = own
        .map(|p| AddedToken::from(p.text.as_str(), p.kind == CONTROL).normalized(false))
        .collect();
    let pieces = match xlm {
        true => model.numbered_by_fairseq(),
        false => model
            .pieces
            .iter()
            .map(|p| (p.text.clone(), p.score))
            .collect(),
    };
    let unknown = if xlm { 3 } else { model.unknown };
    let numbers = pieces.iter().map(|(piece, _)| piece.clone()).zip(0..);
    let numbers: Vocab = numbers.collect();
    let unigram = Unigram::from(pieces, Some(unknown), false).map_err(failed)?;
    let mut tokenizer = Tokenizer::new(unigram);
    tokenizer.add_tokens(own).map_err(failed)?;
    let rules = match xlm {
        true => xlm_rules(&model)?,
        false => deberta_rules(&model, settings)?,
    };
    tokenizer
        .with_normalizer(Some(Sequence::new(rules)))
        .map_err(failed)?;
    let words = Metaspace::new(SPACE, PrependScheme::Always, true);
    if xlm {
        tokenizer.with_pre_tokenizer(Some(words));
    } else {
        let mut cuts: Vec<PreTokenizerWrapper> = Vec::new();
        if flag(settings, "split_by_punct", false)? {
            cuts.push(Punctuation::new(SplitDelimiterBehavior::Isolated).into());
        }
        cuts.push(words.into());
        tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(cuts)));
    }
    let (start, end, single, pair) = match xlm {
        true => ("<s>", "</s>", "<s> $A </s>", "<s> $A </s> </s> $B </s>"),
        false => (
            "[CLS]",
            "[SEP]",
            "[CLS]:0 $A:0 [SEP]:0",
            "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        ),
    };
    let enclosed = |token: &str| -> Result<(String, u32)> {
        let known = numbers.get(token).copied();
        let Some(id) = declared.id(token, known) else {
            bail!("there is no piece {token}, as {whose} have");
        };
        Ok((token.to_string(), id))
    };
    let template = TemplateProcessing::builder()
        .try_single(single)
        .and_then(|t| t.try_pair(pair))
        .map_err(Error::new)?
        .special_tokens(vec![enclosed(start)?, enclosed(end)?])
        .build()
        .map_err(|e| Error::new(e.to_string()))?;
    tokenizer.with_post_processor(Some(template));
    Ok(tokenizer)
}

/// How DeBERTa-v3 writes a text before it is cut.
fn deberta_rules(model: &Model, settings: &Value) -> Result<Vec<NormalizerWrapper>> {
    let mut rules: Vec<NormalizerWrapper> = Vec::new();
    if flag(settings, "do_lower_case", false)? {
        rules.push(Lowercase.into());
    }
    rules.push(Strip::new(true, true).into());
    rules.extend(model.rewritten()?);
    rules.push(spaces(" ")?);
    Ok(rules)
}

/// How XLM-RoBERTa does.
fn xlm_rules(model: &Model) -> Result<Vec<NormalizerWrapper>> {
    let mut rules: Vec<NormalizerWrapper> = Vec::new();
    rules.extend(model.rewritten()?);
    rules.push(Strip::new(false, true).into());
    rules.push(spaces("\u{2581}")?);
    Ok(rules)
}

/// Several spaces as one of these.
fn spaces(one: &str) -> Result<NormalizerWrapper> {
    let several = ReplacePattern::Regex(" {2,}".into());
    let rule = Replace::new(several, one).map_err(|e| Error::new(e.to_string()))?;
    Ok(rule.into())
}

/// Kinds of model and of pieces, by their numbers in the file.
const UNIGRAM: u64 = 1;
const CONTROL: u64 = 3;
const USER: u64 = 4;

/// What is read of a SentencePiece model.
struct Model {
    pieces: Vec<Piece>,
    kind: u64,
    /// The piece that stands for what no other does.
    unknown: usize,
    /// A trie of characters that are written otherwise, and the other ways.
    characters: Vec<u8>,
}

struct Piece {
    text: String,
    score: f64,
    kind: u64,
}

impl Model {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut model = Self {
            pieces: Vec::new(),
            kind: UNIGRAM,
            unknown: 0,
            characters: Vec::new(),
        };
        let mut fields = Fields(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Field::Bytes(own)) => model.pieces.push(Piece::read(own)?),
                (2, Field::Bytes(own)) => {
                    let mut fields = Fields(own);
                    while let Some(field) = fields.next()? {
                        match field {
                            (3, Field::Number(kind)) => model.kind = kind,
                            (40, Field::Number(id)) => model.unknown = id as usize,
                            _ => {}
                        }
                    }
                }
                (3, Field::Bytes(own)) => {
                    let mut fields = Fields(own);
                    while let Some(field) = fields.next()? {
                        if let (2, Field::Bytes(characters)) = field {
                            model.characters = characters.to_vec();
                        }
                    }
                }
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            bail!("there are no pieces in it");
        }
        Ok(model)
    }

    /// The pieces as fairseq numbers them: four special tokens stand for the first three pieces,
    /// and the mask is the last.
    fn numbered_by_fairseq(&self) -> Vec<(String, f64)> {
        let special = ["<s>", "<pad>", "</s>", "<unk>"];
        let special = special.map(|token| (token.to_string(), 0.0));
        let pieces = self.pieces.iter().skip(3);
        let pieces = pieces.map(|p| (p.text.clone(), p.score));
        let mask = ("<mask>".to_string(), 0.0);
        special.into_iter().chain(pieces).chain([mask]).collect()
    }

    /// The rule that writes characters otherwise, where the model has one.
    fn rewritten(&self) -> Result<Option<NormalizerWrapper>> {
        if self.characters.is_empty() {
            return Ok(None);
        }
        check_characters(&self.characters)?;
        let rule = Precompiled::from(&self.characters).map_err(|e| Error::new(e.to_string()))?;
        Ok(Some(rule.into()))
    }
}

impl Piece {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut piece = Self {
            text: String::new(),
            score: 0.0,
            kind: 1,
        };
        let mut fields = Fields(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Field::Bytes(text)) => match std::str::from_utf8(text) {
                    Ok(text) => piece.text = text.to_string(),
                    Err(_) => bail!("a piece is not UTF-8"),
                },
                (2, Field::Four(bits)) => piece.score = f64::from(f32::from_bits(bits)),
                (3, Field::Number(kind)) => piece.kind = kind,
                _ => {}
            }
        }
        if piece.text.is_empty() || !piece.score.is_finite() {
            bail!("the piece {:?} has the score {}", piece.text, piece.score);
        }
        Ok(piece)
    }
}

/// The fields of a message of protocol buffers, in order.
struct Fields<'a>(&'a [u8]);

/// A field's value by the way it is written.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four(u32),
}

impl<'a> Fields<'a> {
    /// The next field's number and value.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Field::Number(self.number()?),
            1 => {
                self.take(8)?;
                return self.next();
            }
            2 => {
                let length = self.number()?;
                Field::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => {
                let mut bits = [0; 4];
                bits.copy_from_slice(self.take(4)?);
                Field::Four(u32::from_le_bytes(bits))
            }
            _ => bail!("not a SentencePiece model"),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let Some((own, rest)) = self.0.split_at_checked(length) else {
            bail!("not a SentencePiece model, or cut short");
        };
        self.0 = rest;
        Ok(own)
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        bail!("not a SentencePiece model")
    }
}

/// Checks that no text can lead out of the trie of characters, as its reader trusts.
fn check_characters(bytes: &[u8]) -> Result<()> {
    let broken = || Error::new("its precompiled_charsmap is damaged");
    let number = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(broken)?;
    let size = number(size) as usize;
    let (units, others) = rest.split_at_checked(size).ok_or_else(broken)?;
    let others = std::str::from_utf8(others).map_err(|_| broken())?;
    if size == 0 || !size.is_multiple_of(4) {
        return Err(broken());
    }
    let units: Vec<usize> = units.chunks_exact(4).map(|u| number(u) as usize).collect();
    for (at, unit) in units.iter().enumerate() {
        // Values, which nothing leads on from.
        if unit >> 31 == 1 {
            continue;
        }
        let next = at ^ (unit >> 10 << ((unit & 1 << 9) >> 6));
        if next | 255 >= units.len() {
            return Err(broken());
        }
        let value = units[next] & ((1 << 31) - 1);
        if unit >> 8 & 1 == 1 && !others.is_char_boundary(value) {
            return Err(broken());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(mut n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while n > 127 {
            out.push(n as u8 | 128);
            n >>= 7;
        }
        out.push(n as u8);
        out
    }

    fn field(number: usize, content: &[u8]) -> Vec<u8> {
        [
            varint(number << 3 | 2),
            varint(content.len()),
            content.to_vec(),
        ]
        .concat()
    }

    /// A model of these pieces, with their scores and kinds.
    fn model(pieces: &[(&str, f32, u8)], characters: &[u8]) -> Vec<u8> {
        let piece = |&(text, score, kind): &(&str, f32, u8)| {
            let score = [&[0x15][..], &score.to_le_bytes()].concat();
            field(
                1,
                &[field(1, text.as_bytes()), score, vec![0x18, kind]].concat(),
            )
        };
        let mut out: Vec<u8> = pieces.iter().flat_map(piece).collect();
        // A unigram model, whose unknown piece is number 3.
        out.extend(field(2, &[0x18, 1, 0xc0, 2, 3]));
        out.extend(field(3, &field(2, characters)));
        out
    }

    const PIECES: &[(&str, f32, u8)] = &[
        ("[PAD]", 0.0, 3),
        ("[CLS]", 0.0, 3),
        ("[SEP]", 0.0, 3),
        ("[UNK]", 0.0, 2),
        ("\u{2581}a", -1.0, 1),
        ("\u{2581}", -2.0, 1),
        ("b", -2.5, 1),
        ("\u{2581}ab", -3.0, 1),
        ("a", -3.5, 1),
        (",", -3.5, 1),
    ];

    fn deberta(bytes: &[u8], settings: &Value) -> Result<Tokenizer> {
        let class = Class::of_family(Family::DebertaV2);
        let declared = Declared::default();
        let mut tokenizer = from_bytes(bytes, settings, class, &declared)?;
        declared.add_to(&mut tokenizer, Some(class), true)?;
        Ok(tokenizer)
    }

    fn ids(bytes: &[u8], settings: &str, text: &str) -> Vec<u32> {
        let settings: Value = serde_json::from_str(settings).unwrap();
        let tokenizer = deberta(bytes, &settings).unwrap();
        tokenizer
            .encode_fast(text, true)
            .unwrap()
            .get_ids()
            .to_vec()
    }

    #[test]
    fn texts_become_their_likeliest_pieces() {
        let bytes = model(PIECES, &[]);
        let ids = |text: &str| ids(&bytes, "{}", text);
        assert_eq!(ids("ab  a"), [1, 7, 4, 2]);
        assert_eq!(ids(" bb z,"), [1, 5, 6, 6, 5, 3, 9, 2]);
        assert_eq!(ids("[MASK]A"), [1, 10, 5, 3, 2]);
        assert_eq!(ids("a[SEP]b"), [1, 4, 2, 5, 6, 2]);
    }

    #[test]
    fn settings_count() {
        let bytes = model(PIECES, &[]);
        assert_eq!(ids(&bytes, r#"{"do_lower_case": true}"#, "AB"), [1, 7, 2]);
        let split = r#"{"split_by_punct": true}"#;
        assert_eq!(ids(&bytes, split, "a,b"), [1, 4, 5, 9, 5, 6, 2]);
    }

    /// A trie that writes `x` as the text at `value` of others, led on from place to place.
    fn characters(value: u32, root: u32, others: &[u8]) -> Vec<u8> {
        let x = u32::from(b'x');
        let mut units = vec![1u32 << 31; 512];
        units[0] = root << 10;
        units[256 ^ x as usize] = (256 ^ x ^ 1) << 10 | 1 << 8 | x;
        units[1] |= value;
        let units: Vec<u8> = units.into_iter().flat_map(u32::to_le_bytes).collect();
        [&(units.len() as u32).to_le_bytes()[..], &units, others].concat()
    }

    #[test]
    fn characters_are_written_otherwise() {
        let bytes = |value, root, others: &[u8]| model(PIECES, &characters(value, root, others));
        assert_eq!(ids(&bytes(1, 256, b"\0b\0"), "{}", "ax"), [1, 7, 2]);
        assert_eq!(ids(&bytes(0, 256, b"\0b\0"), "{}", "ax"), [1, 4, 2]);
        let refused = |bytes: Vec<u8>| {
            let error = deberta(&bytes, &Value::Null).unwrap_err().to_string();
            assert!(error.contains("precompiled_charsmap is damaged"), "{error}");
        };
        refused(bytes(9, 256, b"\0b\0"));
        refused(bytes(1, 512, b"\0b\0"));
        refused(bytes(2, 256, "\0é\0".as_bytes()));
        refused(bytes(1, 256, b"\xff\xff"));
        refused(model(PIECES, &[255, 255, 255, 255, 0]));
        refused(model(PIECES, &[0, 0, 0, 0, 65]));
    }

    #[test]
    fn broken_files_are_told() {
        let message = |bytes: &[u8]| deberta(bytes, &Value::Null).unwrap_err().to_string();
        assert_eq!(message(&[]), "there are no pieces in it");
        assert!(message(b"\x0a\xff").contains("not a SentencePiece model"));
        assert!(message(b"version https").contains("not a SentencePiece model"));
        assert!(message(&model(&PIECES[3..], &[])).contains("no piece [CLS]"));
        let empty = [PIECES, &[("", 0.0, 1)]].concat();
        assert!(message(&model(&empty, &[])).contains("the piece \"\""));
        let bytes = model(PIECES, &[]);
        for end in 0..bytes.len() {
            let _ = deberta(&bytes[..end], &Value::Null);
        }
    }
}
