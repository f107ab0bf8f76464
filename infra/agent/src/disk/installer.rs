//! Installs the broker's files, and restores those that someone else has changed.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use pki::names::DeviceId;
use sha2::{Digest as _, Sha256};

use super::{
    broker_file::BrokerFile,
    file_stat::FileStat,
    files::{read, remove, replace},
};

/// Identifies a set of files and denied devices.
pub(crate) type Fingerprint = [u8; 32];

/// Remembers the files found or put in place, so that not every check reads them.
#[derive(Default)]
pub(crate) struct Installer {
    known: HashMap<PathBuf, (FileStat, Fingerprint)>,
}

impl Installer {
    /// Returns the files that are not in place.
    pub(crate) fn missing<'a>(
        &mut self,
        files: &'a [BrokerFile],
    ) -> anyhow::Result<Vec<&'a BrokerFile>> {
        let mut missing = Vec::new();
        for file in files {
            let Some(stamp) = FileStat::of(&file.path) else {
                missing.push(file);
                continue;
            };
            if self.known.get(&file.path) == Some(&(stamp, file.digest)) {
                continue;
            }
            if read(&file.path)?.as_ref() == Some(&file.content) {
                self.known.insert(file.path.clone(), (stamp, file.digest));
            } else {
                missing.push(file);
            }
        }
        Ok(missing)
    }

    pub(crate) fn install(&mut self, file: &BrokerFile) -> anyhow::Result<()> {
        if let Some(folder) = file.path.parent() {
            fs::create_dir_all(folder)?;
        }
        replace(&file.path, &file.content, file.like.as_deref())?;
        if let Some(stamp) = FileStat::of(&file.path) {
            self.known.insert(file.path.clone(), (stamp, file.digest));
        }
        Ok(())
    }
}

/// Removes from the folder with one CRL per CA those of expired CAs, which are not among `files`.
pub(crate) fn remove_stale_crls(folder: &Path, files: &[BrokerFile]) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        let number = extension.strip_prefix('r').map(str::parse::<u32>);
        let is_crl = extension == "crl" || matches!(number, Some(Ok(_)));
        if is_crl && !files.iter().any(|file| file.path == path) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Digests what a broker reads from files and what it learns by other means.
pub(crate) fn fingerprint(files: &[BrokerFile], denied: &[DeviceId]) -> Fingerprint {
    let mut digest = Sha256::new();
    for file in files {
        digest.update(Sha256::digest(file.path.as_os_str().as_encoded_bytes()));
        digest.update(file.digest);
    }
    for id in denied {
        digest.update(id.to_string());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn restores_changed_files() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("crls/a.r0");
        let file = |content: &str| vec![BrokerFile::new(path.clone(), content.into())];
        let (one, two) = (file("one"), file("two"));
        let id = "dev_0123456789ABCDEFGHIJKL".parse().unwrap();
        assert_ne!(fingerprint(&one, &[]), fingerprint(&two, &[]));
        assert_ne!(fingerprint(&one, &[]), fingerprint(&one, &[id]));
        let mut installer = Installer::default();
        let mut settle = |files: &[BrokerFile]| {
            let missing = installer.missing(files).unwrap();
            missing.iter().for_each(|file| installer.install(file).unwrap());
            missing.len()
        };
        assert_eq!(settle(&one), 1);
        assert_eq!(settle(&one), 0);
        assert_eq!(settle(&two), 1);
        fs::write(&path, "cut").unwrap();
        assert_eq!(settle(&two), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(settle(&two), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        let found = Installer::default().missing(&two).unwrap().len();
        assert_eq!(found, 0, "still in place after a restart");
    }

    #[test]
    fn removes_crls_of_expired_cas_and_nothing_else() {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.r0", "a.r1", "a.crl", "b.crl", "a.rx", "README"] {
            fs::write(path(name), "").unwrap();
        }
        let files = ["a.r0", "a.crl"].map(|name| BrokerFile::new(path(name), Vec::new()));
        remove_stale_crls(folder.path(), &files).unwrap();
        let left = ["a.r0", "a.r1", "a.crl", "b.crl", "a.rx", "README"].map(|it| path(it).exists());
        assert_eq!(left, [true, false, true, false, true, true]);
        remove_stale_crls(&path("none"), &files).unwrap();
    }
}
