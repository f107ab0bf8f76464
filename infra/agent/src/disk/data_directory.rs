//! The agent's data directory: the files that the broker reads and, in `state`, their sources.
//!
//! ```text
//! lock                    held by the one agent that uses the directory
//! status.json             the agent's status
//! state/<name>.pem        a CA's certificate chain
//! state/<name>.crl        the CA's last CRL
//! state/denied.txt        the denied devices
//! state/applied           digest of what the broker last applied
//! ```
//!
//! Nothing in it is trusted: CRLs and certificates are verified again when they are read.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::files;
use crate::ca_name;

/// The error if another agent uses the directory.
#[derive(Debug, thiserror::Error)]
#[error("another agent is using {0}")]
pub struct DirectoryInUse(PathBuf);

/// A directory locked by this process.
pub(crate) struct DataDirectory {
    path: PathBuf,
    // The lock belongs to the open file and ends with the process, however it ends.
    _lock: File,
}

/// A file that is saved for a CA.
#[derive(Clone, Copy)]
pub(crate) enum CaFile {
    Chain,
    Crl,
}

impl DataDirectory {
    /// Creates the directory if necessary, and locks it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        // Absolute, since the broker and its hook run in other directories.
        let path = std::path::absolute(path)?;
        fs::create_dir_all(path.join("state")).with_context(|| format!("cannot create {name}"))?;
        let lock = path.join("lock");
        let lock = File::options().write(true).create(true).truncate(false).open(&lock);
        let lock = lock.with_context(|| format!("cannot write to {name}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DirectoryInUse(path).into()),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {name}"))
            }
        }
    }

    /// Returns the path of a file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the names of the CAs that have saved files.
    pub(crate) fn saved_cas(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(self.state())? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
            let is_ca_file = path.extension().is_some_and(|it| it == "pem" || it == "crl");
            if is_ca_file && ca_name::is_valid(name) && name != ca_name::ROOT {
                names.insert(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(crate) fn read(&self, ca: &str, file: CaFile) -> anyhow::Result<Option<Vec<u8>>> {
        files::read(&self.path_of(ca, file))
    }

    pub(crate) fn save(&self, ca: &str, file: CaFile, content: &[u8]) -> anyhow::Result<()> {
        files::replace(&self.path_of(ca, file), content, None)
    }

    /// Removes a CA's files.
    pub(crate) fn remove(&self, ca: &str) -> anyhow::Result<()> {
        for file in [CaFile::Crl, CaFile::Chain] {
            files::remove(&self.path_of(ca, file))?;
        }
        Ok(())
    }

    pub(crate) fn read_denied(&self) -> anyhow::Result<Option<Vec<u8>>> {
        files::read(&self.state().join("denied.txt"))
    }

    pub(crate) fn save_denied(&self, content: &[u8]) -> anyhow::Result<()> {
        files::replace(&self.state().join("denied.txt"), content, None)
    }

    pub(crate) fn read_applied(&self) -> anyhow::Result<Option<Vec<u8>>> {
        files::read(&self.state().join("applied"))
    }

    pub(crate) fn save_applied(&self, digest: &[u8]) -> anyhow::Result<()> {
        files::replace(&self.state().join("applied"), digest, None)
    }

    pub(crate) fn remove_applied(&self) -> anyhow::Result<()> {
        Ok(files::remove(&self.state().join("applied"))?)
    }

    fn path_of(&self, ca: &str, file: CaFile) -> PathBuf {
        let extension = match file {
            CaFile::Chain => "pem",
            CaFile::Crl => "crl",
        };
        self.state().join(format!("{ca}.{extension}"))
    }

    fn state(&self) -> PathBuf {
        self.path.join("state")
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn one_agent_at_a_time_uses_a_directory() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("new/agent");
        let one = DataDirectory::open(&path).unwrap();
        let error = DataDirectory::open(&path).err().unwrap();
        assert!(error.is::<DirectoryInUse>(), "{error:#}");
        drop(one);
        DataDirectory::open(&path).unwrap();
    }

    #[test]
    fn saves_and_removes_files() {
        let folder = TempDir::new().unwrap();
        let directory = DataDirectory::open(folder.path()).unwrap();
        assert!(directory.saved_cas().unwrap().is_empty());
        assert_eq!(directory.read("device", CaFile::Crl).unwrap(), None);
        directory.save("device", CaFile::Chain, b"certificate").unwrap();
        directory.save("device", CaFile::Crl, b"crl").unwrap();
        directory.save_denied(b"").unwrap();
        assert_eq!(directory.saved_cas().unwrap(), ["device".to_owned()].into());
        assert_eq!(directory.read("device", CaFile::Crl).unwrap().unwrap(), b"crl");
        assert_eq!(directory.read_denied().unwrap().unwrap(), b"");
        directory.remove("device").unwrap();
        assert!(directory.saved_cas().unwrap().is_empty());
    }
}
