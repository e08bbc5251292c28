//! The settings of `tokenizer_config.json` that count beside a `tokenizer.json`.

use serde_json::Value;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{NormalizedString, Normalizer, Tokenizer};

use crate::{Error, Result, bail};

use super::class::{Class, Family};

/// A setting that is true or false; `default` where it is left out.
pub(super) fn flag(settings: &Value, name: &str, default: bool) -> Result<bool> {
    match settings.get(name) {
        None => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => bail!("{name} is {other}, expected true or false"),
    }
}

/// The same of a setting that may be null.
pub(super) fn maybe_flag(settings: &Value, name: &str) -> Result<Option<bool>> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => flag(settings, name, false).map(Some),
    }
}

/// The side at which texts are cut.
pub(super) fn truncation_side(settings: &Value) -> Result<TruncationDirection> {
    match settings.get("truncation_side") {
        None => Ok(TruncationDirection::Right),
        Some(Value::String(side)) if side == "right" => Ok(TruncationDirection::Right),
        Some(Value::String(side)) if side == "left" => Ok(TruncationDirection::Left),
        Some(other) => bail!("truncation_side is {other}, expected \"left\" or \"right\""),
    }
}

/// Whether a class and its settings pass type ids to a model.
pub(super) fn passes_types(settings: &Value, class: &Class) -> bool {
    match settings["model_input_names"].as_array() {
        Some(names) => names.iter().any(|name| name == "token_type_ids"),
        None => class.types,
    }
}

/// Rewrites the parts of a tokenizer that the settings of its class decide, as the constructors of
/// transformers' fast tokenizers do.
pub(super) fn rewrite(tokenizer: &mut Tokenizer, settings: &Value, class: &Class) -> Result<()> {
    if let Some(PreTokenizerWrapper::ByteLevel(own)) = tokenizer.get_pre_tokenizer() {
        let mut own = *own;
        own.add_prefix_space = match settings.get("add_prefix_space") {
            // A null is refused by the byte-level part, which stays as it is.
            Some(Value::Null) => own.add_prefix_space,
            _ => flag(settings, "add_prefix_space", false)?,
        };
        tokenizer.with_pre_tokenizer(Some(own));
    }
    if matches!(class.family, Family::Bert | Family::Mpnet)
        && let Some(NormalizerWrapper::BertNormalizer(own)) = tokenizer.get_normalizer()
    {
        let own = *own;
        let mut new = own;
        new.lowercase = flag(settings, "do_lower_case", true)?;
        new.strip_accents = maybe_flag(settings, "strip_accents")?;
        // MPNet's class looks at the other two alone.
        if class.family == Family::Bert {
            new.handle_chinese_chars = flag(settings, "tokenize_chinese_chars", true)?;
        }
        let of = |n: &tokenizers::normalizers::BertNormalizer| {
            (n.lowercase, n.strip_accents, n.handle_chinese_chars)
        };
        if of(&own) != of(&new) {
            check_patterns(tokenizer, &own.into(), &new.into())?;
            tokenizer
                .with_normalizer(Some(new))
                .map_err(|e| Error::new(e.to_string()))?;
        }
    }
    Ok(())
}

/// Refuses added tokens that are found in another form under the new rules: transformers goes on to
/// look for the old form.
fn check_patterns(
    tokenizer: &Tokenizer,
    old: &NormalizerWrapper,
    new: &NormalizerWrapper,
) -> Result<()> {
    for token in tokenizer.get_added_tokens_decoder().values() {
        let form = |rules: &NormalizerWrapper| -> Result<String> {
            let mut text = NormalizedString::from(token.content.as_str());
            rules
                .normalize(&mut text)
                .map_err(|e| Error::new(e.to_string()))?;
            Ok(text.get().to_string())
        };
        if token.normalized && form(old)? != form(new)? {
            return Err(Error::new(format!(
                "tokenizer_config.json changes how texts are normalised, and tokenizer.json has \
                 the added token {:?} in the normalised text",
                token.content
            ))
            .hint("set do_lower_case, strip_accents and tokenize_chinese_chars as tokenizer.json has them, or set \"normalized\" of the token to false"));
        }
    }
    Ok(())
}
