//! Where the hub and its cache are, as the environment says.

use std::path::PathBuf;

/// Where the hub and its cache are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// The cache's folder.
    pub cache: PathBuf,
    /// What private and gated repositories ask for.
    pub token: Option<String>,
    /// Whether the network is not to be used.
    pub offline: bool,
    /// Whether downloads show no bars.
    pub quiet: bool,
}

impl Settings {
    /// Reads `HF_ENDPOINT`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`,
    /// `HF_TOKEN_PATH`, `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE` and
    /// `HF_HUB_DISABLE_PROGRESS_BARS` as huggingface_hub does.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let home = || {
            PathBuf::from(
                variable("HOME")
                    .or_else(|| variable("USERPROFILE"))
                    .unwrap_or_default(),
            )
        };
        let hub_home = variable("HF_HOME").map_or_else(
            || {
                let caches = variable("XDG_CACHE_HOME");
                let caches = caches.map_or_else(|| home().join(".cache"), PathBuf::from);
                caches.join("huggingface")
            },
            PathBuf::from,
        );
        let cache = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
        let in_file = || {
            let path = variable("HF_TOKEN_PATH");
            let path = path.map_or_else(|| hub_home.join("token"), PathBuf::from);
            std::fs::read_to_string(path).ok()
        };
        let token = variable("HF_TOKEN").or_else(in_file);
        let on = |name: &str| {
            let value = variable(name).unwrap_or_default().to_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        };
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_string(),
            cache: cache.map_or_else(|| hub_home.join("hub"), PathBuf::from),
            token: token
                .map(|t| t.trim().to_string())
                .filter(|t| !t.is_empty()),
            offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
            quiet: on("HF_HUB_DISABLE_PROGRESS_BARS"),
        }
    }
}

#[cfg(test)]
mod variables {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Settings {
        Settings::read(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn variables_count_as_in_python() {
        let plain = read(&[("HOME", "/h")]);
        assert_eq!(plain.cache, PathBuf::from("/h/.cache/huggingface/hub"));
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert!(!plain.offline && plain.token.is_none());
        let cache = |pairs| read(pairs).cache;
        assert_eq!(
            cache(&[("XDG_CACHE_HOME", "/x")]),
            PathBuf::from("/x/huggingface/hub")
        );
        let both = [("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/hf")];
        assert_eq!(cache(&both), PathBuf::from("/hf/hub"));
        let own = [("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")];
        assert_eq!(cache(&own), PathBuf::from("/c"));
        for on in ["1", "on", "Yes", "TRUE"] {
            assert!(read(&[("TRANSFORMERS_OFFLINE", on)]).offline, "{on}");
        }
        assert!(!read(&[("HF_HUB_OFFLINE", "0")]).offline);
        assert!(read(&[("HF_HUB_DISABLE_PROGRESS_BARS", "1")]).quiet && !plain.quiet);
        let token = [("HF_TOKEN", " t "), ("HF_ENDPOINT", "http://h/")];
        assert_eq!(read(&token).token.as_deref(), Some("t"));
        assert_eq!(read(&token).endpoint, "http://h");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "from a file\n").unwrap();
        let path = file.to_str().unwrap();
        assert_eq!(
            read(&[("HF_TOKEN_PATH", path)]).token.as_deref(),
            Some("from a file")
        );
    }
}
