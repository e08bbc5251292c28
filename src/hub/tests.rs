//! The client against a small hub on this machine.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a server does with a request: its path, its headers, and the answer's stream.
type Answer = dyn Fn(&Request, &mut TcpStream) + Send + Sync;

struct Request {
    path: String,
    headers: HashMap<String, String>,
}

impl Request {
    fn start(&self) -> usize {
        let range = self.headers.get("range");
        let start = range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        start.unwrap_or(0)
    }
}

/// Serves until the process ends; its address.
fn serve(answer: Arc<Answer>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || handle(stream, answer.as_ref()));
        }
    });
    address
}

fn handle(mut stream: TcpStream, answer: &Answer) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_string();
    let mut headers = HashMap::new();
    for line in lines.map_while(std::result::Result::ok) {
        match line.split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_string()),
            None => break,
        };
    }
    answer(&Request { path, headers }, &mut stream);
}

fn reply(stream: &mut TcpStream, status: &str, headers: &[(&str, String)], body: &[u8]) {
    let mut head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        head += &format!("content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let _ = stream.write_all(body);
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn git_hash(bytes: &[u8]) -> String {
    let head = format!("blob {}\0", bytes.len());
    hex(Sha1::new()
        .chain_update(head)
        .chain_update(bytes)
        .finalize())
}

/// A hub with a small file and a large one, which a second host sends in pieces that break.
struct World {
    hub: String,
    requests: Arc<Mutex<Vec<String>>>,
}

fn large() -> Vec<u8> {
    (0..200_000u32).flat_map(|i| i.to_le_bytes()).collect()
}

fn world(wrong_hash: bool) -> World {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    let store = serve(Arc::new(move |request, stream| {
        assert!(
            !request.headers.contains_key("authorization"),
            "the token went elsewhere"
        );
        let (body, start) = (large(), request.start());
        seen.lock().unwrap().push(format!("store from {start}"));
        // The connection breaks after a part, until only a part is left.
        let end = (start + 300_000).min(body.len());
        let status = if start > 0 {
            "206 Partial Content"
        } else {
            "200 OK"
        };
        let length = [("content-length", (body.len() - start).to_string())];
        reply(stream, status, &length, &body[start..end]);
    }));
    let seen = requests.clone();
    let hub = serve(Arc::new(move |request, stream| {
        seen.lock().unwrap().push(request.path.clone());
        let token = request.headers.get("authorization").map(String::as_str);
        let list = format!(
            r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "config.json"}}, {{"rfilename": "sub/big.bin"}}]}}"#
        );
        let small = b"{}".to_vec();
        let hash = if wrong_hash {
            hex([7; 32])
        } else {
            hex(Sha256::digest(large()))
        };
        match request.path.as_str() {
            "/api/models/a/b/revision/main" => reply(stream, "200 OK", &[], list.as_bytes()),
            "/api/models/a/private/revision/main" if token != Some("Bearer secret") => {
                reply(stream, "401 Unauthorized", &[], b"no");
            }
            "/api/models/a/private/revision/main" => reply(stream, "200 OK", &[], list.as_bytes()),
            "/api/models/a/evil/revision/main" => {
                let list = list.replace("sub/big.bin", "../../out");
                reply(stream, "200 OK", &[], list.as_bytes());
            }
            path if path.ends_with("/config.json") => {
                let tag = [("etag", format!("\"{}\"", git_hash(&small)))];
                reply(stream, "200 OK", &tag, &small);
            }
            path if path.ends_with("/sub/big.bin") => {
                let headers = [
                    ("location", format!("{store}/content")),
                    ("x-linked-etag", format!("\"{hash}\"")),
                    ("x-linked-size", large().len().to_string()),
                ];
                reply(stream, "302 Found", &headers, b"");
            }
            _ => reply(stream, "404 Not Found", &[], b"no"),
        }
    }));
    World { hub, requests }
}

fn hub(endpoint: &str, cache: &Path) -> Hub {
    Hub::new(Settings {
        endpoint: endpoint.into(),
        cache: cache.into(),
        token: None,
        offline: false,
        quiet: false,
    })
}

fn all(names: &[String]) -> Vec<String> {
    names.to_vec()
}

fn config(names: &[String]) -> Vec<String> {
    names
        .iter()
        .filter(|n| *n == "config.json")
        .cloned()
        .collect()
}

fn repo(name: &str) -> Repo {
    Repo::parse(Kind::Model, name).unwrap()
}

#[test]
fn files_are_resumed_verified_and_kept_as_python_keeps_them() {
    let (world, cache) = (world(false), tempfile::tempdir().unwrap());
    let mut own = hub(&world.hub, cache.path());
    own.settings.token = Some("secret".into());
    let context = Context::silent();
    let folder = own.fetch(&repo("a/b"), &all, &context).unwrap();
    let place = cache.path().join("models--a--b");
    assert_eq!(folder, place.join("snapshots").join(COMMIT));
    assert_eq!(std::fs::read(folder.join("sub/big.bin")).unwrap(), large());
    assert_eq!(std::fs::read(folder.join("config.json")).unwrap(), b"{}");
    assert_eq!(
        std::fs::read_to_string(place.join("refs/main")).unwrap(),
        COMMIT
    );
    let blobs = std::fs::read_dir(place.join("blobs")).unwrap();
    let mut names: Vec<String> = blobs
        .flatten()
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected = [git_hash(b"{}"), hex(Sha256::digest(large()))];
    expected.sort();
    assert_eq!(names, expected);
    let seen = world.requests.lock().unwrap().clone();
    let starts: Vec<&String> = seen.iter().filter(|r| r.starts_with("store")).collect();
    assert_eq!(
        starts,
        ["store from 0", "store from 300000", "store from 600000"]
    );
    // Once more: the list is asked for, the files are not.
    own.fetch(&repo("a/b"), &all, &context).unwrap();
    assert_eq!(world.requests.lock().unwrap().len(), seen.len() + 1);
    // By its hash nothing is asked for; nor offline.
    own.fetch(&repo(&format!("a/b@{COMMIT}")), &all, &context)
        .unwrap();
    own.settings.offline = true;
    assert_eq!(own.fetch(&repo("a/b"), &all, &context).unwrap(), folder);
    assert_eq!(world.requests.lock().unwrap().len(), seen.len() + 1);
    let message = own
        .fetch(&repo("a/c"), &all, &context)
        .unwrap_err()
        .to_string();
    assert!(message.contains("not in the cache"), "{message}");
    // A hub that is gone: the cache counts.
    let mut gone = hub("http://127.0.0.1:9", cache.path());
    assert_eq!(gone.fetch(&repo("a/b"), &all, &context).unwrap(), folder);
    gone.settings.cache = cache.path().join("empty");
    let message = gone
        .fetch(&repo("a/b"), &all, &context)
        .unwrap_err()
        .to_string();
    assert!(message.contains("cannot be reached"), "{message}");
}

#[test]
fn what_a_crash_left_and_a_hub_out_of_breath_are_no_obstacles() {
    let calls = Arc::new(Mutex::new(0));
    let seen = calls.clone();
    let body = b"some content".to_vec();
    let hash = hex(Sha256::digest(&body));
    let tag = hash.clone();
    let address = serve(Arc::new(move |request, stream| {
        let list = format!(r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "x"}}]}}"#);
        if request.path.starts_with("/api") {
            return reply(stream, "200 OK", &[], list.as_bytes());
        }
        *seen.lock().unwrap() += 1;
        if *seen.lock().unwrap() == 1 {
            return reply(stream, "503 Service Unavailable", &[], b"");
        }
        if request.start() >= body.len() {
            return reply(stream, "416 Range Not Satisfiable", &[], b"");
        }
        reply(stream, "200 OK", &[("etag", format!("\"{tag}\""))], &body);
    }));
    let cache = tempfile::tempdir().unwrap();
    let blobs = cache.path().join("models--a--b/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    // Longer than the content, and of another: from a revision that is gone.
    std::fs::write(
        blobs.join(format!("{hash}.incomplete")),
        b"something else, longer",
    )
    .unwrap();
    let folder = hub(&address, cache.path())
        .fetch(&repo("a/b"), &all, &Context::silent())
        .unwrap();
    assert_eq!(std::fs::read(folder.join("x")).unwrap(), b"some content");
    let other = "f".repeat(40);
    let pinned = repo(&format!("a/b@{other}"));
    let message = hub(&address, cache.path()).fetch(&pinned, &all, &Context::silent());
    assert!(
        message
            .unwrap_err()
            .to_string()
            .contains("answers with the commit")
    );
}

#[test]
fn what_is_wrong_is_told_and_leaves_nothing() {
    let (world, cache) = (world(true), tempfile::tempdir().unwrap());
    let mut own = hub(&world.hub, cache.path());
    let context = Context::silent();
    let message = |own: &Hub, name: &str| {
        own.fetch(&repo(name), &all, &context)
            .unwrap_err()
            .to_string()
    };
    let wrong = message(&own, "a/b");
    assert!(
        wrong.contains("sub/big.bin has the hash") && wrong.contains(&hex([7; 32])),
        "{wrong}"
    );
    let blobs = cache.path().join("models--a--b/blobs");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 1);
    assert!(message(&own, "a/private").contains("set HF_TOKEN"));
    assert!(message(&own, "a/none").contains("the hub has no model or adapter a/none"));
    assert!(message(&own, "a/evil").contains("no path within a repository"));
    let none = own
        .fetch(&repo("a/b"), &|_: &[String]| Vec::new(), &context)
        .unwrap_err()
        .to_string();
    assert!(none.contains("it has config.json, sub/big.bin"), "{none}");
    own.settings.token = Some("secret".into());
    own.fetch(&repo("a/private"), &config, &context).unwrap();
}

#[test]
fn what_python_has_downloaded_is_found() {
    let cache = tempfile::tempdir().unwrap();
    let place = cache.path().join("models--a--b");
    for folder in ["refs", "blobs", &format!("snapshots/{COMMIT}")] {
        std::fs::create_dir_all(place.join(folder)).unwrap();
    }
    std::fs::write(place.join("refs/main"), COMMIT).unwrap();
    std::fs::write(place.join("blobs/1"), "{}").unwrap();
    let file = place.join("snapshots").join(COMMIT).join("config.json");
    #[cfg(unix)]
    std::os::unix::fs::symlink("../../blobs/1", &file).unwrap();
    #[cfg(windows)]
    std::fs::copy(place.join("blobs/1"), &file).unwrap();
    let mut own = hub("http://127.0.0.1:9", cache.path());
    own.settings.offline = true;
    let folder = own
        .fetch(&repo("a/b"), &config, &Context::silent())
        .unwrap();
    assert_eq!(folder, file.parent().unwrap());
}

/// Counts the bars that begin.
#[derive(Default)]
struct Bars(std::sync::atomic::AtomicUsize);

impl crate::context::Progress for Bars {
    fn start(&self, _: &str, _: u64, _: &str) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    fn update(&self, _: u64, _: &str) {}
    fn finish(&self) {}
    fn notice(&self, _: &str) {}
}

#[test]
fn bars_are_shown_unless_they_are_turned_off() {
    for (quiet, expected) in [(false, true), (true, false)] {
        let (world, cache) = (world(false), tempfile::tempdir().unwrap());
        let mut own = hub(&world.hub, cache.path());
        own.settings.quiet = quiet;
        let bars = Arc::new(Bars::default());
        let context = Context::new(Arc::default(), bars.clone());
        own.fetch(&repo("a/b"), &config, &context).unwrap();
        let shown = bars.0.load(std::sync::atomic::Ordering::Relaxed) > 0;
        assert_eq!(shown, expected);
    }
}
