//! The same tensor under the names that different files of a model give it.
//!
//! A task model puts its type before the base's names, files of the first years say `gamma` and
//! `beta`, and some hold buffers or a second copy of the table of tokens.

use crate::Result;

use super::checkpoint::{Checkpoint, layer_of};

/// How the names of tensors end that are computed from the configuration, not trained.
const BUFFERS: &[&str] = &[
    "position_ids",
    "embeddings.token_type_ids",
    "masked_bias",
    "inv_freq",
    "cos_cached",
    "sin_cached",
];

/// How the names of causal masks end, which are buffers of shape [1, 1, n, n].
const MASKS: &[&str] = &["attn.bias", "attention.bias", "causal_mask"];

/// How the names of tensors end that may be second copies of others, and those of the others.
const COPIES: &[(&[&str], &[&str])] = &[
    (
        &[
            "lm_head.weight",
            "decoder.weight",
            "vocab_projector.weight",
            "generator_lm_head.weight",
            "embed_out.weight",
            "output_projection.weight",
            "embed_tokens.weight",
        ],
        &[
            "wte.weight",
            "word_embeddings.weight",
            "embed_tokens.weight",
            "tok_embeddings.weight",
            "embed_in.weight",
            "shared.weight",
        ],
    ),
    (&["decoder.bias"], &["predictions.bias", "lm_head.bias"]),
];

/// How the names of heads begin, with or without what stands before the base's names.
const HEADS: &[&str] = &[
    "classifier.",
    "cls.",
    "discriminator_predictions.",
    "generator_",
    "lm_head.",
    "lm_predictions.",
    "mask_predictions.",
    "pooler.",
    "pre_classifier.",
    "qa_outputs.",
    "score.",
    "vocab_",
];

/// How a norm's tensors were called, and how they are.
const SPELLINGS: &[(&str, &str)] = &[
    ("LayerNorm.gamma", "LayerNorm.weight"),
    ("LayerNorm.beta", "LayerNorm.bias"),
];

/// Where another model has the tensors of the first.
#[derive(Debug)]
pub struct Names<'a> {
    lead: &'a Checkpoint,
    other: &'a Checkpoint,
    /// What stands before the base's names in the first, and in the other.
    prefixes: [String; 2],
}

impl<'a> Names<'a> {
    /// Of two models.
    pub fn between(lead: &'a Checkpoint, other: &'a Checkpoint) -> Self {
        Self {
            lead,
            other,
            prefixes: prefixes(lead, other).unwrap_or_default(),
        }
    }

    /// The other's name of a tensor by the first's name, which need not be one of the first's own
    /// tensors; none where the other lacks it.
    pub fn find(&self, own: &str) -> Result<Option<String>> {
        if let Some(found) = self.plain(own) {
            return Ok(Some(found));
        }
        if self.other.config["tie_word_embeddings"] == false {
            return Ok(None);
        }
        let source = copied(self.lead, own)?;
        Ok(source.and_then(|source| self.plain(&source)))
    }

    fn plain(&self, own: &str) -> Option<String> {
        let [before, theirs] = &self.prefixes;
        let mapped = own.strip_prefix(before).map(|own| format!("{theirs}{own}"));
        let candidates = mapped.into_iter().chain([own.to_string()]);
        candidates
            .flat_map(|name| spelled(&name))
            .find(|name| self.other.has(name))
    }

    /// The other's tensors that the first has none for, buffers and second copies aside: heads,
    /// and those without which a model is another.
    pub fn further(&self) -> Result<Further> {
        let back = Names {
            lead: self.other,
            other: self.lead,
            prefixes: [self.prefixes[1].clone(), self.prefixes[0].clone()],
        };
        let mut further = Further::default();
        for name in self.other.names() {
            if back.plain(name).is_some() || is_buffer(self.other, name) {
                continue;
            }
            let own = name.strip_prefix(&self.prefixes[1]).unwrap_or(name);
            // The head of a language model whose configuration says that it is none of the
            // embeddings' is a part of the model.
            let untied =
                own == "lm_head.weight" && self.other.config["tie_word_embeddings"] == false;
            if !untied && HEADS.iter().any(|head| own.starts_with(head)) {
                if copied(self.other, name)?.is_none() {
                    further.heads.push(name.clone());
                }
            } else if copied(self.other, name)?.is_none() {
                further.needed.push(name.clone());
            }
        }
        Ok(further)
    }
}

/// The tensors of one model that another has none for.
#[derive(Debug, Default)]
pub struct Further {
    /// Those of heads.
    pub heads: Vec<String>,
    /// All others.
    pub needed: Vec<String>,
}

/// Whether a tensor is computed from the configuration.
pub fn is_buffer(model: &Checkpoint, name: &str) -> bool {
    let is_mask = || {
        matches!(model.shape(name), Some(&[1, 1, n, m]) if n == m)
            && MASKS.iter().any(|end| ends(name, end))
    };
    BUFFERS.iter().any(|end| ends(name, end)) || is_mask()
}

/// The tensor of which another is a second copy, to the byte.
fn copied(model: &Checkpoint, name: &str) -> Result<Option<String>> {
    for (copies, sources) in COPIES {
        if !copies.iter().any(|end| ends(name, end)) || !model.has(name) {
            continue;
        }
        let is_source = |other: &&String| {
            *other != name
                && sources.iter().any(|end| ends(other, end))
                && model.shape(other) == model.shape(name)
        };
        for source in model.names().filter(is_source) {
            if model.number(source)? == model.number(name)?
                && model.raw(source)? == model.raw(name)?
            {
                return Ok(Some(source.clone()));
            }
        }
    }
    Ok(None)
}

/// Whether the last parts of a name are these.
fn ends(name: &str, end: &str) -> bool {
    name.strip_suffix(end)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// A name and its other spelling, if it has one.
fn spelled(name: &str) -> Vec<String> {
    let mut all = vec![name.to_string()];
    for (old, new) in SPELLINGS {
        for (from, to) in [(old, new), (new, old)] {
            if let Some(before) = name.strip_suffix(from) {
                all.push(format!("{before}{to}"));
            }
        }
    }
    all
}

/// What stands before the names of two models' bases, by a tensor of the first's layers.
fn prefixes(lead: &Checkpoint, other: &Checkpoint) -> Option<[String; 2]> {
    let in_layer = |name: &&String| layer_of(name).is_some() && !is_buffer(lead, name);
    let own = lead.names().find(in_layer)?;
    let spellings = spelled(own);
    if spellings.iter().any(|name| other.has(name)) {
        return None;
    }
    let candidates = other.names().filter_map(|theirs| {
        let shared = spellings.iter().map(|own| shared(own, theirs)).max()?;
        let before = |name: &str| {
            let parts: Vec<&str> = name.split('.').collect();
            let before = parts.get(..parts.len().checked_sub(shared)?)?;
            let plain = before.iter().all(|part| part.parse::<usize>().is_err());
            plain.then(|| {
                before
                    .iter()
                    .map(|part| format!("{part}."))
                    .collect::<String>()
            })
        };
        Some((shared, [before(own)?, before(theirs)?]))
    });
    let (shared, found) = candidates.max_by_key(|(shared, _)| *shared)?;
    // A tensor's own name and that of its module say too little.
    (shared > 2).then_some(found)
}

/// How many parts at their ends two names share.
fn shared(one: &str, other: &str) -> usize {
    let pairs = one.rsplit('.').zip(other.rsplit('.'));
    pairs.take_while(|(a, b)| a == b).count()
}
