//! Making an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use super::archive::Archive;
use super::{LeftOut, MANIFEST, MODULES, Manifest, ON_PATH, RUN, STUDY, is_inside};
use crate::study::files::{Links, files_id, slashed, tree, write_file};
use crate::study::journal::{METRICS, RECIPES};
use crate::study::{Id, Lock, Run, script_hash};
use crate::text::unmarked_bytes;
use crate::{Error, Result, bail};

/// What goes in of a run's folder however large it is.
const RECORDS: [&str; 6] = [
    "run.json",
    "script.rhai",
    "log.txt",
    "report.html",
    METRICS,
    RECIPES,
];

/// Why something large is left out.
const TOO_LARGE: &str = "it is larger than the limit";

/// What goes into an archive.
pub struct Packing<'a> {
    /// The script.
    pub script: &'a Path,
    /// The run of it whose records go in.
    pub run: &'a Run,
    /// What the run read, pinned.
    pub lock: &'a Lock,
    /// The largest input, and the largest file of the run, that goes in.
    pub limit: u64,
    /// The folders of `TUREEN_PATH`.
    pub module_path: &'a [PathBuf],
    /// Whether an input of this kind and name comes with the program.
    pub carried: &'a dyn Fn(&str, &str) -> bool,
}

/// An archive that was made.
#[derive(Debug, Clone)]
pub struct Packed {
    /// What it holds.
    pub manifest: Manifest,
    /// The id of its manifest, and so of all it holds.
    pub id: Id,
    /// Its size.
    pub bytes: u64,
}

impl Packing<'_> {
    /// Writes the archive to `out`. An error where the script, a module or an input is not as the
    /// run read it.
    pub fn write(&self, out: &Path) -> Result<Packed> {
        let mut chosen = self.chosen()?;
        let lock = self.lock.text()?;
        let mut made = None;
        write_file(out, |file| {
            let mut archive = Archive::new(&mut *file);
            // Names in order, the lock in its place among them.
            chosen.files.insert(chosen.lock.clone(), PathBuf::new());
            for (name, path) in &chosen.files {
                match *name == chosen.lock {
                    true => archive.add(name, lock.as_bytes())?,
                    false => {
                        let opened = File::open(path).map_err(|e| Error::at_path(path, e))?;
                        archive.add(name, opened)?;
                    }
                }
            }
            let manifest = Manifest {
                pack: 1,
                version: env!("CARGO_PKG_VERSION").to_string(),
                script: chosen.script.clone(),
                run: self.run.name(),
                files: std::mem::take(&mut archive.hashes),
                left_out: std::mem::take(&mut chosen.left_out),
            };
            let text = serde_json::to_string_pretty(&manifest);
            let text = text.map_err(|e| Error::new(e.to_string()))? + "\n";
            archive.add(MANIFEST, text.as_bytes())?;
            let bytes = archive.finish()?;
            made = Some(Packed {
                id: Id::of_content("pack", text.as_bytes()),
                manifest,
                bytes,
            });
            Ok(())
        })?;
        made.ok_or_else(|| Error::at_path(out, "was not written"))
    }

    /// The files that go in, by their names in the archive.
    fn chosen(&self) -> Result<Chosen> {
        let text = crate::input::read(self.script)?;
        if script_hash(&text) != self.run.record.script_hash {
            bail!("{} has changed since {}", self.script.display(), self.run.name(); hint: "run it again, then pack it");
        }
        let (modules, inputs) = (self.modules()?, self.inputs()?);
        // What the script reaches above its folder decides how deep it lies in the archive.
        let local = |found: &Found| match found {
            Found::Here { name, .. } => Some(above(name)),
            Found::Elsewhere { .. } => None,
        };
        let depth = modules.iter().chain(&inputs).filter_map(local).max();
        let folder = self.folder_in_archive(depth.unwrap_or(0))?;
        let script = self.script.file_name().unwrap_or_default();
        let script = format!("{folder}/{}", script.to_string_lossy());
        let mut chosen = Chosen {
            lock: format!("{script}.lock"),
            files: BTreeMap::from([(script.clone(), self.script.to_path_buf())]),
            left_out: Vec::new(),
            script,
        };
        for found in modules.into_iter().chain(inputs) {
            self.take(found, &folder, &mut chosen)?;
        }
        self.records(&mut chosen)?;
        Ok(chosen)
    }

    /// The folder of the script in the archive, where files up to `depth` folders above it are
    /// reached.
    fn folder_in_archive(&self, depth: usize) -> Result<String> {
        let whole = std::path::absolute(self.script).map_err(|e| Error::at_path(self.script, e))?;
        let whole = normal(whole.parent().unwrap_or(Path::new("")));
        let names: Vec<String> = whole
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            })
            .collect();
        let last = &names[names.len().saturating_sub(depth)..];
        let parts = [STUDY].into_iter().chain(last.iter().map(String::as_str));
        Ok(parts.collect::<Vec<_>>().join("/"))
    }

    fn folder(&self) -> &Path {
        self.script.parent().unwrap_or(Path::new(""))
    }

    fn modules(&self) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for (name, hash) in &self.run.record.imports {
            let on_path = name.strip_prefix(ON_PATH);
            let path = match on_path {
                Some(own) => {
                    let files = self.module_path.iter().map(|folder| folder.join(own));
                    files.into_iter().find(|file| file.is_file())
                }
                None => Some(self.folder().join(name)).filter(|file| file.is_file()),
            };
            let Some(path) = path else {
                if (self.carried)("module", name) {
                    continue;
                }
                bail!("the module {name}, which {} imported, is no more", self.run.name(); hint: "bring it back, or run the study again");
            };
            let bytes = crate::input::read(&path)?;
            if blake3::hash(unmarked_bytes(&bytes)).to_hex().as_str() != hash {
                return Err(self.changed("module", name));
            }
            all.push(match on_path {
                Some(own) => Found::Here {
                    what: format!("module {name}"),
                    name: own.to_string(),
                    folder: Some(MODULES),
                    id: hash.clone(),
                    path,
                },
                None => Found::local("module", name, hash, path),
            });
        }
        Ok(all)
    }

    fn inputs(&self) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for (input, id) in &self.run.record.inputs {
            let (kind, name) = input.split_once(' ').unwrap_or(("file", input));
            if (self.carried)(kind, name) {
                continue;
            }
            let path = self.folder().join(name);
            if name.starts_with("hub:") || !path.exists() {
                // What else has no repository's name was a file or a folder.
                if kind == "file" || kind == "dataset" && !name.starts_with("hub:") {
                    bail!("the {kind} {name}, which {} read, is no more", self.run.name(); hint: "bring it back, or run the study again");
                }
                all.push(Found::Elsewhere {
                    what: input.clone(),
                    id: id.clone(),
                });
                continue;
            }
            // A model goes by the hash of what it is made of, which is held against the lock when it runs.
            if kind != "model" && files_id(&path)?.as_str() != id {
                return Err(self.changed(kind, name));
            }
            all.push(Found::local(kind, name, id, path));
        }
        Ok(all)
    }

    fn changed(&self, kind: &str, name: &str) -> Error {
        let run = self.run.name();
        Error::new(format!("the {kind} {name} has changed since {run} read it"))
            .hint("bring it back, or run the study again and pack that run")
    }

    /// Takes a module or an input in, or says why not.
    fn take(&self, found: Found, folder: &str, chosen: &mut Chosen) -> Result<()> {
        let (what, id, name, path, own) = match found {
            Found::Elsewhere { what, id } => {
                let why = "it comes from the hub".into();
                chosen.leave_out(what, id, None, None, why);
                return Ok(());
            }
            Found::Here {
                what,
                id,
                name,
                path,
                folder,
            } => (what, id, name, path, folder),
        };
        if Path::new(&name).is_absolute() {
            let why = "its path is absolute; written relative to the script it could go in".into();
            chosen.leave_out(what, id, None, None, why);
            return Ok(());
        }
        let place = slashed(&normal(&Path::new(own.unwrap_or(folder)).join(&name)));
        let files = tree(&path, Links::Followed)?;
        let bytes = files
            .iter()
            .map(|(_, path)| size(path))
            .sum::<Result<u64>>()?;
        let named = |(inside, path): (String, PathBuf)| match inside.as_str() {
            "" => (place.clone(), path),
            inside => (format!("{place}/{inside}"), path),
        };
        let files: Vec<(String, PathBuf)> = files.into_iter().map(named).collect();
        if let Some((odd, _)) = files.iter().find(|(name, _)| !is_inside(name)) {
            let why = format!("{odd:?} is no name of a file on every system");
            chosen.leave_out(what, id, Some(bytes), None, why);
        } else if bytes > self.limit && !what.starts_with("module ") {
            let why = TOO_LARGE.to_string();
            chosen.leave_out(what, id, Some(bytes), Some(place), why);
        } else {
            chosen.files.extend(files);
        }
        Ok(())
    }

    /// What the run left in its folder.
    fn records(&self, chosen: &mut Chosen) -> Result<()> {
        for (name, path) in tree(&self.run.folder, Links::Left)? {
            let bytes = size(&path)?;
            let record = RECORDS.contains(&name.as_str());
            let place = format!("{RUN}/{name}");
            let why = match is_inside(&place) {
                false => format!("{name:?} is no name of a file on every system"),
                true if bytes > self.limit && !record => TOO_LARGE.to_string(),
                true => {
                    chosen.files.insert(place, path);
                    continue;
                }
            };
            let id = files_id(&path)?.as_str().to_string();
            chosen.leave_out(format!("run {name}"), id, Some(bytes), None, why);
        }
        Ok(())
    }
}

/// Where a module or an input is.
enum Found {
    Here {
        what: String,
        id: String,
        /// Its path from the script, or in its own folder of the archive.
        name: String,
        path: PathBuf,
        folder: Option<&'static str>,
    },
    Elsewhere {
        what: String,
        id: String,
    },
}

impl Found {
    fn local(kind: &str, name: &str, id: &str, path: PathBuf) -> Self {
        Self::Here {
            what: format!("{kind} {name}"),
            id: id.to_string(),
            name: name.to_string(),
            path,
            folder: None,
        }
    }
}

/// What goes in and what does not.
struct Chosen {
    script: String,
    lock: String,
    files: BTreeMap<String, PathBuf>,
    left_out: Vec<LeftOut>,
}

impl Chosen {
    fn leave_out(
        &mut self,
        what: String,
        id: String,
        bytes: Option<u64>,
        place: Option<String>,
        why: String,
    ) {
        self.left_out.push(LeftOut {
            what,
            id,
            bytes,
            place,
            why,
        });
    }
}

fn size(path: &Path) -> Result<u64> {
    let meta = path.metadata().map_err(|e| Error::at_path(path, e))?;
    Ok(meta.len())
}

/// How many folders a relative path goes up at most.
fn above(path: &str) -> usize {
    let (mut depth, mut highest) = (0i64, 0i64);
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
        highest = highest.min(depth);
    }
    highest.unsigned_abs() as usize
}

/// A path without `.` and `..`, by its text alone.
fn normal(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}
