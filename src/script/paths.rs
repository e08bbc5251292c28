//! Which files a script may touch.
//!
//! A path that stands in the script as a literal, or came from `--set`, may be read wherever it
//! points; a path that the script computed stays inside the script's folder and the folder it
//! writes to, through links too. What is written stays under the latter. `--allow-read` and
//! `--allow-write` widen. Only files and folders are read, no devices and no pipes, which may have
//! no end.
//!
//! A script can make no links and start no programs, so what was checked stays so while it runs,
//! unless another program of the user changes it.

use std::path::{Component, Path, PathBuf};

use super::links::stray;
use super::{Mode, Session};
use crate::study::{Extent, OWN_FILES};
use crate::{About, Error, Result, bail};

impl Session {
    /// The file or folder to read for `path` as the script wrote it: relative to the script, else
    /// to the folder it writes to where only that has it.
    pub fn read_path(&self, path: &str) -> Result<PathBuf> {
        if path.is_empty() {
            bail!("the path is empty");
        }
        let inside = self.folder().join(path);
        let written = self.write_folder().join(path);
        let found = if !inside.exists() && written.exists() {
            written
        } else {
            inside
        };
        self.check_read(path, &found)?;
        plain(path, &found)?;
        Ok(found)
    }

    /// The file to read for `path`; an error where there is none.
    pub(super) fn read_file(&self, path: &str) -> Result<PathBuf> {
        let file = self.read_path(path)?;
        match file.exists() {
            true => Ok(file),
            false => Err(self
                .or_near_file(path, Error::new(format!("{path}: no such file")))
                .about(About::Text(path.into()))),
        }
    }

    /// Why there is nothing to read at `path`, if so.
    pub(super) fn missing_file(&self, path: &str) -> Option<Error> {
        self.read_file(path).err()
    }

    /// An error unless the script, which wrote `path`, may read the `file` this means.
    pub(super) fn check_read(&self, path: &str, file: &Path) -> Result<()> {
        if let Some(sealed) = &self.setup().sealed {
            return self.check_sealed(path, file, sealed);
        }
        if self.named(path) {
            return Ok(());
        }
        let written = self.write_folder();
        let mut allowed = vec![self.folder(), &*written];
        allowed.extend(self.setup().allow_read.iter().map(PathBuf::as_path));
        if allowed.iter().any(|folder| within(file, folder)) {
            let inside = |target: &Path| allowed.iter().any(|folder| within(target, folder));
            return match stray(file, &inside)? {
                Some(link) => {
                    bail!("{path}: the link {} leads out of what a computed path may read", link.display();
                    hint: "write the path as a literal, or run with --allow-read {}", parent_of(&link.canonicalize().unwrap_or(link)))
                }
                None => Ok(()),
            };
        }
        bail!("{path}: a computed path outside the script's folder may not be read";
            hint: "write it as a literal, or run with --allow-read {}", parent_of(file))
    }

    /// An error unless a packed study may read the `file` that it calls `path`.
    fn check_sealed(&self, path: &str, file: &Path, sealed: &Path) -> Result<()> {
        if within(file, sealed)
            || within(file, &self.write_folder())
            || self.setup().allow_read.iter().any(|a| within(file, a))
        {
            return Ok(());
        }
        bail!("{path}: a packed study reads only what its archive holds";
            hint: "--allow-read {} lets it read more", parent_of(file))
    }

    /// Whether this folder, which neither the script nor its user named, may be read: anywhere but
    /// in a packed study.
    pub(super) fn may_follow(&self, folder: &Path) -> bool {
        let sealed = self.setup().sealed.as_deref();
        let path = || folder.display().to_string();
        sealed.is_none_or(|sealed| self.check_sealed(&path(), folder, sealed).is_ok())
    }

    /// The file or folder to write for `path` as the script wrote it: under the folder that the
    /// script writes to. Makes no folders.
    pub fn write_path(&self, path: &str) -> Result<PathBuf> {
        if path.is_empty() {
            bail!("the path is empty");
        }
        let folder = self.write_folder();
        let target = folder.join(path);
        let mut allowed = vec![&*folder];
        allowed.extend(self.setup().allow_write.iter().map(PathBuf::as_path));
        let inside = |target: &Path| allowed.iter().any(|folder| within(target, folder));
        if inside(&target) {
            self.check_free(path, &target)?;
            return match stray(&target, &inside)? {
                Some(link) => {
                    bail!("{path}: the link {} leads out of what a script may write", link.display();
                    hint: "remove it, or write elsewhere")
                }
                // A dry run writes nothing but aside.
                None if self.context().plan().extent() == Extent::Nothing => {
                    let plain = target
                        .components()
                        .filter(|c| matches!(c, Component::Normal(_)));
                    Ok(match within(&target, &folder) {
                        true => target,
                        false => plain.fold(folder.join("elsewhere"), |at, part| at.join(part)),
                    })
                }
                None => Ok(target),
            };
        }
        bail!("{path}: a script writes only under {}", self.write_folder().display();
            hint: "use a path inside it, or run with --allow-write {}", parent_of(&target))
    }

    /// An error where the run itself keeps its record at `target`.
    fn check_free(&self, path: &str, target: &Path) -> Result<()> {
        let Mode::Script { .. } = self.setup().mode else {
            return Ok(());
        };
        let own = |name: &&&str| resolved(target) == resolved(&self.write_folder().join(name));
        match OWN_FILES.iter().find(own) {
            Some(name) => {
                bail!("{path}: {name} is the run's own"; hint: "write to another name")
            }
            None => Ok(()),
        }
    }

    /// An error where a script computed the name of a repository, which the hub would learn.
    pub(super) fn check_hub(&self, name: &str) -> Result<()> {
        let script = matches!(self.setup().mode, Mode::Script { .. });
        if !script || self.setup().allow_hub || self.named(name) {
            return Ok(());
        }
        bail!("{name}: a computed name is not looked for on the hub";
            hint: "write it as a literal, or run with --allow-hub")
    }

    /// Lets these paths, which the user named elsewhere than in the code, be read.
    pub fn allow_names(&self, names: impl IntoIterator<Item = String>) {
        self.name_literals(names);
    }

    /// Lets the strings that stand in the code as literals be read as paths.
    pub(super) fn name_literals(&self, literals: impl IntoIterator<Item = String>) {
        self.state().literals.borrow_mut().extend(literals);
    }

    fn named(&self, path: &str) -> bool {
        self.state().literals.borrow().contains(path)
            || self.setup().params.values().any(|value| value == path)
    }
}

/// An error where `file` is there and neither a file nor a folder.
pub(super) fn plain(path: &str, file: &Path) -> Result<()> {
    match file.metadata() {
        Ok(meta) if !meta.is_file() && !meta.is_dir() => {
            bail!("{path}: is neither a file nor a folder"; hint: "devices and pipes are not read")
        }
        _ => Ok(()),
    }
}

/// Whether `path` stays inside `folder`, links followed as far as they exist.
fn within(path: &Path, folder: &Path) -> bool {
    match (resolved(path), resolved(folder)) {
        (Some(path), Some(folder)) => path.starts_with(folder),
        _ => false,
    }
}

/// The absolute path without links and `..`; the part that does not exist yet is kept as it is.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut real = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                real.pop();
            }
            Component::CurDir => {}
            part => {
                real.push(part);
                if let Ok(followed) = real.canonicalize() {
                    real = followed;
                } else if real.is_symlink() {
                    // A link to nowhere: writing through it would create its target.
                    return None;
                }
            }
        }
    }
    Some(real)
}

fn parent_of(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{Mode, Setup};
    use super::*;

    fn session(folder: &Path) -> Session {
        Session::new(Setup {
            mode: Mode::Script {
                path: folder.join("study.rhai"),
            },
            write_folder: folder.join("run"),
            ..Setup::default()
        })
    }

    #[test]
    fn reading_follows_the_script_and_literals() {
        let folder = tempfile::tempdir().unwrap();
        let session = session(folder.path());
        assert_eq!(
            session.read_path("a.txt").unwrap(),
            folder.path().join("a.txt")
        );
        assert!(session.read_path("../x/a.txt").is_err());
        assert!(session.read_path("/etc/hostname").is_err());
        session.name_literals(["../x/a.txt".to_string()]);
        assert!(session.read_path("../x/a.txt").is_ok());
    }

    #[test]
    fn a_packed_study_reads_nothing_outside_its_folder_though_it_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("study");
        let session = Session::new(Setup {
            mode: Mode::Script {
                path: inside.join("sub/study.rhai"),
            },
            write_folder: folder.path().join("run"),
            allow_read: vec![folder.path().join("given")],
            sealed: Some(inside.clone()),
            ..Setup::default()
        });
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        let out = ["../../x.csv", "/etc/hostname", "x/../../../x.csv"];
        session.name_literals(out.iter().map(|path| (*path).to_string()));
        for path in out {
            let told = session.read_path(path).unwrap_err().to_string();
            assert!(told.contains("only what its archive holds"), "{told}");
        }
        for path in ["x.csv", "../x.csv", "../../given/x.csv", "../../run/x.csv"] {
            assert!(session.read_path(path).is_ok(), "{path}");
        }
        assert!(session.may_follow(&inside) && !session.may_follow(folder.path()));
    }

    #[test]
    fn a_missing_file_names_the_nearest_or_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
        let session = session(folder.path());
        assert!(session.missing_file("notes.txt").is_none());
        let told = |path: &str| session.missing_file(path).unwrap().to_string();
        assert_eq!(
            told("nots.txt"),
            "nots.txt: no such file; did you mean \"notes.txt\"?"
        );
        assert_eq!(
            told("grades.csv"),
            format!(
                "grades.csv: no such file; it is looked for in {}",
                folder.path().display()
            )
        );
    }

    #[test]
    fn writing_stays_under_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let session = session(folder.path());
        let target = session.write_path("out/a").unwrap();
        assert_eq!(target, folder.path().join("run/out/a"));
        for escape in ["../a", "/tmp/a", "out/../../a", ""] {
            assert!(session.write_path(escape).is_err(), "{escape}");
        }
        let error = session.write_path("../a").unwrap_err().to_string();
        assert!(error.contains("--allow-write"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_link_is_no_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        std::fs::create_dir(&run).unwrap();
        std::os::unix::fs::symlink("/tmp", run.join("link")).unwrap();
        std::os::unix::fs::symlink("/nonexistent/x", run.join("dangling")).unwrap();
        let session = session(folder.path());
        assert!(session.write_path("link/a").is_err());
        assert!(session.write_path("dangling").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_link_within_a_folder_leads_no_computed_path_out() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        std::fs::create_dir_all(own.join("data")).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::fs::write(own.join("plain"), "x").unwrap();
        let session = session(&own);
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, own.join(name)).unwrap();
        };
        link("../plain", "data/inside");
        // A folder that holds itself is looked at once.
        link(".", "data/again");
        link("..", "data/up");
        assert!(session.read_path("data").is_ok());
        link("../../secret", "data/outside");
        let told = session.read_path("data").unwrap_err().to_string();
        assert!(told.contains("data/outside leads out of"), "{told}");
        assert!(session.read_path("data/outside").is_err());
        session.name_literals(["data".to_string()]);
        assert!(session.read_path("data").is_ok());
    }

    #[test]
    fn the_runs_own_files_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let session = session(folder.path());
        for name in ["run.json", "./log.txt", "a/../report.html"] {
            let told = session.write_path(name).unwrap_err().to_string();
            assert!(
                told.ends_with("is the run's own; write to another name"),
                "{told}"
            );
        }
        assert!(session.write_path("a/run.json").is_ok());
    }

    #[test]
    #[cfg(unix)]
    fn devices_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let session = session(folder.path());
        session.name_literals(["/dev/zero".to_string()]);
        assert_eq!(
            session.read_path("/dev/zero").unwrap_err().to_string(),
            "/dev/zero: is neither a file nor a folder; devices and pipes are not read"
        );
    }
}
