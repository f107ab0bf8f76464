//! Files that must not be overwritten, and files that only their owner may read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, bail};

use crate::exit::Stop;

/// A text file.
///
/// # Errors
/// When it cannot be read; it is named.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Checks early that a file, which will be written later, does not exist. What keeps it from being
/// overwritten is how it is written.
///
/// # Errors
/// When it does exist.
pub(crate) fn expect_new(path: &Path) -> anyhow::Result<()> {
    // Nor does a link that leads nowhere give way to a file.
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let text = format!("{} exists already and is never overwritten", path.display());
    Err(Stop::Refused(text).into())
}

/// Writes a file that must not exist yet.
///
/// # Errors
/// When it does, or cannot be written.
pub fn write_new(path: &Path, contents: impl AsRef<[u8]>) -> anyhow::Result<()> {
    create(path, contents, 0o644).map(drop)
}

/// Writes a file that must not exist yet and that only its owner may read.
///
/// # Errors
/// When it does, or cannot be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    create(path, text, 0o600).map(drop)
}

/// Makes a directory that only its owner may enter, unless it is there.
///
/// # Errors
/// When it cannot be made.
pub fn ensure_private_directory(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Writes a file that must not exist yet, and returns it: what is done to it then is done to no other
/// that was put in its place.
pub(crate) fn create(path: &Path, contents: impl AsRef<[u8]>, mode: u32) -> anyhow::Result<File> {
    let name = path.display();
    let mut file: File = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
    {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{name} exists already and is never overwritten")
        }
        other => other.with_context(|| format!("cannot create {name}"))?,
    };
    file.write_all(contents.as_ref())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {name}"))?;
    Ok(file)
}
