//! Atomic file replacement: a reader sees the old file or the new one, never a part of either.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Creates or replaces a file atomically and durably: writes a temporary file beside it, syncs it,
/// renames it, and syncs the folder. If any step fails or is interrupted, the old file stays.
///
/// The new file gets the mode of `like`, and its owner and group as far as this process is
/// permitted to set them. Without `like`, it is world-readable.
///
/// # Errors
/// If the disk is full, or a file operation fails for another reason.
pub fn replace(path: &Path, content: &[u8], like: Option<&Path>) -> anyhow::Result<()> {
    put(path, content, like).with_context(|| format!("cannot write {}", path.display()))
}

fn put(path: &Path, content: &[u8], like: Option<&Path>) -> anyhow::Result<()> {
    let unfinished = unfinished(path)?;
    let like = like.map(fs::metadata).transpose()?;
    // An interrupted run may have left one.
    remove(&unfinished)?;
    write(&unfinished, content, like.as_ref()).inspect_err(|_| {
        // On a full disk, the partial file must not occupy space.
        let _ = fs::remove_file(&unfinished);
    })?;
    fs::rename(&unfinished, path)?;
    Ok(File::open(folder(path))?.sync_all()?)
}

fn write(path: &Path, content: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    let mode = like.map_or(Ok(0o644), |like| copy_ownership(&file, like))?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Gives a file the owner and group of another. Returns the mode to set after that.
fn copy_ownership(file: &File, like: &Metadata) -> io::Result<u32> {
    let own = file.metadata()?;
    let owner = (own.uid() != like.uid()).then_some(like.uid());
    let group = (own.gid() != like.gid()).then_some(like.gid());
    // By descriptor: the folder's owner could have redirected the path by now. Only root may change
    // the owner; other users may only choose among their own groups.
    if owner.is_some() {
        permitted(fchown(file, owner, None))?;
    }
    let is_given = group.is_none() || permitted(fchown(file, None, group))?;
    let mode = like.mode() & 0o777;
    // If the group could not be set, the file's group gets no more rights than everyone.
    Ok(if is_given { mode } else { mode & !0o070 | (mode & 0o007) << 3 & mode })
}

/// Returns false if the operation was not permitted.
fn permitted(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// Removes a file if it exists.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns a file's content, or `None` if it does not exist.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn unfinished(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().context("not a file path")?.to_string_lossy();
    Ok(folder(path).join(format!(".{name}.unfinished")))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn replaces_a_file_and_leaves_nothing_else() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("crl.pem");
        fs::write(folder.path().join(".crl.pem.unfinished"), "left by a killed run").unwrap();
        for content in ["one", "two"] {
            replace(&path, content.as_bytes(), None).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    }

    #[test]
    fn copies_the_mode_of_another_file() {
        let folder = TempDir::new().unwrap();
        let (path, like) = (folder.path().join("acl"), folder.path().join("rules"));
        fs::write(&like, "").unwrap();
        fs::set_permissions(&like, Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"rules", Some(&like)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(replace(&path, b"", Some(Path::new("/nonexistent"))).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "rules");
    }

    #[test]
    fn a_failed_write_changes_nothing() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = replace(&path, b"x", None).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error:#}");
        assert!(path.is_dir());
    }
}
