//! The directory of one service: its key, its chain and the root, of which key and chain must change
//! together.
//!
//! ```text
//! broker-key.pem    -> current/broker-key.pem
//! broker-chain.pem  -> current/broker-chain.pem
//! root.pem          -> current/root.pem
//! current           -> versions/<serial number>
//! versions/<serial number>/…
//! ```
//!
//! A version is written and flushed whole before `current` is turned to it, by one rename. So at
//! every instant, a power failure included, the names lead to one pair that fits. The version before
//! stays until the next renewal, for a server that opened the one file just before the turn.
//!
//! All of it may belong to the broker's user, while root renews it. So nothing here trusts what it
//! finds: owners and modes are given to files by their handles and not by names, behind which somebody
//! may have put a link, and nothing is removed that has not the name of a version.

use std::{
    fs::{self, File, Metadata, Permissions, TryLockError},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};

use crate::files::{create, expect_new, write_new};

const CURRENT: &str = "current";
const TURNED: &str = ".current";
const VERSIONS: &str = "versions";
const STAGED: &str = ".staged";

/// The root's certificate in every directory.
pub(super) const ROOT: &str = "root.pem";
/// There while the command after a renewal has not succeeded.
const PENDING: &str = "reload-pending";

/// The names of a service's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) key: &'static str,
    pub(super) chain: &'static str,
}

/// Of a server.
pub(super) const SERVER: Names = Names { key: "broker-key.pem", chain: "broker-chain.pem" };
/// Of a client or a peer.
pub(super) const CLIENT: Names = Names { key: "client-key.pem", chain: "client-chain.pem" };

/// A directory that no other `birthcert` works in.
pub(super) struct Directory {
    path: PathBuf,
    // The lock is the open file's, and ends with it.
    _lock: File,
}

/// A version that is being written.
pub(super) struct Staged<'a> {
    directory: &'a Directory,
    path: PathBuf,
    /// Whose files it takes the place of.
    former: Option<PathBuf>,
}

impl Directory {
    /// Opens a directory, which is made unless it is there.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        Self::open(path)
    }

    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let lock = File::open(path).with_context(|| format!("cannot open {name}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("another birthcert is at work in {name}"),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {name}"))
            }
        }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Before anything is signed; that nothing is overwritten holds without this check too.
    pub(super) fn expect_free(&self, names: Names) -> anyhow::Result<()> {
        for file in [names.key, names.chain, ROOT, CURRENT] {
            expect_new(&self.file(file))?;
        }
        Ok(())
    }

    /// The directory of the current version.
    pub(super) fn current(&self) -> anyhow::Result<PathBuf> {
        let link = self.file(CURRENT);
        let target = fs::read_link(&link).with_context(|| {
            format!("{} was not made by birthcert broker issue", self.path.display())
        })?;
        Ok(self.path.join(target))
    }

    /// Begins a version, to which the disk must have a place: a full one should fail before anything
    /// is signed.
    pub(super) fn stage(&self) -> anyhow::Result<Staged<'_>> {
        let versions = self.file(VERSIONS);
        if let Err(error) = fs::create_dir(&versions)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("cannot make {}", versions.display()));
        }
        let former = self.file(CURRENT).symlink_metadata().is_ok();
        let former = if former { Some(self.current()?) } else { None };
        let path = versions.join(STAGED);
        if path.exists() {
            // What a run left that was cut short; nothing points at it.
            fs::remove_dir_all(&path)?;
        }
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        let staged = Staged { directory: self, path, former };
        if let Some(former) = &staged.former {
            like(&open_directory(&staged.path)?, &staged.path, &fs::metadata(former)?)?;
        }
        Ok(staged)
    }

    /// Whether the command after the last renewal is still to succeed.
    pub(super) fn is_reload_pending(&self) -> anyhow::Result<bool> {
        Ok(self.current()?.join(PENDING).exists())
    }

    pub(super) fn reloaded(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.current()?.join(PENDING))?)
    }
}

impl Staged<'_> {
    pub(super) fn write_key(&self, name: &str, pem: &str) -> anyhow::Result<()> {
        self.write_like_former(name, pem, 0o600)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        self.write_like_former(name, text, 0o644)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    pub(super) fn write_reload_pending(&self) -> anyhow::Result<()> {
        write_new(&self.path.join(PENDING), "")
    }

    /// A server that steps down to a user of its own could not read what root renewed.
    fn write_like_former(&self, name: &str, text: &str, mode: u32) -> anyhow::Result<()> {
        let path = self.path.join(name);
        let file = create(&path, text, mode)?;
        if let Some(former) = &self.former
            && let Ok(metadata) = fs::metadata(former.join(name))
        {
            like(&file, &path, &metadata)?;
        }
        Ok(())
    }

    /// Turns the directory to this version.
    pub(super) fn turn(self, serial_number: &str, names: Names) -> anyhow::Result<()> {
        let Self { directory, path, former } = &self;
        let version = Path::new(VERSIONS).join(serial_number);
        sync(path)?;
        fs::rename(path, directory.path.join(&version))?;
        sync(&directory.file(VERSIONS))?;

        if former.is_none() {
            let has_key = directory.path.join(&version).join(names.key).exists();
            for file in [names.key, names.chain, ROOT] {
                if file == names.key && !has_key {
                    continue;
                }
                let link = directory.file(file);
                symlink(Path::new(CURRENT).join(file), &link)
                    .with_context(|| format!("cannot make {}", link.display()))?;
            }
        }
        let turned = directory.file(TURNED);
        match fs::remove_file(&turned) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error)?,
            _ => {}
        }
        symlink(&version, &turned)?;
        fs::rename(&turned, directory.file(CURRENT))?;
        sync(&directory.path)?;

        let keep = [Some(directory.path.join(version)), former.clone()];
        for entry in fs::read_dir(directory.file(VERSIONS))? {
            let path = entry?.path();
            if is_version(&path)
                && !keep.iter().flatten().any(|kept| kept.file_name() == path.file_name())
            {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // After `turn` it has another name. What cannot be removed goes with the next stage.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Serial numbers of ours have 16 octets.
fn is_version(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn open_directory(path: &Path) -> anyhow::Result<File> {
    let found = path.symlink_metadata()?;
    let opened = File::open(path)?;
    let metadata = opened.metadata()?;
    let is_same = (metadata.dev(), metadata.ino()) == (found.dev(), found.ino());
    ensure!(is_same && found.is_dir(), "{} is not the directory made there", path.display());
    Ok(opened)
}

/// Gives `made`, whose name is `path`, the owner and the mode of `former`.
fn like(made: &File, path: &Path, former: &Metadata) -> anyhow::Result<()> {
    let metadata = made.metadata()?;
    if (metadata.uid(), metadata.gid()) != (former.uid(), former.gid()) {
        fchown(made, Some(former.uid()), Some(former.gid())).with_context(|| {
            format!(
                "cannot give {} to the owner of the files before it (user {}, group {}): run this \
                 as that user or as root",
                path.display(),
                former.uid(),
                former.gid()
            )
        })?;
    }
    // Not those bits of a file that would let others act as its owner.
    let bits = if metadata.is_dir() { 0o7777 } else { 0o777 };
    Ok(made.set_permissions(Permissions::from_mode(former.mode() & bits))?)
}

fn sync(directory: &Path) -> anyhow::Result<()> {
    Ok(File::open(directory)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A version with a key, and what is around it.
    fn directory() -> (TempDir, PathBuf) {
        let scratch = TempDir::new().unwrap();
        let path = scratch.path().join("broker");
        turn(&Directory::create(&path).unwrap(), &"1".repeat(32));
        (scratch, path)
    }

    fn turn(directory: &Directory, serial_number: &str) {
        let staged = directory.stage().unwrap();
        staged.write_key(SERVER.key, "key").unwrap();
        staged.write(SERVER.chain, "chain").unwrap();
        staged.turn(serial_number, SERVER).unwrap();
    }

    #[test]
    fn nothing_but_versions_is_removed() {
        let (scratch, path) = directory();
        let elsewhere = scratch.path().join("elsewhere");
        fs::rename(path.join(VERSIONS), &elsewhere).unwrap();
        fs::create_dir(elsewhere.join("somebodys")).unwrap();
        fs::write(elsewhere.join("passwd"), "root").unwrap();
        symlink(&elsewhere, path.join(VERSIONS)).unwrap();

        let directory = Directory::open(&path).unwrap();
        for digit in ["2", "3"] {
            turn(&directory, &digit.repeat(32));
        }
        assert!(elsewhere.join("somebodys").exists() && elsewhere.join("passwd").exists());
        assert!(!elsewhere.join("1".repeat(32)).exists());
    }

    #[test]
    fn what_takes_a_files_place_keeps_its_mode() {
        let scratch = TempDir::new().unwrap();
        let (path, victim) = (scratch.path().join("key"), scratch.path().join("victim"));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        let model = scratch.path().join("model");
        fs::write(&model, "").unwrap();
        fs::set_permissions(&model, Permissions::from_mode(0o4666)).unwrap();
        drop(create(&victim, "root", 0o600).unwrap());

        let file = create(&path, "key", 0o600).unwrap();
        fs::rename(&path, scratch.path().join("moved")).unwrap();
        symlink(&victim, &path).unwrap();
        like(&file, &path, &fs::metadata(&model).unwrap()).unwrap();
        assert_eq!(mode(&victim), 0o600);
        assert_eq!(mode(&scratch.path().join("moved")), 0o666);

        let link = scratch.path().join("link");
        symlink(scratch.path(), &link).unwrap();
        assert!(open_directory(&link).is_err());
        assert!(open_directory(scratch.path()).is_ok());
    }
}
