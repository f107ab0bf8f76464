//! Files that must not be overwritten, and files that only their owner may read.

pub(crate) mod csr;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, bail};

use crate::error::CommandError;

/// Reads a text file.
///
/// # Errors
/// If it cannot be read; the error names it.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Checks early that a file to be written does not exist. [`create`] prevents overwriting it in any case.
///
/// # Errors
/// If it exists.
pub(crate) fn expect_new(path: &Path) -> anyhow::Result<()> {
    // A dangling symbolic link is not overwritten either.
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let text = format!("{} already exists and is never overwritten", path.display());
    Err(CommandError::Refused(text).into())
}

/// Writes a file that must not exist yet.
///
/// # Errors
/// If it exists, or cannot be written.
pub fn write_new(path: &Path, contents: impl AsRef<[u8]>) -> anyhow::Result<()> {
    create(path, contents, 0o644).map(drop)
}

/// Writes a file that must not exist yet and that only its owner may read.
///
/// # Errors
/// If it exists, or cannot be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    create(path, text, 0o600).map(drop)
}

/// Creates a directory that only its owner may enter, unless it exists.
///
/// # Errors
/// If it cannot be created.
pub fn ensure_private_directory(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create the directory {}", path.display()))
}

/// Writes a file that must not exist yet, and returns its handle: later changes through the handle cannot
/// reach another file that took its place.
pub(crate) fn create(path: &Path, contents: impl AsRef<[u8]>, mode: u32) -> anyhow::Result<File> {
    let name = path.display();
    let mut file: File = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
    {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{name} already exists and is never overwritten")
        }
        other => other.with_context(|| format!("cannot create {name}"))?,
    };
    file.write_all(contents.as_ref())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {name}"))?;
    Ok(file)
}
