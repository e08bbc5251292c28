//! The tokens that the files beside a vocabulary declare: special ones and those added to it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::models::bpe::Vocab;
use tokenizers::{AddedToken, Tokenizer};

use crate::{Error, Result, bail};

use super::class::{Class, NAMES};
use super::read_json;

/// A token with its flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Token {
    pub content: String,
    pub single_word: bool,
    pub lstrip: bool,
    pub rstrip: bool,
    /// Whether it is found in the normalised text; if not said, special tokens are not.
    pub normalized: Option<bool>,
    pub special: bool,
}

impl Token {
    fn read(value: &Value) -> Result<Self> {
        let Some(content) = value["content"].as_str() else {
            bail!("an added token has no \"content\": {value}");
        };
        let flag = |name: &str| value[name].as_bool();
        let on = |name: &str| flag(name).unwrap_or(false);
        Ok(Self {
            content: content.to_string(),
            single_word: on("single_word"),
            lstrip: on("lstrip"),
            rstrip: on("rstrip"),
            normalized: flag("normalized"),
            special: on("special"),
        })
    }

    fn added(&self) -> AddedToken {
        AddedToken::from(self.content.as_str(), self.special)
            .single_word(self.single_word)
            .lstrip(self.lstrip)
            .rstrip(self.rstrip)
            .normalized(self.normalized.unwrap_or(!self.special))
    }
}

impl From<&AddedToken> for Token {
    fn from(token: &AddedToken) -> Self {
        Self {
            content: token.content.clone(),
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            normalized: Some(token.normalized),
            special: token.special,
        }
    }
}

/// A special token as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Special {
    /// By its text alone, whose flags are those it has already.
    Text(String),
    /// With flags that replace those it has.
    Token(Token),
}

impl Special {
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Token(token) => &token.content,
        }
    }

    fn read(name: &str, value: &Value) -> Result<Self> {
        match value {
            Value::String(text) => Ok(Self::Text(text.clone())),
            Value::Object(_) => Token::read(value).map(Self::Token),
            _ => bail!("{name} is {value}, expected a token"),
        }
    }
}

/// All tokens that a folder's files declare.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// By the names of special tokens; `None` where a file says that there is none.
    named: BTreeMap<String, Option<Special>>,
    /// Special tokens without a name of their own.
    further: Vec<Special>,
    /// Special tokens with names of the model's own.
    own: Vec<Special>,
    /// Tokens added to the vocabulary, by their numbers.
    added: BTreeMap<u32, Token>,
}

impl Declared {
    /// Reads them as transformers does: `special_tokens_map.json`, `added_tokens.json` and the
    /// tokens of `tokenizer.json` (`whole`) count only where `tokenizer_config.json` has no
    /// `added_tokens_decoder`.
    pub fn read(folder: &Path, settings: &Value, whole: Option<&Tokenizer>) -> Result<Self> {
        let file = folder.join("tokenizer_config.json");
        let mut declared = Self::default();
        let listed = declared
            .of_settings(settings)
            .map_err(|e| e.within(file.display()))?;
        if listed {
            let contents: Vec<Token> = declared.added.values().cloned().collect();
            declared.dress_alike(contents);
            return Ok(declared);
        }
        let file = folder.join("special_tokens_map.json");
        if let Some(map) = read_json(&file)? {
            declared
                .of_special_tokens_map(&map)
                .map_err(|e| e.within(file.display()))?;
        }
        let file = folder.join("added_tokens.json");
        if let Some(map) = read_json(&file)? {
            declared
                .of_added_tokens(&map)
                .map_err(|e| e.within(file.display()))?;
        }
        if let Some(whole) = whole {
            let held: BTreeMap<u32, Token> = whole
                .get_added_tokens_decoder()
                .iter()
                .map(|(&id, token)| (id, Token::from(token)))
                .collect();
            declared.dress_alike(held.values().cloned().collect());
            declared.added.extend(held);
        }
        Ok(declared)
    }

    /// Whether the settings list the added tokens, too.
    fn of_settings(&mut self, settings: &Value) -> Result<bool> {
        for name in NAMES {
            match settings.get(name) {
                None => {}
                Some(Value::Null) => {
                    self.named.insert(name.to_string(), None);
                }
                Some(value) => {
                    let special = Special::read(name, value)?;
                    self.named.insert(name.to_string(), Some(special));
                }
            }
        }
        self.further = list(
            "additional_special_tokens",
            &settings["additional_special_tokens"],
        )?;
        self.own = match &settings["extra_special_tokens"] {
            Value::Object(own) => own
                .iter()
                .map(|(name, value)| Special::read(name, value))
                .collect::<Result<_>>()?,
            other => list("extra_special_tokens", other)?,
        };
        match settings.get("added_tokens_decoder") {
            None => Ok(false),
            Some(Value::Object(tokens)) => {
                for (id, value) in tokens {
                    let Ok(id) = id.parse() else {
                        bail!("added_tokens_decoder: {id:?} is not a token's number");
                    };
                    self.added.insert(id, Token::read(value)?);
                }
                Ok(true)
            }
            Some(other) => bail!("added_tokens_decoder is {other}, expected tokens by number"),
        }
    }

    fn of_special_tokens_map(&mut self, map: &Value) -> Result<()> {
        let Some(map) = map.as_object() else {
            bail!("expected an object");
        };
        let special = |name: &str, value: &Value| -> Result<Special> {
            let mut special = Special::read(name, value)?;
            if let Special::Token(token) = &mut special {
                token.special = true;
            }
            Ok(special)
        };
        for (name, value) in map {
            if NAMES.contains(&name.as_str()) {
                let declared = match value {
                    Value::Null => None,
                    value => Some(special(name, value)?),
                };
                self.named.insert(name.clone(), declared);
            } else if name == "additional_special_tokens" {
                for value in value.as_array().into_iter().flatten() {
                    let token = special(name, value)?;
                    if !self.further.contains(&token) {
                        self.further.push(token);
                    }
                }
            }
        }
        Ok(())
    }

    fn of_added_tokens(&mut self, map: &Value) -> Result<()> {
        let Some(map) = map.as_object() else {
            bail!("expected an object of tokens and their numbers");
        };
        let named = self.named.values().flatten();
        let special: HashSet<String> = named
            .chain(&self.further)
            .map(|special| special.text().to_string())
            .collect();
        for (content, id) in map {
            let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                bail!("the number of {content:?} is {id}, expected a token's number");
            };
            let token = Token {
                content: content.clone(),
                special: special.contains(content),
                ..Token::default()
            };
            self.added.insert(id, token);
        }
        Ok(())
    }

    /// Gives named special tokens the flags of these tokens of the same content.
    fn dress_alike(&mut self, tokens: Vec<Token>) {
        for token in tokens {
            for special in self.named.values_mut().flatten() {
                if special.text() == token.content {
                    *special = Special::Token(token.clone());
                }
            }
        }
    }

    /// The special token of a name, where the files or else the class declare one.
    pub fn special(&self, name: &str, class: Option<&Class>, slow: bool) -> Option<Special> {
        let special = match self.named.get(name) {
            Some(declared) => declared.clone()?,
            None => class?.default(name)?,
        };
        let mut special = match (special, class) {
            (Special::Text(text), Some(class)) => class.dress(name, text, slow),
            (special, _) => special,
        };
        // A slow tokenizer's tokens are copied to the fast one with all flags set.
        if let (Special::Token(token), true) = (&mut special, slow) {
            token.normalized = Some(token.normalized.unwrap_or(!token.special));
        }
        Some(special)
    }

    /// All special tokens, those of a content that an earlier one has left out.
    fn specials(&self, class: Option<&Class>, slow: bool) -> Vec<Special> {
        let named = NAMES
            .iter()
            .filter_map(|name| self.special(name, class, slow));
        let mut all: Vec<Special> = Vec::new();
        let mut seen = HashSet::new();
        for special in named {
            if seen.insert(special.text().to_string()) {
                all.push(special);
            }
        }
        let further = self.further.iter().filter(|s| !seen.contains(s.text()));
        all.extend(further.cloned());
        seen.extend(self.further.iter().map(|s| s.text().to_string()));
        for special in &self.own {
            if seen.insert(special.text().to_string()) {
                all.push(special.clone());
            }
        }
        all
    }

    /// The special token of a name that a vocabulary alone is read with, and its number there or
    /// among the added tokens.
    pub fn numbered(&self, name: &str, class: &Class, known: &Vocab) -> Result<(String, u32)> {
        let Some(special) = self.special(name, Some(class), true) else {
            bail!("{name} is null, which {} needs", class.name);
        };
        let text = special.text();
        match self.id(text, known.get(text).copied()) {
            Some(id) => Ok((text.to_string(), id)),
            None => bail!("the vocabulary has no {text}, which {} needs", class.name),
        }
    }

    /// The number of a token among the added tokens, else in the vocabulary (`known`).
    pub fn id(&self, text: &str, known: Option<u32>) -> Option<u32> {
        let added = self.added.iter().find(|(_, token)| token.content == text);
        added.map(|(&id, _)| id).or(known)
    }

    /// Adds the tokens to a tokenizer; what it holds already gets the flags that are declared.
    pub fn add_to(
        &self,
        tokenizer: &mut Tokenizer,
        class: Option<&Class>,
        slow: bool,
    ) -> Result<()> {
        let held: Vec<AddedToken> = tokenizer.get_added_tokens_decoder().into_values().collect();
        let mut known: HashSet<String> = held.iter().map(|t| t.content.clone()).collect();
        let held: HashSet<AddedToken> = held.into_iter().collect();
        let mut tokens: Vec<Token> = self
            .added
            .values()
            .filter(|token| !held.contains(&token.added()))
            .cloned()
            .collect();
        known.extend(tokens.iter().map(|token| token.content.clone()));
        let specials = self.specials(class, slow);
        let listed: HashSet<AddedToken> = tokens.iter().map(Token::added).collect();
        for special in &specials {
            match special {
                Special::Text(text) if !known.contains(text) => tokens.push(Token {
                    content: text.clone(),
                    ..Token::default()
                }),
                Special::Token(token) if !listed.contains(&token.added()) => {
                    tokens.push(token.clone());
                }
                _ => {}
            }
        }
        let special: HashSet<&str> = specials.iter().map(Special::text).collect();
        let added: Vec<AddedToken> = tokens
            .into_iter()
            .map(|mut token| {
                token.special |= special.contains(token.content.as_str());
                token.added()
            })
            .collect();
        let failed = |e| Error::new(format!("its added tokens cannot be told apart: {e}"));
        tokenizer.add_tokens(added).map_err(failed)?;
        Ok(())
    }
}

/// The tokens of a list that a file may leave out.
fn list(name: &str, value: &Value) -> Result<Vec<Special>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(tokens) => tokens.iter().map(|t| Special::read(name, t)).collect(),
        other => bail!("{name} is {other}, expected a list of tokens"),
    }
}

/// A file's settings, which are an object.
pub(super) fn settings(folder: &Path) -> Result<Value> {
    let file = folder.join("tokenizer_config.json");
    match read_json(&file)? {
        None => Ok(Value::Object(Map::new())),
        Some(value) if value.is_object() => Ok(value),
        Some(_) => Err(Error::at_path(&file, "expected an object")),
    }
}
