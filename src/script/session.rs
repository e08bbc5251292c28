//! What a running script shares with its natives: where it is, what it may touch, whom it tells.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rhai::NativeCallContext;

use super::limits::Limits;
use super::overwriting::Touched;
use super::watch::{GiveUp, Watch};
use crate::context::{Progress, Silent};
use crate::report::Screen;
use crate::study::{Extent, Journal, Lock, Plan, Store, disk, files};
use crate::{Context, Error, Result, bail, nearest};

/// How the code came to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// A script file.
    Script {
        /// The file.
        path: PathBuf,
    },
    /// Typed line by line.
    Repl,
    /// Given on the command line (`-e`).
    Eval,
}

/// What a session starts with. The default is silent, in the current folder, with nothing allowed
/// beyond the rule of paths.
pub struct Setup {
    /// How the code is run; [`Mode::Eval`].
    pub mode: Mode,
    /// Raised to stop the run.
    pub stop: Arc<AtomicBool>,
    /// Listens to bars and notices.
    pub progress: Arc<dyn Progress>,
    /// Where `print` goes; standard output.
    pub output: Box<dyn Write>,
    /// The folder that what the script writes goes under; the current folder.
    pub write_folder: PathBuf,
    /// Values given by `--set name=value`.
    pub params: BTreeMap<String, String>,
    /// Further files and folders the script may read (`--allow-read`).
    pub allow_read: Vec<PathBuf>,
    /// Further files and folders the script may write (`--allow-write`).
    pub allow_write: Vec<PathBuf>,
    /// Folders where imports are looked for after the script's own (`TUREEN_PATH`).
    pub module_path: Vec<PathBuf>,
    /// Where tensors live; the CPU.
    pub device: candle_core::Device,
    /// Where results are kept and taken from; nowhere.
    pub store: Option<Store>,
    /// What is computed; all.
    pub extent: Extent,
    /// What the script may read, and nothing else; anything.
    pub lock: Option<Lock>,
    /// The folder beyond which nothing is read, whatever the script names: of a packed study.
    pub sealed: Option<PathBuf>,
    /// Told what is made, and how; nobody.
    pub journal: Option<Arc<Journal>>,
    /// What figures are drawn on, asked anew each time; no terminal.
    pub screen: fn() -> Screen,
    /// What the script may take of the machine.
    pub limits: Limits,
    /// Ends the program where a limit of time or memory is passed and nothing stops; nothing does.
    pub give_up: Option<GiveUp>,
    /// Whether names of the hub's repositories that a script computed are looked for there; yes.
    pub allow_hub: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            mode: Mode::Eval,
            stop: Arc::default(),
            progress: Arc::new(Silent),
            output: Box::new(std::io::stdout()),
            write_folder: PathBuf::from("."),
            params: BTreeMap::new(),
            allow_read: Vec::new(),
            allow_write: Vec::new(),
            module_path: Vec::new(),
            device: candle_core::Device::Cpu,
            store: None,
            extent: Extent::All,
            lock: None,
            sealed: None,
            journal: None,
            screen: Screen::default,
            limits: Limits::default(),
            give_up: None,
            allow_hub: true,
        }
    }
}

/// A module file that the script imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The file, or `stdlib/NAME.rhai` for one the binary carries.
    pub path: PathBuf,
    /// What records and locks call it, the same on every machine: relative to the script's folder,
    /// behind `$TUREEN_PATH` where it was found there, or `stdlib/NAME.rhai`.
    pub name: String,
    /// The hash (blake3, hex) of its text.
    pub hash: String,
}

/// The state of one run. Cheap to copy: all copies are the same session.
#[derive(Clone)]
pub struct Session(Rc<State>);

pub(super) struct State {
    setup: Setup,
    context: Context,
    watch: Watch,
    write_folder: RefCell<PathBuf>,
    writer: RefCell<Box<dyn Write>>,
    seed: Cell<u64>,
    asked: RefCell<BTreeSet<String>>,
    values: RefCell<BTreeMap<String, String>>,
    pub(super) literals: RefCell<BTreeSet<String>>,
    imports: RefCell<Vec<Import>>,
    pub(super) inputs: RefCell<BTreeMap<String, String>>,
    pub(super) models: RefCell<BTreeMap<String, BTreeSet<String>>>,
    pub(super) touched: RefCell<Touched>,
    log: RefCell<Option<std::fs::File>>,
    told: RefCell<BTreeSet<String>>,
    extensions: RefCell<BTreeMap<TypeId, Rc<dyn Any>>>,
}

impl Session {
    /// A session that starts with `setup`.
    pub fn new(mut setup: Setup) -> Self {
        let context = Context::new(setup.stop.clone(), setup.progress.clone());
        let context = context.with_plan(Plan::new(setup.extent));
        let context = match setup.store.clone() {
            Some(store) => context.with_store(store),
            None => context,
        };
        let context = match setup.journal.clone() {
            Some(journal) => context.with_journal(journal),
            None => context,
        };
        let output = std::mem::replace(&mut setup.output, Box::new(std::io::sink()));
        let watch = Watch::new(&setup.limits, &setup.stop, setup.give_up);
        Self(Rc::new(State {
            context,
            watch,
            write_folder: RefCell::new(setup.write_folder.clone()),
            writer: RefCell::new(output),
            seed: Cell::new(0),
            asked: RefCell::default(),
            values: RefCell::default(),
            literals: RefCell::default(),
            imports: RefCell::default(),
            inputs: RefCell::default(),
            models: RefCell::default(),
            touched: RefCell::default(),
            log: RefCell::default(),
            told: RefCell::default(),
            extensions: RefCell::default(),
            setup,
        }))
    }

    /// The session a native is called in.
    pub fn of(context: &NativeCallContext) -> Result<Self> {
        context
            .tag()
            .and_then(|tag| tag.clone().try_cast::<Self>())
            .ok_or_else(|| Error::new("this function needs a session to be called in"))
    }

    pub(super) fn state(&self) -> &State {
        &self.0
    }

    /// What the session started with (its `output` is taken: use [`Session::print`]).
    pub fn setup(&self) -> &Setup {
        &self.0.setup
    }

    /// Stop flag and progress, for long operations.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// Whether the user asked to stop, or a limit did.
    pub fn stopped(&self) -> bool {
        self.0.setup.stop.load(Ordering::Relaxed)
    }

    /// The limit that stopped what ran, if one did.
    pub(super) fn stopped_by(&self) -> Option<Error> {
        self.0.watch.reason()
    }

    /// Why the script must stop here, if so; asked before each of its operations.
    pub(super) fn step(&self) -> Option<Error> {
        self.0.watch.step()
    }

    /// Runs code under the limits, which begin anew.
    pub(super) fn limited<T>(&self, run: impl FnOnce() -> T) -> T {
        self.0.watch.begin();
        let result = run();
        self.0.watch.end();
        result
    }

    /// Forgets an earlier request to stop: before the next input of an interactive session.
    pub fn resume(&self) {
        self.0.setup.stop.store(false, Ordering::Relaxed);
    }

    /// What figures are drawn on.
    pub fn screen(&self) -> Screen {
        (self.0.setup.screen)()
    }

    /// The folder relative paths start from: the script's own, else the current one.
    pub fn folder(&self) -> &Path {
        match &self.0.setup.mode {
            Mode::Script { path } => match path.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            },
            Mode::Repl | Mode::Eval => Path::new("."),
        }
    }

    /// The folder that what the script writes goes under.
    pub fn write_folder(&self) -> PathBuf {
        self.0.write_folder.borrow().clone()
    }

    /// Moves what the script writes from now on, such as into its run folder.
    pub fn set_write_folder(&self, folder: impl Into<PathBuf>) {
        self.0.write_folder.replace(folder.into());
    }

    /// The study's seed; 0 until a study sets it.
    pub fn seed(&self) -> u64 {
        self.0.seed.get()
    }

    /// Sets the study's seed.
    pub fn set_seed(&self, seed: u64) {
        self.0.seed.set(seed);
    }

    /// Keeps what is printed from now on in a file, too.
    pub fn keep_output(&self, path: &Path) -> Result<()> {
        let file = files::fresh(path)?;
        self.0.log.replace(Some(file));
        Ok(())
    }

    /// One line (or several) of the script's own output.
    pub fn print(&self, text: &str) {
        if let Some(log) = &mut *self.0.log.borrow_mut() {
            match disk::take(text.len() as u64 + 1) {
                // The log is a copy: where the disk is full, the output itself still comes.
                Ok(()) => {
                    let _ = writeln!(log, "{text}");
                }
                Err(error) => self.0.watch.halt(error),
            }
        }
        let mut writer = self.0.writer.borrow_mut();
        // A reader that went away (`| head`) ends the run rather than failing it.
        if writeln!(writer, "{text}")
            .and_then(|()| writer.flush())
            .is_err()
        {
            self.0.setup.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Tells the user something, one line, on standard error.
    pub fn notice(&self, line: impl AsRef<str>) {
        self.0.context.notice(line);
    }

    /// The same, but each line once a session: for what a loop would repeat.
    pub fn notice_once(&self, line: impl AsRef<str>) {
        if self.0.told.borrow_mut().insert(line.as_ref().to_string()) {
            self.notice(line);
        }
    }

    /// The text given by `--set name=...`, if any.
    pub fn param(&self, name: &str) -> Option<String> {
        self.0.asked.borrow_mut().insert(name.to_string());
        self.0.setup.params.get(name).cloned()
    }

    /// Notes the value that a parameter has, as `--set` would give it.
    pub(super) fn note_param(&self, name: &str, value: String) {
        self.0.values.borrow_mut().insert(name.to_string(), value);
    }

    /// The parameters that the script asked for, with their values, given or default.
    pub fn params(&self) -> BTreeMap<String, String> {
        self.0.values.borrow().clone()
    }

    /// An error if `--set` named a parameter that the script never asked for.
    pub fn check_params(&self) -> Result<()> {
        let asked = self.0.asked.borrow();
        for name in self.0.setup.params.keys() {
            if asked.contains(name) {
                continue;
            }
            match nearest(name, asked.iter().map(String::as_str)) {
                Some(near) => {
                    bail!("--set {name}: the script has no such parameter"; hint: "did you mean {near}?")
                }
                None => bail!(
                    "--set {name}: the script has no such parameter; it has {}",
                    listed(asked.iter().map(String::as_str))
                ),
            }
        }
        Ok(())
    }

    /// The modules imported so far, in order.
    pub fn imports(&self) -> Vec<Import> {
        self.0.imports.borrow().clone()
    }

    pub(super) fn record_import(&self, import: Import) {
        let mut imports = self.0.imports.borrow_mut();
        if !imports.contains(&import) {
            imports.push(import);
        }
    }

    /// The session's one value of type `T`, made by its default when first asked for: where a
    /// topic keeps state of its own (a `RefCell` inside, where it changes).
    pub fn extension<T: Default + 'static>(&self) -> Rc<T> {
        let found = self.0.extensions.borrow().get(&TypeId::of::<T>()).cloned();
        let value = found.unwrap_or_else(|| {
            let made: Rc<dyn Any> = Rc::new(T::default());
            self.0
                .extensions
                .borrow_mut()
                .insert(TypeId::of::<T>(), made.clone());
            made
        });
        // Stored under its own type's id, so the type always matches.
        value.downcast().unwrap_or_default()
    }
}

/// `a, b, c`, or `none`.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_one_value_a_session() {
        let session = Session::new(Setup::default());
        session.extension::<Cell<u32>>().set(7);
        assert_eq!(session.clone().extension::<Cell<u32>>().get(), 7);
    }

    #[test]
    fn a_parameter_nobody_asked_for_is_an_error() {
        let setup = Setup {
            params: [("epoch".to_string(), "5".to_string())].into(),
            ..Setup::default()
        };
        let session = Session::new(setup);
        session.param("epochs");
        let error = session.check_params().unwrap_err().to_string();
        assert_eq!(
            error,
            "--set epoch: the script has no such parameter; did you mean epochs?"
        );
    }

    #[test]
    fn a_script_without_a_folder_is_in_the_current_one() {
        let mode = Mode::Script {
            path: "study.rhai".into(),
        };
        let session = Session::new(Setup {
            mode,
            ..Setup::default()
        });
        assert_eq!(session.folder(), Path::new("."));
    }
}
