//! What the cache holds.

use std::path::{Path, PathBuf};

use super::repo::Kind;
use crate::study::files::{Links, listed, slashed, tree};

/// A commit of a repository in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtHand {
    /// `name` or `owner/name`.
    pub name: String,
    /// The commit.
    pub commit: String,
    /// The branches and tags that it was asked for by.
    pub revisions: Vec<String>,
    /// Its folder.
    pub folder: PathBuf,
    /// Its files, by path within it.
    pub files: Vec<String>,
    /// Their size.
    pub bytes: u64,
}

/// All commits of a kind in a cache; what cannot be read is passed over.
pub fn at_hand(cache: &Path, kind: Kind) -> Vec<AtHand> {
    let prefix = format!("{}--", kind.plural());
    let mut all = Vec::new();
    for (entry, repository) in listed(cache).unwrap_or_default() {
        let Some(name) = entry.strip_prefix(&prefix) else {
            continue;
        };
        let revisions = revisions(&repository.join("refs"));
        for (commit, folder) in listed(&repository.join("snapshots")).unwrap_or_default() {
            let files = tree(&folder, Links::Followed).unwrap_or_default();
            let size = |(_, path): &(String, PathBuf)| path.metadata().map_or(0, |m| m.len());
            let own = revisions.iter().filter(|(_, of)| *of == commit);
            all.push(AtHand {
                name: name.replacen("--", "/", 1),
                revisions: own.map(|(revision, _)| revision.clone()).collect(),
                bytes: files.iter().map(size).sum(),
                files: files.into_iter().map(|(name, _)| name).collect(),
                commit,
                folder,
            });
        }
    }
    all
}

/// The revisions of a repository, each with the commit that it stands for.
fn revisions(refs: &Path) -> Vec<(String, String)> {
    let files = match refs.is_dir() {
        true => tree(refs, Links::Left).unwrap_or_default(),
        false => Vec::new(),
    };
    let read = |(name, path): (String, PathBuf)| {
        let commit = std::fs::read_to_string(path).ok()?;
        Some((slashed(Path::new(&name)), commit.trim().to_string()))
    };
    files.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_listed_with_what_they_were_asked_for_by() {
        let cache = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = cache.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("models--a--b--c/refs/main", "c0ffee");
        write("models--a--b--c/refs/refs/pr/1", "c0ffee\n");
        write("models--a--b--c/snapshots/c0ffee/config.json", "{}");
        write("models--a--b--c/snapshots/c0ffee/x/weights", "12345");
        write("models--a--b--c/snapshots/dead/config.json", "{}");
        write("datasets--d/snapshots/beef/train.csv", "x");
        write("datasets--e/refs/main", "beef");
        let found = at_hand(cache.path(), Kind::Model);
        assert_eq!(found.len(), 2);
        // Only the first pair of dashes stands for a slash.
        assert_eq!((found[0].name.as_str(), found[0].bytes), ("a/b--c", 7));
        assert_eq!(found[0].revisions, ["main", "refs/pr/1"]);
        assert_eq!(found[0].files, ["config.json", "x/weights"]);
        assert!(found[1].revisions.is_empty());
        let found = at_hand(cache.path(), Kind::Dataset);
        assert_eq!((found.len(), found[0].name.as_str()), (1, "d"));
        assert!(at_hand(&cache.path().join("none"), Kind::Model).is_empty());
    }
}
