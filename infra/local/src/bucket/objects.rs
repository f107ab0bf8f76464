//! The objects of the bucket. Each is a file whose first line holds its metadata.

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
pub struct Objects {
    directory: PathBuf,
    /// Held while a precondition is checked and the object is written.
    write_lock: Mutex<()>,
}

/// The metadata of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Metadata {
    /// The entity tag, in quotes as in the header.
    pub(super) etag: String,
    pub(super) modified: Option<Timestamp>,
    /// The headers of the PUT request that a GET returns.
    pub(super) headers: BTreeMap<String, String>,
}

/// The precondition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    None,
    /// The object does not exist.
    Absent,
    /// The object has this entity tag.
    ETag(String),
}

/// The outcome of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PutOutcome {
    Stored(Metadata),
    /// The precondition does not hold.
    PreconditionFailed,
    /// The precondition names an entity tag, but the object does not exist.
    NotFound,
}

impl Objects {
    /// Opens the objects in `directory`, and creates the directory if it does not exist.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        ensure_private_directory(directory).with_context(|| directory.display().to_string())?;
        Ok(Self { directory: directory.to_owned(), write_lock: Mutex::new(()) })
    }

    /// Returns an object, or `None` if it does not exist.
    pub(super) fn get(&self, key: &str) -> io::Result<Option<(Metadata, Vec<u8>)>> {
        let Some(path) = self.path(key) else {
            return Ok(None);
        };
        let mut file = match fs::read(path) {
            Ok(file) => file,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let end = file.iter().position(|octet| *octet == b'\n');
        let end = end.ok_or(ErrorKind::InvalidData)?;
        let metadata = serde_json::from_slice(&file[..end])?;
        Ok(Some((metadata, file.split_off(end + 1))))
    }

    /// Writes an object if the precondition holds.
    pub(super) fn put(
        &self,
        key: &str,
        precondition: &Precondition,
        headers: BTreeMap<String, String>,
        body: &[u8],
    ) -> io::Result<PutOutcome> {
        let path = self.path(key).ok_or(ErrorKind::InvalidFilename)?;
        let _guard = self.write_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.get(key)?.map(|(metadata, _)| metadata.etag);
        match (precondition, current) {
            (Precondition::Absent, Some(_)) => return Ok(PutOutcome::PreconditionFailed),
            (Precondition::ETag(_), None) => return Ok(PutOutcome::NotFound),
            (Precondition::ETag(wanted), Some(etag)) if *wanted != etag => {
                return Ok(PutOutcome::PreconditionFailed);
            }
            _ => {}
        }
        let metadata = Metadata {
            etag: format!("\"{}\"", hex(&Sha256::digest(body)[..16])),
            modified: Some(Timestamp::now()),
            headers,
        };
        let mut file = serde_json::to_vec(&metadata)?;
        file.push(b'\n');
        file.extend_from_slice(body);
        // The rename is atomic: readers, and a start after a crash, see the old or the new object.
        let new = self.directory.join(".new");
        fs::write(&new, file)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(new, path)?;
        Ok(PutOutcome::Stored(metadata))
    }

    /// Returns the path of an object, or `None` if its key is not a plain relative path.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
        };
        key.split('/').all(is_plain).then(|| self.directory.join(key))
    }
}

/// Returns true if the object does not exist. A directory is only a prefix of other keys.
fn is_not_found(error: &io::Error) -> bool {
    use ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | IsADirectory | NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;

    fn objects() -> (TempDir, Objects) {
        let directory = TempDir::new().unwrap();
        let objects = Objects::open(&directory.path().join("bucket")).unwrap();
        (directory, objects)
    }

    fn put(objects: &Objects, condition: &Precondition, body: &[u8]) -> PutOutcome {
        objects.put("a/b.crl", condition, BTreeMap::new(), body).unwrap()
    }

    #[test]
    fn nothing_is_written_unless_the_precondition_holds() {
        let (_directory, objects) = objects();
        assert_eq!(put(&objects, &Precondition::ETag("\"x\"".into()), b"0"), PutOutcome::NotFound);
        let PutOutcome::Stored(first) = put(&objects, &Precondition::Absent, b"1\n2") else {
            panic!("it is absent");
        };
        assert_eq!(objects.get("a/b.crl").unwrap().unwrap(), (first.clone(), b"1\n2".to_vec()));
        assert_eq!(put(&objects, &Precondition::Absent, b"3"), PutOutcome::PreconditionFailed);
        assert_eq!(
            put(&objects, &Precondition::ETag("\"x\"".into()), b"3"),
            PutOutcome::PreconditionFailed
        );
        assert_eq!(objects.get("a/b.crl").unwrap().unwrap().1, b"1\n2");
        let second = put(&objects, &Precondition::ETag(first.etag), b"3");
        assert!(matches!(second, PutOutcome::Stored(_)));
        assert!(matches!(put(&objects, &Precondition::None, b"4"), PutOutcome::Stored(_)));
    }

    #[test]
    fn one_of_many_concurrent_writers_replaces_the_object() {
        let (_directory, objects) = objects();
        let PutOutcome::Stored(first) = put(&objects, &Precondition::None, b"first") else {
            panic!("no condition");
        };
        let (objects, condition) = (Arc::new(objects), Precondition::ETag(first.etag));
        let writers: Vec<_> = (0..16_u8)
            .map(|number| {
                let (objects, condition) = (objects.clone(), condition.clone());
                std::thread::spawn(move || put(&objects, &condition, &[number]))
            })
            .collect();
        let written = writers.into_iter().map(|writer| writer.join().unwrap());
        assert_eq!(written.filter(|it| matches!(it, PutOutcome::Stored(_))).count(), 1);
    }

    #[test]
    fn no_key_escapes_the_directory() {
        let (_directory, objects) = objects();
        for key in ["../x", "a/../../x", "/etc/passwd", "", "a//b", ".new", "a/.b", "a\\b", "é"] {
            assert!(objects.get(key).unwrap().is_none(), "{key}");
            assert!(objects.put(key, &Precondition::None, BTreeMap::new(), b"").is_err(), "{key}");
        }
        put(&objects, &Precondition::None, b"");
        assert!(objects.get("a").unwrap().is_none() && objects.get("a/b.crl/c").unwrap().is_none());
    }
}
