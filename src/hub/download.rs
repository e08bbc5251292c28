//! Files from the hub into the cache: resumed, verified, whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::Choose;
use super::cache::Cached;
use super::client::{Client, Failure, Info, Located};
use super::repo::Repo;
use crate::study::disk;
use crate::study::files::write_atomic;
use crate::{Context, Error, Result, bail};

/// How often a connection that breaks is taken up again.
const TRIES: u32 = 5;

/// Fetches what is needed of a commit and gives its folder.
pub fn fetch(
    client: &Client,
    repo: &Repo,
    cached: &Cached,
    info: &Info,
    choose: Choose<'_>,
    context: &Context,
) -> Result<PathBuf> {
    let commit = info.sha.as_str();
    if commit.is_empty() || !commit.chars().all(|c| c.is_ascii_hexdigit()) {
        bail!("{repo}: the hub names {commit:?} as its commit");
    }
    let names: Vec<String> = info.siblings.iter().map(|s| s.rfilename.clone()).collect();
    if let Some(bad) = names.iter().find(|name| !is_inside(name)) {
        bail!("{repo}: the hub lists {bad:?}, which is no path within a repository");
    }
    let folder = cached.commit(commit);
    let mut own = choose(&names);
    own.sort_unstable();
    if own.is_empty() {
        bail!(
            "{repo} has none of the files that are needed; it has {}",
            shortened(&names)
        );
    }
    for name in own {
        if !folder.join(&name).is_file() {
            file(client, repo, cached, commit, &name, context)?;
        }
    }
    let list = serde_json::to_vec(&names).map_err(|e| Error::new(e.to_string()))?;
    write_atomic(&cached.list(commit), &list)?;
    if !repo.is_commit() {
        write_atomic(&cached.reference(), commit.as_bytes())?;
    }
    Ok(folder)
}

/// Whether a name that the hub gives stays within the repository's folder.
fn is_inside(name: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !name.is_empty() && !name.contains('\\') && Path::new(name).components().all(plain)
}

fn shortened(names: &[String]) -> String {
    match names.len() {
        0 => "none".into(),
        n if n > 8 => format!("{} and {} more", names[..8].join(", "), n - 8),
        _ => names.join(", "),
    }
}

/// One file into the cache.
fn file(
    client: &Client,
    repo: &Repo,
    cached: &Cached,
    commit: &str,
    name: &str,
    context: &Context,
) -> Result<()> {
    let from = Source {
        client,
        repo,
        commit,
        name,
        context,
    };
    let located = from.again(0)?;
    let hash = located.hash.clone();
    let blob = cached.blob(&hash);
    if !blob.is_file() {
        let part = blob.with_extension("incomplete");
        let parent = part.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|e| Error::at_path(parent, e))?;
        let at = |e: std::io::Error| Error::at_path(&part, e);
        let mut out = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&part)
            .map_err(at)?;
        // The lock dies with the process; another that wants the same file waits for it.
        out.lock().map_err(at)?;
        if !blob.is_file() {
            let label = format!("download {name}");
            context
                .progress()
                .start(&label, located.size.unwrap_or(0), "bytes");
            let copied = resume(&from, located, &mut out);
            context.progress().finish();
            copied.map_err(|e| e.within(repo))?;
            verify(repo, name, &hash, &part)?;
            out.sync_all().map_err(at)?;
            std::fs::rename(&part, &blob).map_err(|e| Error::at_path(&blob, e))?;
        }
    }
    link(&blob, &cached.commit(commit).join(name), name)
}

/// A file of the hub.
struct Source<'a> {
    client: &'a Client,
    repo: &'a Repo,
    commit: &'a str,
    name: &'a str,
    context: &'a Context,
}

impl Source<'_> {
    /// The content from a byte on, asked for several times where the hub does not work.
    fn again(&self, start: u64) -> Result<Located> {
        let mut tries = 0;
        loop {
            match self.client.file(self.repo, self.commit, self.name, start) {
                Err(Failure::Unreachable(_)) if tries + 1 < TRIES => {
                    self.context.check()?;
                    std::thread::sleep(pause(tries));
                    tries += 1;
                }
                other => return other.map_err(Failure::into),
            }
        }
    }
}

fn pause(tries: u32) -> Duration {
    Duration::from_millis(100 << tries)
}

/// Writes what is missing in `out`, taking up connections that break.
fn resume(from: &Source<'_>, mut located: Located, out: &mut File) -> Result<()> {
    let at = |e: std::io::Error| Error::new(e.to_string());
    let mut tries = 0;
    loop {
        let start = out.metadata().map_err(at)?.len();
        if start > 0 && located.size == Some(start) {
            return Ok(());
        }
        if start > 0 {
            located = from.again(start)?;
            if !located.partial {
                // A hub that does not resume, or has less, sends all of it again.
                out.set_len(0).map_err(at)?;
            }
        }
        let why = match copy(&mut located, out, from.context) {
            Ok(()) => return Ok(()),
            Err(Copied::Failed(error)) => return Err(error),
            Err(Copied::Broken(why)) => why,
        };
        tries += 1;
        if tries == TRIES {
            bail!("the connection broke {TRIES} times in {} ({why}); what came is kept", from.name; hint: "run it again to go on from there");
        }
        std::thread::sleep(pause(tries));
        if out.metadata().map_err(at)?.len() == 0 {
            located = from.again(0)?;
        }
    }
}

/// Why content did not arrive.
enum Copied {
    Broken(String),
    Failed(Error),
}

fn copy(located: &mut Located, out: &mut File, context: &Context) -> Result<(), Copied> {
    let failed = |e: std::io::Error| Copied::Failed(Error::new(e.to_string()));
    let mut body = located.response.body_mut().as_reader();
    let mut buffer = vec![0; 1 << 17];
    let mut done = out.metadata().map_err(failed)?.len();
    loop {
        context.check().map_err(Copied::Failed)?;
        let n = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) => return Err(Copied::Broken(e.to_string())),
        };
        disk::take(n as u64).map_err(Copied::Failed)?;
        out.write_all(&buffer[..n]).map_err(failed)?;
        done += n as u64;
        context.progress().update(done, "");
    }
    match located.size {
        Some(size) if done < size => Err(Copied::Broken(format!("{done} of {size} bytes came"))),
        _ => Ok(()),
    }
}

/// An error, and the content gone, unless its hash is the one the hub says.
fn verify(repo: &Repo, name: &str, expected: &str, part: &Path) -> Result<()> {
    let at = |e: std::io::Error| Error::at_path(part, e);
    let mut file = File::open(part).map_err(at)?;
    let found = match expected.len() {
        64 => hashed(Sha256::new(), &mut file).map_err(at)?,
        40 => {
            let size = file.metadata().map_err(at)?.len();
            // What git hashes begins with the kind and the size.
            let git = Sha1::new_with_prefix(format!("blob {size}\0"));
            hashed(git, &mut file).map_err(at)?
        }
        // Mirrors may have tags of their own, which say nothing.
        _ => return Ok(()),
    };
    if found == expected.to_lowercase() {
        return Ok(());
    }
    std::fs::remove_file(part).map_err(at)?;
    bail!("{repo}: {name} has the hash {found}, the hub says {expected}"; hint: "what came was removed; run it again")
}

fn hashed<D: Digest>(mut hash: D, file: &mut File) -> std::io::Result<String> {
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// The snapshot's name for content: a link, as huggingface_hub makes it, or a copy where links
/// cannot be made.
fn link(blob: &Path, place: &Path, name: &str) -> Result<()> {
    let at = |e: std::io::Error| Error::at_path(place, e);
    let parent = place.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(at)?;
    if std::fs::symlink_metadata(place).is_ok() {
        std::fs::remove_file(place).map_err(at)?;
    }
    let up = "../".repeat(2 + name.matches('/').count());
    let hash = blob.file_name().unwrap_or_default().to_string_lossy();
    let target = format!("{up}blobs/{hash}");
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(&target, place);
    #[cfg(windows)]
    let linked = std::os::windows::fs::symlink_file(&target, place);
    match linked {
        Ok(()) => Ok(()),
        Err(_) => std::fs::copy(blob, place).map(|_| ()).map_err(at),
    }
}
