//! Detects replaced files without reading them.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// The metadata that changes whenever a file is replaced or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStat {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl FileStat {
    /// Returns `None` if the metadata cannot be read.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let it = fs::metadata(path).ok()?;
        Some(Self { inode: it.ino(), length: it.len(), modified: (it.mtime(), it.mtime_nsec()) })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{super::files::replace, *};

    #[test]
    fn tells_a_file_from_its_replacement() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        assert_eq!(FileStat::of(&path), None);
        replace(&path, b"same", None).unwrap();
        let before = FileStat::of(&path);
        assert_eq!(FileStat::of(&path), before);
        replace(&path, b"same", None).unwrap();
        assert_ne!(FileStat::of(&path), before);
    }
}
