//! Files that others read at any time: the old one or the new one, never half of one.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Puts `content` in the place of a file, or where none is: written beside it, flushed to the disk,
/// renamed, and the rename flushed. Whatever fails, and whenever this is cut short, the file is what
/// it was.
///
/// It gets the mode of the file `like`, and its owner and group as far as this process may give them,
/// or else everybody may read it.
///
/// # Errors
/// The disk is full, or the file system refuses otherwise.
pub fn replace(path: &Path, content: &[u8], like: Option<&Path>) -> anyhow::Result<()> {
    put(path, content, like).with_context(|| format!("cannot write {}", path.display()))
}

fn put(path: &Path, content: &[u8], like: Option<&Path>) -> anyhow::Result<()> {
    let unfinished = unfinished(path)?;
    let like = like.map(fs::metadata).transpose()?;
    // What a run left that was cut short.
    remove(&unfinished)?;
    write(&unfinished, content, like.as_ref()).inspect_err(|_| {
        // The disk may be full for this very reason.
        let _ = fs::remove_file(&unfinished);
    })?;
    fs::rename(&unfinished, path)?;
    Ok(File::open(folder(path))?.sync_all()?)
}

fn write(path: &Path, content: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    let mode = like.map_or(Ok(0o644), |like| give(&file, like))?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Gives a file to the owner and the group of another; the mode that it should have then.
fn give(file: &File, like: &Metadata) -> io::Result<u32> {
    let made = file.metadata()?;
    let owner = (made.uid() != like.uid()).then_some(like.uid());
    let group = (made.gid() != like.gid()).then_some(like.gid());
    // Not by its name, which whoever owns the folder could have led elsewhere by now. Others than root
    // may give away no file, and only to groups that they are in.
    if owner.is_some() {
        may(fchown(file, owner, None))?;
    }
    let is_given = group.is_none() || may(fchown(file, None, group))?;
    let mode = like.mode() & 0o777;
    // Another group may do no more with it than everybody.
    Ok(if is_given { mode } else { mode & !0o070 | (mode & 0o007) << 3 & mode })
}

/// Whether it was permitted.
fn may(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is in a file, if it is there.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Tells whether a file is still the one that it was, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// None, if the file cannot be seen.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let it = fs::metadata(path).ok()?;
        Some(Self { inode: it.ino(), length: it.len(), modified: (it.mtime(), it.mtime_nsec()) })
    }
}

fn unfinished(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().context("it is no file")?.to_string_lossy();
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
    fn replaces_and_leaves_nothing_else() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("crl.pem");
        fs::write(folder.path().join(".crl.pem.unfinished"), "of a run that was killed").unwrap();
        for content in ["one", "two"] {
            replace(&path, content.as_bytes(), None).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    }

    #[test]
    fn is_like_another_file() {
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
    fn what_cannot_be_written_changes_nothing() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = replace(&path, b"x", None).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error:#}");
        assert!(path.is_dir());
    }

    #[test]
    fn a_stamp_tells_a_file_from_what_took_its_place() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        assert_eq!(Stamp::of(&path), None);
        replace(&path, b"same", None).unwrap();
        let before = Stamp::of(&path);
        assert_eq!(Stamp::of(&path), before);
        replace(&path, b"same", None).unwrap();
        assert_ne!(Stamp::of(&path), before);
    }
}
