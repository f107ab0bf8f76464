//! Files of this repository.

use std::path::{Path, PathBuf};

/// Returns the path of a file in this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}
