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

use std::{
    fs::{self, File, Metadata, Permissions, TryLockError},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};

use crate::files::{write_new, write_private};

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
            let path = self.file(file);
            ensure!(
                path.symlink_metadata().is_err(),
                "{} exists already and is never overwritten",
                path.display()
            );
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
        if let Some(former) = &former {
            like(&path, &fs::metadata(former)?)?;
        }
        Ok(Staged { directory: self, path, former })
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
        write_private(&self.path.join(name), pem)?;
        self.keep_owner(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        write_new(&self.path.join(name), text)?;
        self.keep_owner(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    pub(super) fn write_reload_pending(&self) -> anyhow::Result<()> {
        write_new(&self.path.join(PENDING), "")
    }

    /// A server that steps down to a user of its own could not read what root renewed.
    fn keep_owner(&self, name: &str) -> anyhow::Result<()> {
        if let Some(former) = &self.former
            && let Ok(metadata) = fs::metadata(former.join(name))
        {
            like(&self.path.join(name), &metadata)?;
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
            if !keep.iter().flatten().any(|kept| kept.file_name() == path.file_name()) {
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

fn like(path: &Path, former: &Metadata) -> anyhow::Result<()> {
    let made = fs::metadata(path)?;
    if (made.uid(), made.gid()) != (former.uid(), former.gid()) {
        chown(path, Some(former.uid()), Some(former.gid())).with_context(|| {
            format!(
                "cannot give {} to the owner of the files before it (user {}, group {}): run this \
                 as that user or as root",
                path.display(),
                former.uid(),
                former.gid()
            )
        })?;
    }
    Ok(fs::set_permissions(path, Permissions::from_mode(former.mode() & 0o7777))?)
}

fn sync(directory: &Path) -> anyhow::Result<()> {
    Ok(File::open(directory)?.sync_all()?)
}
