//! The study that a command names: a script, or an archive that `tureen pack` made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::script::{Mode, Setup};
use crate::study::pack::{Pack, is_pack};
use crate::study::size::bytes;
use crate::study::{Lock, script_hash};
use crate::{Error, Result, bail, text};

/// A study that can be run.
pub(super) struct Opened {
    /// As it was named.
    pub named: PathBuf,
    /// What messages call the script.
    pub source: String,
    /// Its text.
    pub text: String,
    /// What pins it, for one from an archive.
    pub lock: Option<Lock>,
    /// The parameters of the run in the archive.
    pub parameters: BTreeMap<String, String>,
    script: PathBuf,
    /// The folder of inputs that an archive leaves out.
    inputs: Option<PathBuf>,
    /// Where an archive is unpacked to; removed in the end.
    unpacked: Option<tempfile::TempDir>,
}

impl Opened {
    /// Opens what `path` names. Inputs that an archive leaves out are looked for in `inputs`.
    pub(super) fn at(path: &Path, inputs: Option<&Path>) -> Result<Self> {
        match (is_pack(path), inputs) {
            (true, _) => Self::archive(path, inputs),
            (false, Some(_)) => {
                bail!("--inputs is for archives; {} is a script", path.display(); hint: "a script's paths start from its folder")
            }
            (false, None) => Self::script(path),
        }
    }

    fn script(path: &Path) -> Result<Self> {
        Ok(Self {
            named: path.to_path_buf(),
            source: path.display().to_string(),
            text: match std::fs::read(path) {
                Ok(bytes) => text::decode(&path.display().to_string(), bytes)?,
                Err(error) => return Err(Error::new(error.to_string())),
            },
            lock: None,
            parameters: BTreeMap::new(),
            script: path.to_path_buf(),
            inputs: None,
            unpacked: None,
        })
    }

    fn archive(path: &Path, inputs: Option<&Path>) -> Result<Self> {
        let mut pack = Pack::open(path)?;
        let folder = tempfile::Builder::new()
            .prefix("tureen-")
            .tempdir()
            .map_err(|error| Error::new(format!("no folder to unpack to: {error}")))?;
        // Links in the way to it would make what lies in it seem to lie elsewhere.
        let root = folder.path().canonicalize();
        let root = root.map_err(|error| Error::at_path(folder.path(), error))?;
        pack.unpack(&root)?;
        for missing in pack.complete(&root, inputs)? {
            let size = missing.bytes.map(bytes).unwrap_or_default();
            crate::tell!(
                "{}: without {} ({size}, {}): --inputs FOLDER says where it is",
                path.display(),
                missing.what,
                missing.why
            );
        }
        let script = pack.script(&root);
        let name = script.strip_prefix(&root).unwrap_or(&script);
        Ok(Self {
            source: path.join(name).display().to_string(),
            text: text::read(&script)?,
            lock: Some(pack.lock()?),
            parameters: pack.run()?.record.parameters,
            named: path.to_path_buf(),
            script,
            inputs: inputs.map(Path::to_path_buf),
            unpacked: Some(folder),
        })
    }

    /// The hash of the script's text.
    pub(super) fn hash(&self) -> String {
        script_hash(self.text.as_bytes())
    }

    /// How it is run.
    pub(super) fn mode(&self) -> Mode {
        Mode::Script {
            path: self.script.clone(),
        }
    }

    /// Keeps a study from an archive in its folder.
    pub(super) fn seal(&self, setup: &mut Setup) {
        if let Some(folder) = &self.unpacked {
            setup.module_path = vec![Pack::modules(folder.path())];
            setup.sealed = Some(folder.path().to_path_buf());
            setup.allow_read.extend(self.inputs.clone());
        }
    }
}
