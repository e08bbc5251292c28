//! Requests to the hub.

use std::time::Duration;

use serde::Deserialize;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::repo::{Kind, Repo};
use super::settings::Settings;
use crate::{Error, Result};

/// How many addresses a request is sent on to.
const REDIRECTS: usize = 8;

/// The largest description of a repository that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The hub could not be reached or did not work.
    Unreachable(Error),
    /// It said no.
    Refused(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(error) | Failure::Refused(error) => error,
        }
    }
}

/// What the hub says of a repository.
#[derive(Debug, Deserialize)]
pub struct Info {
    /// The commit that the revision stands for.
    pub sha: String,
    /// Its files.
    #[serde(default)]
    pub siblings: Vec<Sibling>,
}

/// A file of a repository.
#[derive(Debug, Deserialize)]
pub struct Sibling {
    /// Its path.
    pub rfilename: String,
}

/// What the hub says of a file's content, and the way to it.
pub struct Located {
    /// Its hash: SHA-256 of large files, git's SHA-1 of others.
    pub hash: String,
    /// Its size, where the hub says so.
    pub size: Option<u64>,
    /// The content from where it was asked for, and whether that is not the start.
    pub response: Response<Body>,
    /// Whether the content is only the rest.
    pub partial: bool,
}

/// Sends requests.
pub struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

impl Client {
    /// A client for the hub of these settings.
    pub fn new(settings: &Settings) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            // A large file on a slow line is resumed where this ends.
            .timeout_recv_body(Some(Duration::from_secs(600)))
            .user_agent(concat!("tureen/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            endpoint: settings.endpoint.clone(),
            token: settings.token.clone(),
        }
    }

    /// The commit of a repository's revision with its files.
    pub fn info(&self, repo: &Repo) -> Result<Info, Failure> {
        let address = format!("{}/{}", self.endpoint, repo.info_path());
        let (mut response, _) = self.get(&address, None)?;
        check(response.status(), repo, None)?;
        let text = response
            .body_mut()
            .with_config()
            .limit(LARGEST)
            .read_to_string();
        let text = text.map_err(|e| unreachable(&address, &e))?;
        serde_json::from_str(&text).map_err(|e| {
            Failure::Refused(Error::new(format!(
                "the hub's answer on {repo} is no description: {e}"
            )))
        })
    }

    /// A file's content from byte `start` on.
    pub fn file(
        &self,
        repo: &Repo,
        commit: &str,
        file: &str,
        start: u64,
    ) -> Result<Located, Failure> {
        let address = format!("{}/{}", self.endpoint, repo.file_path(commit, file));
        let (response, seen) = self.get(&address, (start > 0).then_some(start))?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && start > 0 {
            return self.file(repo, commit, file, 0);
        }
        check(response.status(), repo, Some(file))?;
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        let Some(hash) = seen.hash else {
            return Err(Failure::Refused(Error::new(format!(
                "{repo}: the hub says no hash of {file}"
            ))));
        };
        Ok(Located {
            hash,
            size: seen.size,
            response,
            partial,
        })
    }

    /// Follows redirects by hand: the hub's headers come with the first answer, and its token goes
    /// to the hub alone.
    fn get(&self, address: &str, start: Option<u64>) -> Result<(Response<Body>, Seen), Failure> {
        let mut address = address.to_string();
        let mut seen = Seen::default();
        for _ in 0..REDIRECTS {
            let mut request = self.agent.get(&address);
            if let Some(token) = self.token.as_ref().filter(|_| self.is_own(&address)) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            // Compressed content would have another hash.
            request = request.header("accept-encoding", "identity");
            if let Some(start) = start {
                request = request.header("range", format!("bytes={start}-"));
            }
            let response = request.call().map_err(|e| unreachable(&address, &e))?;
            // Only the hub's own word on the content counts.
            if self.is_own(&address) {
                seen.read(&response);
            }
            if !response.status().is_redirection() {
                return Ok((response, seen));
            }
            let Some(next) = header(&response, "location") else {
                break;
            };
            address = match next.starts_with('/') {
                true => format!("{}{next}", origin(&address)),
                false => next,
            };
        }
        Err(Failure::Refused(Error::new(format!(
            "{address} leads nowhere"
        ))))
    }

    fn is_own(&self, address: &str) -> bool {
        origin(address) == origin(&self.endpoint)
    }
}

/// What the answers on the way to a file's content say of it.
#[derive(Default)]
struct Seen {
    hash: Option<String>,
    size: Option<u64>,
}

impl Seen {
    fn read(&mut self, response: &Response<Body>) {
        let hash = header(response, "x-linked-etag").or_else(|| header(response, "etag"));
        let hash = hash.map(|h| h.trim_start_matches("W/").trim_matches('"').to_string());
        let plain =
            |h: &String| !h.is_empty() && h.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        self.hash = self.hash.take().or(hash.filter(plain));
        let size = header(response, "x-linked-size").and_then(|s| s.parse().ok());
        self.size = self.size.or(size);
    }
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_string())
}

/// Scheme, host and port of an address.
fn origin(address: &str) -> &str {
    let start = address.find("://").map_or(0, |at| at + 3);
    match address[start..].find('/') {
        Some(end) => &address[..start + end],
        None => address,
    }
}

fn unreachable(address: &str, error: &ureq::Error) -> Failure {
    Failure::Unreachable(Error::new(format!(
        "{} cannot be reached: {error}",
        origin(address)
    )))
}

/// An error unless the answer is one of success.
fn check(status: StatusCode, repo: &Repo, file: Option<&str>) -> Result<(), Failure> {
    let what = match repo.kind {
        Kind::Model => "model or adapter",
        Kind::Dataset => "dataset",
    };
    Err(Failure::Refused(match (status.as_u16(), file) {
        (200 | 206, _) => return Ok(()),
        (401 | 403, _) => Error::new(format!("the hub refuses {what} {repo} ({status})"))
            .hint("the name is wrong, or it is private or gated: set HF_TOKEN"),
        (404, None) => Error::new(format!("the hub has no {what} {repo}"))
            .hint("check the name and the revision"),
        (404, Some(file)) => Error::new(format!("{repo} has no file {file}")),
        (500.., _) => {
            let error = Error::new(format!("the hub does not answer on {repo} ({status})"));
            return Err(Failure::Unreachable(error));
        }
        _ => Error::new(format!("the hub's answer on {repo} is {status}")),
    }))
}
