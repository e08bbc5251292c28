//! WordNet: synonyms and parts of speech, from the files that its programs read (WNDB).

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use crate::study::Id;
use crate::{Error, Result, bail};

/// The parts of speech, as files are named, and how their inflected forms end: what a word ends
/// with, and what its entry ends with instead.
const PARTS: [(&str, &[(&str, &str)]); 4] = [
    (
        "noun",
        &[
            ("s", ""),
            ("ses", "s"),
            ("ves", "f"),
            ("xes", "x"),
            ("zes", "z"),
            ("ches", "ch"),
            ("shes", "sh"),
            ("men", "man"),
            ("ies", "y"),
        ],
    ),
    (
        "verb",
        &[
            ("s", ""),
            ("ies", "y"),
            ("es", "e"),
            ("es", ""),
            ("ed", "e"),
            ("ed", ""),
            ("ing", "e"),
            ("ing", ""),
        ],
    ),
    ("adj", &[("er", ""), ("est", ""), ("er", "e"), ("est", "e")]),
    ("adv", &[]),
];

/// The numbers of nouns and verbs in [`PARTS`], which may take each other's place.
const NOUN_OR_VERB: [usize; 2] = [0, 1];

/// The files of a WordNet folder.
#[derive(Debug)]
pub(super) struct WordNet {
    parts: Vec<Part>,
    pub id: Id,
}

/// One part of speech.
#[derive(Debug)]
struct Part {
    endings: &'static [(&'static str, &'static str)],
    /// Where the synsets of an entry are in `data`, the commonest sense first.
    index: HashMap<String, Vec<usize>>,
    /// Irregular forms.
    irregular: HashMap<String, Vec<String>>,
    data: String,
}

impl WordNet {
    /// Whether the folder is one of WordNet's.
    pub(super) fn is_at(folder: &Path) -> bool {
        folder.join("index.noun").is_file()
    }

    /// Reads `index.noun`, `data.noun`, `noun.exc` and their like for verbs, adjectives and adverbs
    /// from a folder; those of irregular forms may be missing. Errors name the file.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        if !Self::is_at(folder) {
            return Err(Error::at_path(folder, "no index.noun in it")
                .hint("expected WordNet's dict folder, such as /usr/share/wordnet"));
        }
        let text = |name: &str| {
            let path = folder.join(name);
            crate::text::read(&path)
        };
        let mut parts = Vec::new();
        let mut read = Vec::new();
        for (name, endings) in PARTS {
            let index = text(&format!("index.{name}"))?;
            let data = text(&format!("data.{name}"))?;
            let exceptions = format!("{name}.exc");
            let irregular = match folder.join(&exceptions).exists() {
                true => text(&exceptions)?,
                false => String::new(),
            };
            read.extend([Id::of_content("wordnet", index.as_bytes())]);
            read.extend([Id::of_content("wordnet", data.as_bytes())]);
            read.extend([Id::of_content("wordnet", irregular.as_bytes())]);
            let path = folder.join(format!("index.{name}"));
            parts.push(Part {
                endings,
                index: entries(&index).map_err(|e| e.within(path.display()))?,
                irregular: irregular.lines().filter_map(forms).collect(),
                data,
            });
        }
        let read: Vec<&str> = read.iter().map(Id::as_str).collect();
        Ok(Self {
            parts,
            id: Id::of_content("wordnet", read.join(" ").as_bytes()),
        })
    }

    /// The words that share a sense with `word`, nouns first, then verbs, adjectives and adverbs,
    /// those of common senses first, each once; none of several words.
    pub(super) fn synonyms(&self, word: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for part in &self.parts {
            for entry in part.entries_of(word) {
                for synset in part.index.get(&entry).into_iter().flatten() {
                    for other in part.words_at(*synset) {
                        let fits = other != word && !other.contains('_');
                        if fits && !found.contains(&other) {
                            found.push(other);
                        }
                    }
                }
            }
        }
        found
    }

    /// Whether two words can be of one part of speech, or one a noun and the other a verb. A word
    /// that is not known can.
    pub(super) fn may_replace(&self, old: &str, new: &str) -> bool {
        let (old, new) = (self.parts_of(old), self.parts_of(new));
        let swaps = |parts: &BTreeSet<usize>| NOUN_OR_VERB.iter().any(|part| parts.contains(part));
        old.is_empty() || new.is_empty() || !old.is_disjoint(&new) || (swaps(&old) && swaps(&new))
    }

    fn parts_of(&self, word: &str) -> BTreeSet<usize> {
        let word = word.to_lowercase();
        let known = |i: &usize| !self.parts[*i].entries_of(&word).is_empty();
        (0..self.parts.len()).filter(known).collect()
    }
}

impl Part {
    /// The entries that `word` may be a form of, as WordNet's morphy finds them.
    fn entries_of(&self, word: &str) -> Vec<String> {
        let known = |forms: Vec<String>| {
            let mut found: Vec<String> = Vec::new();
            for form in forms {
                if self.index.contains_key(&form) && !found.contains(&form) {
                    found.push(form);
                }
            }
            found
        };
        let own = || vec![word.to_string()];
        if let Some(irregular) = self.irregular.get(word) {
            return known([own(), irregular.clone()].concat());
        }
        let shorter = |form: &String| -> Vec<String> {
            let stems = self.endings.iter();
            stems
                .filter_map(|(ending, instead)| {
                    Some(format!("{}{instead}", form.strip_suffix(ending)?))
                })
                .collect()
        };
        let mut forms: Vec<String> = shorter(&word.to_string());
        let mut found = known([own(), forms.clone()].concat());
        while found.is_empty() && !forms.is_empty() {
            forms = forms.iter().flat_map(shorter).collect();
            found = known(forms.clone());
        }
        found
    }

    /// The words of the synset at a place of the data; none where there is no synset.
    fn words_at(&self, place: usize) -> Vec<String> {
        let line = self.data.get(place..).and_then(|rest| rest.lines().next());
        let mut fields = line.unwrap_or_default().split(' ').skip(3);
        let count = fields
            .next()
            .and_then(|n| usize::from_str_radix(n, 16).ok());
        fields
            .step_by(2)
            .take(count.unwrap_or(0))
            // Adjectives may say where they stand: "galore(ip)".
            .map(|word| word.split('(').next().unwrap_or(word).to_string())
            .collect()
    }
}

/// The places of the synsets by entry. Lines of the licence begin with spaces.
fn entries(index: &str) -> Result<HashMap<String, Vec<usize>>> {
    let mut found = HashMap::new();
    for (at, line) in index.lines().enumerate() {
        if line.starts_with(' ') || line.is_empty() {
            continue;
        }
        match entry(line) {
            Some((word, places)) => found.insert(word, places),
            None => bail!("line {}: not an entry of WordNet's index", at + 1),
        };
    }
    Ok(found)
}

/// `lemma pos synsets pointers [pointer...] senses tagged place...`
fn entry(line: &str) -> Option<(String, Vec<usize>)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let synsets: usize = fields.get(2)?.parse().ok()?;
    let pointers: usize = fields.get(3)?.parse().ok()?;
    let places = fields.get(pointers.checked_add(6)?..)?;
    let places: Vec<usize> = places
        .iter()
        .map(|p| p.parse().ok())
        .collect::<Option<_>>()?;
    (places.len() == synsets).then(|| (fields[0].to_string(), places))
}

/// `form entry...`
fn forms(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = line.split_whitespace().map(str::to_string);
    Some((words.next()?, words.collect()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Three nouns, a verb, an adjective and an adverb, as WordNet 3.0 has them, without most pointers.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let film =
            "00000010 06 n 03 movie 0 film 0 moving_picture 0 001 @ 00000099 n 0000 | a form\n";
        let goose = "00000084 05 n 01 goose 0 000 | a bird\n";
        write("data.noun", &format!("  licence\n{film}{goose}"));
        let noun = "  1 licence\nfilm n 1 1 @ 1 1 00000010\ngoose n 1 0 1 0 00000094\nmovie n 1 0 1 1 00000010\n";
        write(
            "index.noun",
            &noun.replace("00000094", &(10 + film.len()).to_string()),
        );
        write("noun.exc", "geese goose\n");
        write(
            "data.verb",
            "00000000 36 v 02 film 0 shoot 1 000 00 | to make a film\n",
        );
        write(
            "index.verb",
            "film v 1 0 1 0 00000000\nshoot v 1 0 1 0 00000000\n",
        );
        write(
            "data.adj",
            "00000000 00 a 02 good 0 fine(p) 0 000 | as wanted\n",
        );
        write(
            "index.adj",
            "fine a 1 0 1 0 00000000\ngood a 1 0 1 0 00000000\n",
        );
        write(
            "data.adv",
            "00000000 02 r 01 well 0 000 | in a good manner\n",
        );
        write("index.adv", "well r 1 0 1 0 00000000\n");
        folder
    }

    #[test]
    fn synonyms_share_a_sense() {
        let folder = folder();
        let wordnet = WordNet::read(folder.path()).unwrap();
        assert_eq!(wordnet.synonyms("film"), ["movie", "shoot"]);
        assert_eq!(wordnet.synonyms("films"), ["movie", "film", "shoot"]);
        assert_eq!(wordnet.synonyms("finer"), ["good", "fine"]);
        assert_eq!(wordnet.synonyms("geese"), ["goose"]);
        assert!(wordnet.synonyms("well").is_empty() && wordnet.synonyms("xyz").is_empty());
    }

    #[test]
    fn nouns_and_verbs_may_take_each_others_place() {
        let folder = folder();
        let wordnet = WordNet::read(folder.path()).unwrap();
        assert!(wordnet.may_replace("Movies", "shooting"));
        assert!(wordnet.may_replace("good", "finest"));
        assert!(!wordnet.may_replace("good", "well"));
        assert!(!wordnet.may_replace("well", "film"));
        assert!(wordnet.may_replace("good", "xyz"));
    }

    #[test]
    fn what_is_no_wordnet_is_an_error() {
        let folder = folder();
        let told = || WordNet::read(folder.path()).unwrap_err().to_string();
        fs::write(folder.path().join("index.adv"), "well r one 0 1 0 0\n").unwrap();
        assert!(
            told().ends_with("index.adv: line 1: not an entry of WordNet's index"),
            "{}",
            told()
        );
        fs::remove_file(folder.path().join("data.verb")).unwrap();
        assert!(told().contains("data.verb"), "{}", told());
        fs::remove_file(folder.path().join("index.noun")).unwrap();
        assert!(told().ends_with(
            "no index.noun in it; expected WordNet's dict folder, such as /usr/share/wordnet"
        ));
    }
}
