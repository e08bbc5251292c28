//! Which base model it is.

/// The scheme of the ids; ids of other schemes are not compared. Those without one are of the first
/// scheme, which counted tensors that nothing is computed with.
const SCHEME: &str = "v2";

/// The hashes of what a model computes with.
#[derive(Debug)]
pub struct Hashes {
    /// Of everything.
    pub all: String,
    /// Of all that makes the hidden states.
    pub states: String,
    /// Of what some classifiers read the states through, where the weights have it.
    pub pooler: Option<String>,
}

impl Hashes {
    /// The model's id: `v2-STATES`, or `v2-STATES-POOLER`.
    pub fn id(&self) -> String {
        match &self.pooler {
            None => format!("{SCHEME}-{}", self.states),
            Some(pooler) => format!("{SCHEME}-{}-{pooler}", self.states),
        }
    }
}

/// Whether two ids are known to be of different bases. The pooler counts only where it is `read`,
/// since files of the same base come with and without it.
pub fn differ(one: &str, other: &str, read: bool) -> bool {
    let (Some((states, pooler)), Some((others, theirs))) = (parts(one), parts(other)) else {
        return false;
    };
    states != others || read && pooler.is_some() && theirs.is_some() && pooler != theirs
}

/// Whether two ids are of this scheme. Those of earlier ones cannot be compared.
pub fn comparable(one: &str, other: &str) -> bool {
    parts(one).is_some() && parts(other).is_some()
}

/// The beginning of an id, for people.
pub fn short(id: &str) -> String {
    let first = |hash: &str| hash.get(..8).unwrap_or(hash).to_string();
    match parts(id) {
        Some((states, None)) => first(states),
        Some((states, Some(pooler))) => format!("{}-{}", first(states), first(pooler)),
        None => first(id),
    }
}

/// The hashes in an id of this scheme.
fn parts(id: &str) -> Option<(&str, Option<&str>)> {
    let hashes = id.strip_prefix(SCHEME)?.strip_prefix('-')?;
    Some(match hashes.split_once('-') {
        Some((states, pooler)) => (states, Some(pooler)),
        None => (hashes, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_computed_with_tells_bases_apart() {
        let id = |states: &str, pooler: Option<&str>| {
            let hashes = Hashes {
                all: String::new(),
                states: states.to_string(),
                pooler: pooler.map(str::to_string),
            };
            hashes.id()
        };
        let (with, without) = (id("a", Some("p")), id("a", None));
        assert!(!differ(&with, &without, true));
        assert!(differ(&with, &id("b", Some("p")), false));
        let other = id("a", Some("q"));
        assert!(differ(&with, &other, true));
        assert!(!differ(&with, &other, false));
        // An id of the first scheme.
        assert!(!differ(&"0".repeat(32), &with, true));
    }
}
