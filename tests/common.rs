//! What several tests share.

use std::path::PathBuf;

/// A folder of the reference cases beside the checkout; none, with a message, where they are not.
pub fn reference(case: &str) -> Option<PathBuf> {
    beside("conformance", case)
}

/// The same of real models, adapters and datasets.
pub fn reference_data(name: &str) -> Option<PathBuf> {
    beside("data", name)
}

fn beside(kind: &str, name: &str) -> Option<PathBuf> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    let folder = root.join(kind).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: the reference cases are not at {}",
        folder.display()
    );
    None
}
