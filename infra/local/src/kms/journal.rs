//! A journal of signatures, like CloudTrail: one line of JSON per signature.
//!
//! Each line is written before the signature is returned, so every released signature has one. A
//! digest that is in the journal but not on the ledger was signed without the ledger's knowledge.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{identifier::KeyId, message_type::MessageType};

/// The file name of the journal.
pub(super) const FILE: &str = "signatures.jsonl";

/// An upper bound for the length of a line.
const LONGEST_LINE: u64 = 512;

/// The time that a process waits for its predecessor to release the journal.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// A line of the journal.
#[derive(Serialize)]
pub(super) struct JournalEntry<'a> {
    pub(super) at: u64,
    pub(super) key_id: &'a KeyId,
    pub(super) message_type: MessageType,
    /// The signed SHA-256 digest, in hexadecimal.
    pub(super) digest: String,
}

/// The open journal.
///
/// A line survives any end of this process once [`Journal::append`] has returned, because the operating
/// system has it. Lines are not synced to disk: syncing would dominate the time of a signature, and a
/// development stack need not survive a power failure.
pub(super) struct Journal(Mutex<File>);

impl Journal {
    /// Opens the journal and locks it, so that two processes cannot use the same keys.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        lock(&file)?;
        truncate_partial_line(&mut file)?;
        Ok(Self(Mutex::new(file)))
    }

    /// Opens a journal that fails to append.
    #[cfg(test)]
    pub(super) fn unwritable() -> Self {
        Self(Mutex::new(File::open("/dev/null").unwrap()))
    }

    /// Appends a line. After an error, the journal does not contain it.
    pub(super) fn append(&self, entry: &JournalEntry<'_>) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = file.metadata()?.len();
        file.write_all(&line).inspect_err(|_| {
            // A full disk may accept half a line, which the next one would continue. If truncating
            // fails as well, the next start repairs the journal.
            let _ = file.set_len(end);
        })
    }
}

/// Locks the file until it is closed.
fn lock(file: &File) -> io::Result<()> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(LOCK_TIMEOUT / 50);
            }
            Err(TryLockError::WouldBlock) => {
                let message = "in use by another process";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
        }
    }
}

/// Truncates an incomplete last line. Its signature was never returned.
fn truncate_partial_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LONGEST_LINE);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    file.set_len(length - (tail.len() - whole) as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entry(key_id: &KeyId) -> JournalEntry<'_> {
        JournalEntry {
            at: 1_700_000_000,
            key_id,
            message_type: MessageType::Digest,
            digest: "ab".repeat(32),
        }
    }

    #[test]
    fn lines_have_the_documented_format() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let id = KeyId::random();
        let journal = Journal::open(&path).unwrap();
        journal.append(&entry(&id)).unwrap();
        let expected = format!(
            "{{\"at\":1700000000,\"key_id\":\"{}\",\"message_type\":\"DIGEST\",\"digest\":\"{}\"}}\n",
            id.as_str(),
            "ab".repeat(32)
        );
        assert!((expected.len() as u64) < LONGEST_LINE);
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }

    #[test]
    fn continues_after_the_last_complete_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let id = KeyId::random();
        for torn in ["", "{\"at\":17", "{}\n{\"at\":17"] {
            fs::write(&path, torn).unwrap();
            let whole = torn.matches('\n').count();
            Journal::open(&path).unwrap().append(&entry(&id)).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), whole + 1);
            for line in text.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
    }

    #[test]
    fn is_locked_by_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let first = Journal::open(&path).unwrap();
        assert_eq!(Journal::open(&path).err().unwrap().kind(), io::ErrorKind::ResourceBusy);
        let successor = thread::spawn(move || Journal::open(&path));
        drop(first);
        successor.join().unwrap().unwrap();
    }
}
