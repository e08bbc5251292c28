//! What a long operation needs from its surroundings: a way to be stopped and to tell how far it is.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::study::{Id, Journal, Plan, Store};
use crate::{Error, Result};

/// Told how far a long operation is. The terminal, a file or nobody may listen.
pub trait Progress: Send + Sync {
    /// A stage of `total` units begins; `unit` is a plural noun ("rows", "steps").
    fn start(&self, label: &str, total: u64, unit: &str);
    /// `done` units of the current stage are finished; `note` is a short state ("loss 0.412").
    fn update(&self, done: u64, note: &str);
    /// The current stage is over.
    fn finish(&self);
    /// All stages that are not over never will be: what ran has failed or was stopped.
    fn abandon(&self) {}
    /// Something the user should know, one line.
    fn notice(&self, line: &str);
}

/// Listens to nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: u64, _: &str) {}
    fn update(&self, _: u64, _: &str) {}
    fn finish(&self) {}
    fn notice(&self, _: &str) {}
}

/// Passes on notices alone.
struct Notices(Arc<dyn Progress>);

impl Progress for Notices {
    fn start(&self, _: &str, _: u64, _: &str) {}
    fn update(&self, _: u64, _: &str) {}
    fn finish(&self) {}
    fn notice(&self, line: &str) {
        self.0.notice(line);
    }
}

/// Handed to every long operation. Cheap to copy.
#[derive(Clone)]
pub struct Context {
    stop: Arc<AtomicBool>,
    progress: Arc<dyn Progress>,
    store: Option<Store>,
    plan: Arc<Plan>,
    /// Whether it was told that the store cannot be written.
    unkept: Arc<AtomicBool>,
    journal: Option<Arc<Journal>>,
    /// The lines that are told once.
    told: Arc<Mutex<HashSet<String>>>,
}

impl Context {
    /// A context that `stop` ends and that reports to `progress`.
    pub fn new(stop: Arc<AtomicBool>, progress: Arc<dyn Progress>) -> Self {
        Self {
            stop,
            progress,
            store: None,
            plan: Arc::default(),
            unkept: Arc::default(),
            journal: None,
            told: Arc::default(),
        }
    }

    /// Never stopped, reports to nobody: for tests and library use.
    pub fn silent() -> Self {
        Self::new(Arc::default(), Arc::new(Silent))
    }

    /// An [`Error::interrupted`] once the user asked to stop. Call it at least ten times a second.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            Err(Error::interrupted())
        } else {
            Ok(())
        }
    }

    /// The same context, with results kept in `store`.
    #[must_use]
    pub fn with_store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// The same context, in which what `plan` leaves is not computed.
    #[must_use]
    pub fn with_plan(mut self, plan: Plan) -> Self {
        self.plan = Arc::new(plan);
        self
    }

    /// The same context, with results kept and told nowhere: for what is tried and thrown away.
    #[must_use]
    pub fn without_store(mut self) -> Self {
        self.store = None;
        self.journal = None;
        self
    }

    /// The same context, with what is made told to `journal`.
    #[must_use]
    pub fn with_journal(mut self, journal: Arc<Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Who is told what is made, if anyone.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    /// The same context without bars; notices still come.
    #[must_use]
    pub fn without_bars(mut self) -> Self {
        self.progress = Arc::new(Notices(self.progress));
        self
    }

    /// Where results are kept, if anywhere.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// What is computed, and what is left.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the store keeps under `id`. An entry that is damaged or cannot be read is told and
    /// counts as absent: its result is computed anew.
    pub fn kept(&self, id: &Id) -> Option<Vec<u8>> {
        self.taken(self.store.as_ref()?.get(id))
    }

    /// How far the result `id` had come when a run that made it ended too early, as in
    /// [`Self::kept`].
    pub fn kept_state(&self, id: &Id) -> Option<Vec<u8>> {
        self.taken(self.store.as_ref()?.state(id))
    }

    fn taken(&self, found: Result<Option<Vec<u8>>>) -> Option<Vec<u8>> {
        found.unwrap_or_else(|error| {
            self.notice(format!("{error}: it is computed anew"));
            None
        })
    }

    /// Keeps a result in the store, if there is one, and forgets how far it had come. A store that
    /// cannot be written (a full disk, a folder of another user) is told once and is no error: the
    /// result itself is there. Whether it was kept.
    pub fn keep(&self, id: &Id, body: &[u8]) -> bool {
        let put = |store: &Store| store.put(id, body).and_then(|()| store.drop_state(id));
        self.written(put)
    }

    /// [`Self::kept`] of a result that was kept by [`Self::keep_json`]; none where it cannot be read.
    pub fn kept_json<T: DeserializeOwned>(&self, id: &Id) -> Option<T> {
        serde_json::from_slice(&self.kept(id)?).ok()
    }

    /// [`Self::keep`] of a result as JSON.
    pub fn keep_json<T: Serialize>(&self, id: &Id, result: &T) -> Result<()> {
        if self.store.is_some() {
            let bytes = serde_json::to_vec(result).map_err(|e| Error::new(e.to_string()))?;
            self.keep(id, &bytes);
        }
        Ok(())
    }

    /// Keeps how far the result `id` has come, as in [`Self::keep`].
    pub fn keep_state(&self, id: &Id, body: &[u8]) -> bool {
        self.written(|store| store.put_state(id, body))
    }

    fn written(&self, write: impl FnOnce(&Store) -> Result<()>) -> bool {
        match self.store.as_ref().map(write) {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                self.tell_unkept(&error);
                false
            }
            None => false,
        }
    }

    /// Tells, once, that the store cannot be written.
    pub fn tell_unkept(&self, error: &Error) {
        if !self.unkept.swap(true, Ordering::Relaxed) {
            self.notice(format!("the store cannot be written: {error}"));
        }
    }

    /// Where to report.
    pub fn progress(&self) -> &dyn Progress {
        self.progress.as_ref()
    }

    /// Tells the user something, one line.
    pub fn notice(&self, line: impl AsRef<str>) {
        self.progress.notice(line.as_ref());
    }

    /// The same, but each line once: for what many calls would repeat.
    pub fn notice_once(&self, line: impl AsRef<str>) {
        // A poisoned lock only means that a notice failed elsewhere; the set is whole.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(line.as_ref().to_string()) {
            drop(told);
            self.notice(line);
        }
    }
}
