//! What the file system says of a file.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Its permissions, such as `0o600`.
///
/// # Panics
/// It is not there.
pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Its number, which a file that is put in its place has not.
pub fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|it| it.ino())
}
