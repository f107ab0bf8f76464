//! A file that the broker reads.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub(crate) struct BrokerFile {
    pub(crate) path: PathBuf,
    pub(crate) content: Vec<u8>,
    /// SHA-256 of the content.
    pub(crate) digest: [u8; 32],
    /// The file whose owner and mode this one gets.
    pub(crate) like: Option<PathBuf>,
}

impl BrokerFile {
    /// Creates a world-readable file.
    pub(crate) fn new(path: PathBuf, content: Vec<u8>) -> Self {
        Self { digest: Sha256::digest(&content).into(), path, content, like: None }
    }

    /// Sets the file whose owner and mode this one gets.
    pub(crate) fn like(self, file: &Path) -> Self {
        Self { like: Some(file.to_owned()), ..self }
    }
}
