//! What several tests share.

use std::path::PathBuf;

/// A folder of the reference cases beside the checkout; none, with a message, where they are not.
pub fn reference(case: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/conformance"
    ))
    .join(case);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: the reference cases are not at {}",
        folder.display()
    );
    None
}
