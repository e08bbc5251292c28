//! Names of repositories.

use std::fmt;

use crate::{Error, Result};

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Models and adapters.
    Model,
    /// Datasets.
    Dataset,
}

impl Kind {
    /// What the cache and the hub's addresses call it.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// A repository of the hub at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// What it holds.
    pub kind: Kind,
    /// `name` or `owner/name`.
    pub name: String,
    /// A branch, a tag or a commit's hash; `main` where none is given.
    pub revision: String,
}

impl Repo {
    /// Reads `name`, `owner/name` or either with `@revision`, perhaps behind `hub:`.
    pub fn parse(kind: Kind, text: &str) -> Result<Self> {
        let own = text.strip_prefix("hub:").unwrap_or(text);
        let (name, revision) = own.split_once('@').unwrap_or((own, "main"));
        let plain = |part: &str| {
            let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            // The cache writes a slash as two dashes.
            let odd = part.contains("--") || part.contains("..") || part.starts_with('.');
            !part.is_empty() && !odd && part.chars().all(safe)
        };
        let parts: Vec<&str> = name.split('/').collect();
        let named = parts.len() <= 2 && parts.iter().all(|part| plain(part));
        if !named || !revision.split('/').all(plain) {
            return Err(Error::new(format!("{text:?} is no name of a repository"))
                .hint("expected name, owner/name or owner/name@revision"));
        }
        Ok(Self {
            kind,
            name: name.to_string(),
            revision: revision.to_string(),
        })
    }

    /// Whether the revision is a commit's hash, which never changes.
    pub fn is_commit(&self) -> bool {
        self.revision.len() == 40 && self.revision.chars().all(|c| c.is_ascii_hexdigit())
    }

    /// Its folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("{}--{}", self.kind.plural(), self.name.replace('/', "--"))
    }

    /// The path of its description behind the hub's address.
    #[cfg(feature = "hub")]
    pub(super) fn info_path(&self) -> String {
        let kind = self.kind.plural();
        let revision = self.revision.replace('/', "%2F");
        format!("api/{kind}/{}/revision/{revision}", self.name)
    }

    /// The path of a file of a commit.
    #[cfg(feature = "hub")]
    pub(super) fn file_path(&self, commit: &str, file: &str) -> String {
        let kind = match self.kind {
            Kind::Model => "",
            Kind::Dataset => "datasets/",
        };
        format!("{kind}{}/resolve/{commit}/{}", self.name, escaped(file))
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.revision.as_str() {
            "main" => Ok(()),
            revision => write!(f, "@{revision}"),
        }
    }
}

/// A file's name as a part of an address.
#[cfg(feature = "hub")]
fn escaped(name: &str) -> String {
    let byte = |b: u8| match b {
        b'/' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    name.bytes().map(byte).collect()
}

#[cfg(test)]
mod names {
    use super::*;

    #[test]
    fn names_are_read_and_checked() {
        let read = |text: &str| Repo::parse(Kind::Model, text).map(|r| (r.name, r.revision));
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(read("roberta-base").unwrap(), pair("roberta-base", "main"));
        assert_eq!(read("hub:a/b@v1.0").unwrap(), pair("a/b", "v1.0"));
        assert_eq!(read("a/b@refs/pr/1").unwrap(), pair("a/b", "refs/pr/1"));
        for bad in ["", "a/b/c", "../a", "a b", "a@", "a/.b", "a@../x", "a--b"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let set = Repo::parse(Kind::Dataset, "a/b").unwrap();
        assert_eq!(set.folder(), "datasets--a--b");
    }
}
