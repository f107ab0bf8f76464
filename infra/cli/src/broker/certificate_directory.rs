//! The directory of a service's certificate: key, chain and root. Key and chain change together.
//!
//! ```text
//! broker-key.pem    -> current/broker-key.pem
//! broker-chain.pem  -> current/broker-chain.pem
//! root.pem          -> current/root.pem
//! current           -> versions/<serial number>
//! versions/<serial number>/…
//! ```
//!
//! A version is written and flushed completely before one rename switches `current` to it. So at every
//! instant, even after a power failure, the names lead to a matching pair. The previous version stays until
//! the next renewal, for a server that opened one of its files just before the switch.
//!
//! The directory may belong to the broker's user, while root renews it. So nothing here trusts what it
//! finds: owners and modes are set through file handles and not by name, which may lead to a link by then,
//! and only directories with the name of a version are removed.

use std::{
    fs::{self, File, Metadata, Permissions, TryLockError},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};

use crate::files::{create, expect_new, write_new};

const CURRENT: &str = "current";
const NEXT: &str = ".current";
const VERSIONS: &str = "versions";
const STAGED: &str = ".staged";

/// Name of the root's certificate in every directory.
pub(super) const ROOT: &str = "root.pem";
/// Exists until the reload command after a renewal succeeds.
const PENDING: &str = "reload-pending";

/// The names of a certificate's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileNames {
    pub(super) key: &'static str,
    pub(super) chain: &'static str,
}

/// Names of a server's files.
pub(super) const SERVER: FileNames = FileNames { key: "broker-key.pem", chain: "broker-chain.pem" };
/// Names of a client's or a peer's files.
pub(super) const CLIENT: FileNames = FileNames { key: "client-key.pem", chain: "client-chain.pem" };

/// A locked directory: no other `birthcert` changes it.
pub(super) struct CertificateDirectory {
    path: PathBuf,
    // Closing the file releases the lock.
    _lock: File,
}

/// A version that is being written.
pub(super) struct StagedVersion<'a> {
    directory: &'a CertificateDirectory,
    path: PathBuf,
    /// The version that this one replaces.
    former: Option<PathBuf>,
}

impl CertificateDirectory {
    /// Opens a directory, and creates it if needed.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        Self::open(path)
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// If it does not exist, or another `birthcert` has locked it.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let lock = File::open(path).with_context(|| format!("cannot open {name}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("another birthcert is using {name}: try again when it has finished")
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {name}"))
            }
        }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Checks, before anything is signed, that the directory has no certificate. Writing never overwrites one
    /// in any case.
    pub(super) fn expect_free(&self, names: FileNames) -> anyhow::Result<()> {
        for file in [names.key, names.chain, ROOT, CURRENT] {
            expect_new(&self.file(file))?;
        }
        Ok(())
    }

    /// Returns the directory of the current version.
    pub(super) fn current(&self) -> anyhow::Result<PathBuf> {
        let link = self.file(CURRENT);
        let target = fs::read_link(&link).with_context(|| {
            format!("{} was not created by birthcert broker issue", self.path.display())
        })?;
        Ok(self.path.join(target))
    }

    /// Begins a version. Writes to disk first, so that a full disk fails before anything is signed.
    pub(super) fn stage(&self) -> anyhow::Result<StagedVersion<'_>> {
        let versions = self.file(VERSIONS);
        if let Err(error) = fs::create_dir(&versions)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("cannot create {}", versions.display()));
        }
        let former = self.file(CURRENT).symlink_metadata().is_ok();
        let former = if former { Some(self.current()?) } else { None };
        let path = versions.join(STAGED);
        if path.exists() {
            // Left by an interrupted run; nothing refers to it.
            fs::remove_dir_all(&path)?;
        }
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        let staged = StagedVersion { directory: self, path, former };
        if let Some(former) = &staged.former {
            copy_owner(&open_directory(&staged.path)?, &staged.path, &fs::metadata(former)?)?;
        }
        Ok(staged)
    }

    /// Returns true if the reload command after the last renewal has not succeeded yet.
    pub(super) fn is_reload_pending(&self) -> anyhow::Result<bool> {
        Ok(self.current()?.join(PENDING).exists())
    }

    /// Records that the reload command succeeded.
    pub(super) fn clear_reload_pending(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.current()?.join(PENDING))?)
    }
}

impl StagedVersion<'_> {
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

    /// Writes a file with the owner and mode of the former version's file: a server that drops privileges
    /// could not read files of root.
    fn write_like_former(&self, name: &str, text: &str, mode: u32) -> anyhow::Result<()> {
        let path = self.path.join(name);
        let file = create(&path, text, mode)?;
        if let Some(former) = &self.former
            && let Ok(metadata) = fs::metadata(former.join(name))
        {
            copy_owner(&file, &path, &metadata)?;
        }
        Ok(())
    }

    /// Switches the directory to this version.
    pub(super) fn switch(self, serial_number: &str, names: FileNames) -> anyhow::Result<()> {
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
                    .with_context(|| format!("cannot create {}", link.display()))?;
            }
        }
        let next = directory.file(NEXT);
        match fs::remove_file(&next) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error)?,
            _ => {}
        }
        symlink(&version, &next)?;
        fs::rename(&next, directory.file(CURRENT))?;
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

impl Drop for StagedVersion<'_> {
    fn drop(&mut self) {
        // After `switch` it has another name. If removing fails, the next `stage` removes it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Returns true for the name of a version, a serial number: birthcert's have 16 octets.
fn is_version(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn open_directory(path: &Path) -> anyhow::Result<File> {
    let found = path.symlink_metadata()?;
    let opened = File::open(path)?;
    let metadata = opened.metadata()?;
    let is_same = (metadata.dev(), metadata.ino()) == (found.dev(), found.ino());
    ensure!(
        is_same && found.is_dir(),
        "{} is not the directory that was created there",
        path.display()
    );
    Ok(opened)
}

/// Gives `file`, created as `path`, the owner and mode of `former`.
fn copy_owner(file: &File, path: &Path, former: &Metadata) -> anyhow::Result<()> {
    let metadata = file.metadata()?;
    if (metadata.uid(), metadata.gid()) != (former.uid(), former.gid()) {
        fchown(file, Some(former.uid()), Some(former.gid())).with_context(|| {
            format!(
                "cannot set the owner of {} to that of the previous files (user {}, group {}): run the command \
                 as that user or as root",
                path.display(),
                former.uid(),
                former.gid()
            )
        })?;
    }
    // Without the setuid and setgid bits of files, which would let others act as the owner.
    let bits = if metadata.is_dir() { 0o7777 } else { 0o777 };
    Ok(file.set_permissions(Permissions::from_mode(former.mode() & bits))?)
}

fn sync(directory: &Path) -> anyhow::Result<()> {
    Ok(File::open(directory)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Creates a directory with one version.
    fn directory() -> (TempDir, PathBuf) {
        let scratch = TempDir::new().unwrap();
        let path = scratch.path().join("broker");
        renew(&CertificateDirectory::create(&path).unwrap(), &"1".repeat(32));
        (scratch, path)
    }

    fn renew(directory: &CertificateDirectory, serial_number: &str) {
        let staged = directory.stage().unwrap();
        staged.write_key(SERVER.key, "key").unwrap();
        staged.write(SERVER.chain, "chain").unwrap();
        staged.switch(serial_number, SERVER).unwrap();
    }

    #[test]
    fn nothing_but_versions_is_removed() {
        let (scratch, path) = directory();
        let elsewhere = scratch.path().join("elsewhere");
        fs::rename(path.join(VERSIONS), &elsewhere).unwrap();
        fs::create_dir(elsewhere.join("somebodys")).unwrap();
        fs::write(elsewhere.join("passwd"), "root").unwrap();
        symlink(&elsewhere, path.join(VERSIONS)).unwrap();

        let directory = CertificateDirectory::open(&path).unwrap();
        for digit in ["2", "3"] {
            renew(&directory, &digit.repeat(32));
        }
        assert!(elsewhere.join("somebodys").exists() && elsewhere.join("passwd").exists());
        assert!(!elsewhere.join("1".repeat(32)).exists());
    }

    #[test]
    fn the_owner_is_set_through_the_handle() {
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
        copy_owner(&file, &path, &fs::metadata(&model).unwrap()).unwrap();
        assert_eq!(mode(&victim), 0o600);
        assert_eq!(mode(&scratch.path().join("moved")), 0o666);

        let link = scratch.path().join("link");
        symlink(scratch.path(), &link).unwrap();
        assert!(open_directory(&link).is_err());
        assert!(open_directory(scratch.path()).is_ok());
    }
}
