//! Reading an archive that may come from anyone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use zip::{CompressionMethod, ZipArchive};

use super::{LeftOut, MANIFEST, MODULES, Manifest, RUN, STUDY, is_inside};
use crate::study::files::each_piece;
use crate::study::journal::RECIPES;
use crate::study::{Lock, Recipes, Record, Run};
use crate::{Error, Result, bail};

/// The largest manifest, lock, script or record that is read into memory.
const LONGEST: u64 = 256 << 20;

/// An archive whose names and manifest were looked at.
pub struct Pack {
    path: PathBuf,
    manifest: Manifest,
    archive: ZipArchive<File>,
}

impl Pack {
    /// Opens an archive. An error where a name in it leaves the folder it would be unpacked to,
    /// where something is no plain file, and where files and manifest do not agree.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path).map_err(|error| error.within(path.display()))
    }

    fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::new(e.to_string()))?;
        let mut head = Vec::new();
        (&file)
            .take(crate::input::LONGEST as u64)
            .read_to_end(&mut head)
            .map_err(|e| Error::new(e.to_string()))?;
        crate::input::check(&head)?;
        let length = file
            .metadata()
            .map_err(|e| Error::new(e.to_string()))?
            .len();
        let mut archive = ZipArchive::new(file).map_err(unreadable)?;
        let names = names(&mut archive, length)?;
        let mut text = Vec::new();
        let entry = archive.by_name(MANIFEST);
        let entry =
            entry.map_err(|_| Error::new(format!("no archive of a study: no {MANIFEST}")))?;
        entry
            .take(LONGEST)
            .read_to_end(&mut text)
            .map_err(|e| Error::new(e.to_string()).within(MANIFEST))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|e| Error::new(format!("{MANIFEST} is no manifest: {e}")))?;
        if manifest.pack != 1 {
            bail!("it has the layout {}, and this program knows 1", manifest.pack; hint: "a later version of tureen made it; take that one");
        }
        let listed: BTreeSet<&String> = manifest.files.keys().collect();
        if let Some(name) = names.iter().find(|name| !listed.contains(name)) {
            bail!("it holds {name}, which its manifest does not list");
        }
        if let Some(name) = listed.iter().find(|name| !names.contains(**name)) {
            bail!("{name} is not there, though its manifest lists it");
        }
        let places = manifest.left_out.iter().filter_map(|l| l.place.as_ref());
        if let Some(bad) = places.into_iter().find(|place| !is_inside(place)) {
            bail!("its manifest names {bad:?}, which is no path within it");
        }
        let in_study = manifest.script.starts_with(&format!("{STUDY}/"));
        if !in_study || !names.contains(&manifest.script) {
            bail!(
                "its manifest names {:?} as the script, which is not there",
                manifest.script
            );
        }
        Ok(Self {
            path: path.to_path_buf(),
            manifest,
            archive,
        })
    }

    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The record of the run that is in it.
    pub fn run(&mut self) -> Result<Run> {
        let name = format!("{RUN}/run.json");
        let text = self.text(&name)?;
        let record: Record = serde_json::from_str(&text)
            .map_err(|e| self.about(&name, format!("is no record of a run: {e}")))?;
        let own = &self.manifest.run;
        if Path::new(own).file_name() != Some(std::ffi::OsStr::new(own)) {
            return Err(self.about(own, "is no name of a run's folder"));
        }
        Ok(Run {
            folder: self.path.join(RUN).join(&self.manifest.run),
            record,
        })
    }

    /// How the values of the run in it came about.
    pub fn recipes(&mut self) -> Result<Recipes> {
        let name = format!("{RUN}/{RECIPES}");
        let text = self.text(&name)?;
        Recipes::parse(&text).map_err(|e| self.about(&name, e))
    }

    /// The lock of the study.
    pub fn lock(&mut self) -> Result<Lock> {
        let name = format!("{}.lock", self.manifest.script);
        let text = self.text(&name)?;
        serde_json::from_str(&text).map_err(|e| self.about(&name, format!("is no lock: {e}")))
    }

    /// Unpacks the study into `folder`, which is empty, holding every file against the manifest,
    /// those of the run too, which are not unpacked.
    pub fn unpack(&mut self, folder: &Path) -> Result<()> {
        let names: Vec<String> = self.manifest.files.keys().cloned().collect();
        for name in names {
            let mut out = match name.starts_with(&format!("{RUN}/")) {
                true => None,
                false => Some(created(&folder.join(&name))?),
            };
            self.copy(&name, |bytes| match &mut out {
                Some(out) => out.write_all(bytes),
                None => Ok(()),
            })?;
        }
        Ok(())
    }

    /// The script's path where the study was unpacked to `folder`.
    pub fn script(&self, folder: &Path) -> PathBuf {
        folder.join(&self.manifest.script)
    }

    /// Where modules of the search path are unpacked to.
    pub fn modules(folder: &Path) -> PathBuf {
        folder.join(MODULES)
    }

    /// Puts inputs that were left out into the unpacked study, where `given` has them at the same
    /// place from the script's folder on; what is still missing.
    pub fn complete(&self, folder: &Path, given: Option<&Path>) -> Result<Vec<&LeftOut>> {
        let script = Path::new(&self.manifest.script);
        let beside = script.parent().unwrap_or(Path::new(""));
        let mut missing = Vec::new();
        for left in &self.manifest.left_out {
            let Some(place) = &left.place else { continue };
            let inside = Path::new(place).strip_prefix(beside).ok();
            let found = given
                .zip(inside)
                .map(|(given, inside)| given.join(inside))
                .filter(|path| path.exists());
            match found {
                Some(found) => linked(&found, &folder.join(place))?,
                None => missing.push(left),
            }
        }
        Ok(missing)
    }

    fn text(&mut self, name: &str) -> Result<String> {
        let mut bytes = Vec::new();
        if !self.manifest.files.contains_key(name) {
            return Err(self.about(name, "is not in the archive"));
        }
        self.copy(name, |piece| {
            bytes.extend_from_slice(piece);
            match bytes.len() as u64 > LONGEST {
                true => Err(std::io::Error::other("is too long")),
                false => Ok(()),
            }
        })?;
        String::from_utf8(bytes).map_err(|_| self.about(name, "is no text"))
    }

    /// Hands on a file's content; an error where it is not what the manifest says.
    fn copy(&mut self, name: &str, mut to: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut outcome = Ok(());
        let entry = self.archive.by_name(name).map_err(unreadable);
        let read = entry.map(|entry| {
            each_piece(entry, |bytes| {
                hasher.update(bytes);
                if outcome.is_ok() {
                    outcome = to(bytes);
                }
            })
        });
        let changed = |why: &str| {
            Error::new(format!(
                "{}: {name} has changed since it was packed{why}",
                self.path.display()
            ))
            .hint("get the archive again, or unzip it and run the script inside as your own")
        };
        match read? {
            Ok(()) => {}
            // The zip's own checksum says the same with fewer words.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(changed(""));
            }
            Err(error) => return Err(Error::at_path(&self.path, error)),
        }
        outcome.map_err(|e| Error::new(e.to_string()).within(name))?;
        let found = hasher.finalize().to_hex();
        match self.manifest.files.get(name) {
            Some(packed) if packed == found.as_str() => Ok(()),
            packed => {
                let packed = packed.map_or("", String::as_str);
                let short = |hash: &str| hash.chars().take(8).collect::<String>();
                let why = format!(": {} then, {} now", short(packed), short(&found));
                Err(changed(&why))
            }
        }
    }

    fn about(&self, name: &str, what: impl std::fmt::Display) -> Error {
        Error::new(format!("{}: {name} {what}", self.path.display()))
    }
}

/// The names of an archive's files, if all of them are plain files that stay inside, none comes
/// twice, and together they are no larger than the archive.
fn names(archive: &mut ZipArchive<File>, length: u64) -> Result<BTreeSet<String>> {
    let (mut names, mut folded, mut total) = (BTreeSet::new(), BTreeSet::new(), 0u64);
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(unreadable)?;
        let name = entry.name().map_err(unreadable)?.into_owned();
        // Tools that pack anew put folders in; files make their own.
        if entry.is_dir() && is_inside(name.trim_end_matches('/')) {
            continue;
        }
        if !is_inside(&name) {
            bail!("it holds {name:?}, which is no path within it; nothing was unpacked");
        }
        if entry.is_symlink() || !entry.is_file() || entry.encrypted() {
            bail!("it holds {name}, which is no plain file; nothing was unpacked");
        }
        if entry.compression() != CompressionMethod::Stored {
            bail!("{name} is compressed, which tureen pack never does"; hint: "zip -0 stores files as they are");
        }
        total = total.saturating_add(entry.size());
        // Where names differ by case alone one would overwrite the other on some systems.
        if !folded.insert(name.to_lowercase()) {
            bail!("it holds {name} twice; nothing was unpacked");
        }
        if name != MANIFEST {
            names.insert(name);
        }
    }
    if total > length {
        bail!("its files would take {total} bytes, more than it has; nothing was unpacked");
    }
    Ok(names)
}

fn unreadable(error: zip::result::ZipError) -> Error {
    Error::new(format!("not a readable archive: {error}"))
}

/// A new file with the folders above it.
fn created(path: &Path) -> Result<File> {
    let failed = |error: std::io::Error| Error::at_path(path, error);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    File::create_new(path).map_err(failed)
}

/// Makes what lies at `from` be found at `to`, without copying it where that can be.
fn linked(from: &Path, to: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::at_path(from, error);
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let from = from.canonicalize().map_err(failed)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(&from, to).map_err(failed)?;
    #[cfg(not(unix))]
    for (name, path) in crate::study::files::tree(&from, crate::study::files::Links::Followed)? {
        let to = if name.is_empty() {
            to.to_path_buf()
        } else {
            to.join(&name)
        };
        let mut out = created(&to)?;
        let mut file = File::open(&path).map_err(failed)?;
        std::io::copy(&mut file, &mut out).map_err(failed)?;
    }
    Ok(())
}
