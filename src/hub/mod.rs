//! Models, adapters and datasets of the Hugging Face hub, in the cache that its Python library
//! keeps: what either has downloaded, both find.
//!
//! Hand-written over `ureq`: the crate `hf-hub` has no offline mode, does not resume and does not
//! check hashes. Without the cargo feature `hub` the cache is still read.

mod cache;
#[cfg(feature = "hub")]
mod client;
mod datasets;
#[cfg(feature = "hub")]
mod download;
mod list;
mod repo;
mod settings;
#[cfg(all(test, feature = "hub"))]
mod tests;

use std::path::PathBuf;

pub use cache::repository_at;
pub use datasets::datasets_named;
pub use list::AtHand;
pub use repo::{Kind, Repo};
pub use settings::Settings;

use crate::{Context, Error, Result};
use cache::Cached;

/// Picks the files that are needed of all files of a repository, by path.
pub type Choose<'c> = &'c dyn Fn(&[String]) -> Vec<String>;

/// A hub with its cache.
#[derive(Debug, Clone)]
pub struct Hub {
    settings: Settings,
}

impl Hub {
    /// A hub with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The hub that the environment's `HF_*` variables describe.
    pub fn from_env() -> Self {
        Self::new(Settings::read(|name| std::env::var(name).ok()))
    }

    /// What the cache holds of a kind, in order of names.
    pub fn at_hand(&self, kind: Kind) -> Vec<AtHand> {
        list::at_hand(&self.settings.cache, kind)
    }

    /// A folder with those files of a repository that `choose` picks of all of them: the snapshot of
    /// its revision in the cache, downloaded as far as it is not there.
    ///
    /// A commit's hash needs no network where its files are there. Offline, and where the hub
    /// cannot be reached, the cache is what counts, with a notice in the latter case. Errors where
    /// nothing is picked, on names and revisions that do not exist, on missing rights, and on
    /// content that is not what the hub says it is.
    pub fn fetch(&self, repo: &Repo, choose: Choose<'_>, context: &Context) -> Result<PathBuf> {
        let cached = Cached::new(&self.settings.cache, repo);
        if self.settings.offline {
            return cached.snapshot(choose).ok_or_else(|| {
                Error::new(format!(
                    "{repo} is not in the cache, and the hub is offline"
                ))
                .hint("unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE to download it")
            });
        }
        if repo.is_commit()
            && let Some(folder) = cached.complete(choose)
        {
            return Ok(folder);
        }
        self.download(repo, &cached, choose, context)
    }

    #[cfg(feature = "hub")]
    fn download(
        &self,
        repo: &Repo,
        cached: &Cached,
        choose: Choose<'_>,
        context: &Context,
    ) -> Result<PathBuf> {
        let client = client::Client::new(&self.settings);
        match client.info(repo) {
            Ok(info) if repo.is_commit() && info.sha != repo.revision => Err(Error::new(format!(
                "{repo}: the hub answers with the commit {}",
                info.sha
            ))),
            Ok(info) => {
                let context = match self.settings.quiet {
                    true => context.clone().without_bars(),
                    false => context.clone(),
                };
                download::fetch(&client, repo, cached, &info, choose, &context)
            }
            Err(client::Failure::Unreachable(error)) => match cached.snapshot(choose) {
                Some(folder) => {
                    context.notice(format!("{error}; {repo} is taken from the cache"));
                    Ok(folder)
                }
                None => Err(error.hint("set HF_HUB_OFFLINE=1 to work with the cache alone")),
            },
            Err(client::Failure::Refused(error)) => Err(error),
        }
    }

    #[cfg(not(feature = "hub"))]
    fn download(
        &self,
        repo: &Repo,
        cached: &Cached,
        choose: Choose<'_>,
        _: &Context,
    ) -> Result<PathBuf> {
        cached.snapshot(choose).ok_or_else(|| {
            Error::new(format!("{repo} is not in the cache"))
                .hint("this program was built without the feature hub: it downloads nothing")
        })
    }
}
