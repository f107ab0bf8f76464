//! The objects: a file each, with what is known of it in its first line.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use birthcert_cli::ensure_private_directory;
use pki::{clock::Timestamp, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The objects of a bucket.
pub struct Files {
    directory: PathBuf,
    /// Held from the look at a condition to the end of the write.
    writing: Mutex<()>,
}

/// What is known of an object besides its octets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// In quotes, as in the header.
    pub(super) etag: String,
    pub(super) modified: Option<Timestamp>,
    /// Headers that came with it and go with it.
    pub(super) headers: BTreeMap<String, String>,
}

/// On what a write depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    /// Nothing is there.
    Absent,
    /// What is there has this tag.
    Tag(String),
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done(Head),
    /// The condition does not hold.
    Refused,
    /// The condition is on an object that is not there.
    Missing,
}

impl Files {
    /// The objects in `directory`, which is made if it does not exist.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        ensure_private_directory(directory).with_context(|| directory.display().to_string())?;
        Ok(Self { directory: directory.to_owned(), writing: Mutex::new(()) })
    }

    pub(super) fn read(&self, key: &str) -> io::Result<Option<(Head, Vec<u8>)>> {
        let Some(path) = self.path(key) else {
            return Ok(None);
        };
        let mut file = match fs::read(path) {
            Ok(file) => file,
            // A folder of objects is no object.
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let end = file.iter().position(|octet| *octet == b'\n');
        let end = end.ok_or(ErrorKind::InvalidData)?;
        let head = serde_json::from_slice(&file[..end])?;
        Ok(Some((head, file.split_off(end + 1))))
    }

    pub(super) fn write(
        &self,
        key: &str,
        condition: &Condition,
        headers: BTreeMap<String, String>,
        body: &[u8],
    ) -> io::Result<Written> {
        let path = self.path(key).ok_or(ErrorKind::InvalidFilename)?;
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.read(key)?.map(|(head, _)| head.etag);
        match (condition, now) {
            (Condition::Absent, Some(_)) => return Ok(Written::Refused),
            (Condition::Tag(_), None) => return Ok(Written::Missing),
            (Condition::Tag(wanted), Some(etag)) if *wanted != etag => return Ok(Written::Refused),
            _ => {}
        }
        let head = Head {
            etag: format!("\"{}\"", hex(&Sha256::digest(body)[..16])),
            modified: Some(Timestamp::now()),
            headers,
        };
        let mut file = serde_json::to_vec(&head)?;
        file.push(b'\n');
        file.extend_from_slice(body);
        // Whoever reads sees the old one or the new one, and so does a start after a crash.
        let new = self.directory.join(".new");
        fs::write(&new, file)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(new, path)?;
        Ok(Written::Done(head))
    }

    /// Where an object lies, if its key is one that could: a plain path.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
        };
        key.split('/').all(is_plain).then(|| self.directory.join(key))
    }
}

fn is_absence(error: &io::Error) -> bool {
    use ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | IsADirectory | NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;

    fn files() -> (TempDir, Files) {
        let directory = TempDir::new().unwrap();
        let files = Files::open(&directory.path().join("bucket")).unwrap();
        (directory, files)
    }

    fn write(files: &Files, condition: &Condition, body: &[u8]) -> Written {
        files.write("a/b.crl", condition, BTreeMap::new(), body).unwrap()
    }

    #[test]
    fn conditions_hold_or_nothing_is_written() {
        let (_directory, files) = files();
        assert_eq!(write(&files, &Condition::Tag("\"x\"".into()), b"0"), Written::Missing);
        let Written::Done(first) = write(&files, &Condition::Absent, b"1\n2") else {
            panic!("it is absent");
        };
        assert_eq!(files.read("a/b.crl").unwrap().unwrap(), (first.clone(), b"1\n2".to_vec()));
        assert_eq!(write(&files, &Condition::Absent, b"3"), Written::Refused);
        assert_eq!(write(&files, &Condition::Tag("\"x\"".into()), b"3"), Written::Refused);
        assert_eq!(files.read("a/b.crl").unwrap().unwrap().1, b"1\n2");
        let second = write(&files, &Condition::Tag(first.etag), b"3");
        assert!(matches!(second, Written::Done(_)));
        assert!(matches!(write(&files, &Condition::None, b"4"), Written::Done(_)));
    }

    #[test]
    fn of_many_at_once_one_replaces_it() {
        let (_directory, files) = files();
        let Written::Done(first) = write(&files, &Condition::None, b"first") else {
            panic!("no condition");
        };
        let (files, condition) = (Arc::new(files), Condition::Tag(first.etag));
        let writers: Vec<_> = (0..16_u8)
            .map(|number| {
                let (files, condition) = (files.clone(), condition.clone());
                std::thread::spawn(move || write(&files, &condition, &[number]))
            })
            .collect();
        let written = writers.into_iter().map(|writer| writer.join().unwrap());
        assert_eq!(written.filter(|it| matches!(it, Written::Done(_))).count(), 1);
    }

    #[test]
    fn no_key_leaves_the_folder() {
        let (_directory, files) = files();
        for key in ["../x", "a/../../x", "/etc/passwd", "", "a//b", ".new", "a/.b", "a\\b", "é"] {
            assert!(files.read(key).unwrap().is_none(), "{key}");
            assert!(files.write(key, &Condition::None, BTreeMap::new(), b"").is_err(), "{key}");
        }
        write(&files, &Condition::None, b"");
        assert!(files.read("a").unwrap().is_none() && files.read("a/b.crl/c").unwrap().is_none());
    }
}
