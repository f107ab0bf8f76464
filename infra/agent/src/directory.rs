//! The agent's directory: the files that the broker reads and, in `state`, what they were made of.
//!
//! ```text
//! lock                    held by the one agent that works here
//! status.json             how it goes
//! state/<name>.pem        a CA's certificate, and those between it and the root
//! state/<name>.crl        its last CRL
//! state/denied.txt        the denied devices
//! state/applied           digest of what the broker was told to read
//! ```
//!
//! Nothing in it is believed: CRLs and certificates are verified again when they are read.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{files, index};

/// Another agent has the directory.
#[derive(Debug, thiserror::Error)]
#[error("another agent is at work in {0}")]
pub struct Busy(PathBuf);

/// A directory that no other agent works in.
pub(crate) struct Directory {
    path: PathBuf,
    // The lock is the open file's, and ends with the process, however it ends.
    _lock: File,
}

/// What is kept of a CA.
#[derive(Clone, Copy)]
pub(crate) enum Kept {
    Chain,
    Crl,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        // From the root on: the broker and its hook are in other directories.
        let path = std::path::absolute(path)?;
        fs::create_dir_all(path.join("state")).with_context(|| format!("cannot make {name}"))?;
        let lock = path.join("lock");
        let lock = File::options().write(true).create(true).truncate(false).open(&lock);
        let lock = lock.with_context(|| format!("cannot write to {name}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Busy(path).into()),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {name}"))
            }
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The names of the CAs of which something is kept.
    pub(crate) fn names(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(self.state())? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
            let is_kept = path.extension().is_some_and(|it| it == "pem" || it == "crl");
            if is_kept && index::is_name(name) && name != index::ROOT {
                names.insert(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(crate) fn read(&self, name: &str, kept: Kept) -> anyhow::Result<Option<Vec<u8>>> {
        files::read(&self.of(name, kept))
    }

    pub(crate) fn keep(&self, name: &str, kept: Kept, content: &[u8]) -> anyhow::Result<()> {
        files::replace(&self.of(name, kept), content, None)
    }

    /// Removes what is kept of a CA.
    pub(crate) fn forget(&self, name: &str) -> anyhow::Result<()> {
        for kept in [Kept::Crl, Kept::Chain] {
            files::remove(&self.of(name, kept))?;
        }
        Ok(())
    }

    pub(crate) fn read_denied(&self) -> anyhow::Result<Option<Vec<u8>>> {
        files::read(&self.state().join("denied.txt"))
    }

    pub(crate) fn keep_denied(&self, content: &[u8]) -> anyhow::Result<()> {
        files::replace(&self.state().join("denied.txt"), content, None)
    }

    pub(crate) fn read_applied(&self) -> anyhow::Result<Option<Vec<u8>>> {
        files::read(&self.state().join("applied"))
    }

    pub(crate) fn keep_applied(&self, digest: &[u8]) -> anyhow::Result<()> {
        files::replace(&self.state().join("applied"), digest, None)
    }

    pub(crate) fn forget_applied(&self) -> anyhow::Result<()> {
        Ok(files::remove(&self.state().join("applied"))?)
    }

    fn of(&self, name: &str, kept: Kept) -> PathBuf {
        let extension = match kept {
            Kept::Chain => "pem",
            Kept::Crl => "crl",
        };
        self.state().join(format!("{name}.{extension}"))
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
    fn one_agent_a_directory() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("new/agent");
        let one = Directory::open(&path).unwrap();
        let error = Directory::open(&path).err().unwrap();
        assert!(error.is::<Busy>(), "{error:#}");
        drop(one);
        Directory::open(&path).unwrap();
    }

    #[test]
    fn keeps_what_it_is_given() {
        let folder = TempDir::new().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        assert!(directory.names().unwrap().is_empty());
        assert_eq!(directory.read("device", Kept::Crl).unwrap(), None);
        directory.keep("device", Kept::Chain, b"certificate").unwrap();
        directory.keep("device", Kept::Crl, b"crl").unwrap();
        directory.keep_denied(b"").unwrap();
        assert_eq!(directory.names().unwrap(), ["device".to_owned()].into());
        assert_eq!(directory.read("device", Kept::Crl).unwrap().unwrap(), b"crl");
        assert_eq!(directory.read_denied().unwrap().unwrap(), b"");
        directory.forget("device").unwrap();
        assert!(directory.names().unwrap().is_empty());
    }
}
