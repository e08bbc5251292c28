//! The cache's layout: `models--owner--name/{refs,snapshots/COMMIT,blobs}`, as huggingface_hub
//! keeps it.

use std::path::{Path, PathBuf};

use super::Choose;
use super::repo::{Kind, Repo};

/// A repository in the cache.
#[derive(Debug, Clone)]
pub struct Cached {
    folder: PathBuf,
    revision: String,
    is_commit: bool,
}

impl Cached {
    /// The repository's place in the cache, whether it is there or not.
    pub fn new(cache: &Path, repo: &Repo) -> Self {
        Self {
            folder: cache.join(repo.folder()),
            revision: repo.revision.clone(),
            is_commit: repo.is_commit(),
        }
    }

    /// The folder of a commit's files.
    pub fn commit(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The file that holds content of this hash.
    #[cfg(feature = "hub")]
    pub fn blob(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(hash)
    }

    /// The file that names the revision's commit.
    #[cfg(feature = "hub")]
    pub fn reference(&self) -> PathBuf {
        self.folder.join("refs").join(&self.revision)
    }

    /// Where the names of the commit's files are kept once they are known.
    pub fn list(&self, commit: &str) -> PathBuf {
        self.folder.join(".tureen").join(format!("{commit}.json"))
    }

    /// The snapshot of the revision, where one is there with a file that is needed.
    pub fn snapshot(&self, choose: Choose<'_>) -> Option<PathBuf> {
        let commit = match self.is_commit {
            true => self.revision.clone(),
            false => {
                let named = self.folder.join("refs").join(&self.revision);
                std::fs::read_to_string(named).ok()?.trim().to_string()
            }
        };
        // The name comes from a file and must be no path.
        let plain = !commit.is_empty() && commit.chars().all(|c| c.is_ascii_hexdigit());
        let folder = self.commit(&commit);
        (plain && !choose(&files(&folder, "")).is_empty()).then_some(folder)
    }

    /// The snapshot of a commit, where all that is needed of it is there.
    pub fn complete(&self, choose: Choose<'_>) -> Option<PathBuf> {
        let bytes = std::fs::read(self.list(&self.revision)).ok()?;
        let names: Vec<String> = serde_json::from_slice(&bytes).ok()?;
        let folder = self.commit(&self.revision);
        let own = choose(&names);
        let there = |name: &String| folder.join(name).is_file();
        (!own.is_empty() && own.iter().all(there)).then_some(folder)
    }
}

/// The name, without its owner, of the repository whose snapshot this folder of a cache is.
pub fn repository_at(folder: &Path) -> Option<String> {
    let part = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let commit = part(folder)?;
    let snapshots = folder.parent()?;
    let repository = part(snapshots.parent()?)?;
    let is_commit = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
    if !is_commit || part(snapshots)? != "snapshots" {
        return None;
    }
    let kinds = [Kind::Model, Kind::Dataset];
    let name = kinds.iter().find_map(|kind| {
        let rest = repository.strip_prefix(kind.plural())?;
        rest.strip_prefix("--")
    })?;
    // Only the first pair of dashes stands for a slash.
    let own = name.split_once("--").map_or(name, |(_, own)| own);
    (!own.is_empty()).then(|| own.to_string())
}

/// The files under a folder, by path within it.
fn files(folder: &Path, prefix: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => all.extend(files(&entry.path(), &format!("{name}/"))),
            false => all.push(name),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_named_after_its_repository() {
        let commit = "0".repeat(40);
        let at = |path: &str| repository_at(Path::new(&format!("hub/{path}/{commit}")));
        assert_eq!(at("models--o--a-b/snapshots").as_deref(), Some("a-b"));
        assert_eq!(at("models--o--a--b/snapshots").as_deref(), Some("a--b"));
        assert_eq!(at("datasets--imdb/snapshots").as_deref(), Some("imdb"));
        assert_eq!(at("models--o--a/refs"), None);
        assert_eq!(at("other--o--a/snapshots"), None);
        assert_eq!(
            repository_at(Path::new("models--o--a/snapshots/main")),
            None
        );
    }
}
