//! The account of what was signed, as CloudTrail keeps it: a line of JSON for every signature,
//! written before the signature is handed out. So no signature exists that is not in it; what the
//! journal has and the ledger has not was signed behind the ledger's back.

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

use super::{address::KeyId, sign::MessageType};

/// The name of the journal's file.
pub(super) const FILE: &str = "signatures.jsonl";

/// No line is longer than this.
const LONGEST_LINE: u64 = 512;

/// How long a process that was told to end may take to, after its successor was started.
const PATIENCE: Duration = Duration::from_secs(2);

/// A signature.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    pub(super) at: u64,
    pub(super) key_id: &'a KeyId,
    pub(super) message_type: MessageType,
    /// The SHA-256 digest that was signed, in hexadecimal.
    pub(super) digest: String,
}

/// A line is with the operating system when [`Journal::append`] returns and outlives this process,
/// however that ends. It is not synced to the disk: that would be by far the slowest part of a
/// signature, to survive a power cut that a development stack need not survive.
pub(super) struct Journal(Mutex<File>);

impl Journal {
    /// Opens the journal and locks it, so that two processes cannot share one set of keys.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        lock(&file)?;
        drop_torn_line(&mut file)?;
        Ok(Self(Mutex::new(file)))
    }

    /// One that cannot be written to.
    #[cfg(test)]
    pub(super) fn unwritable() -> Self {
        Self(Mutex::new(File::open("/dev/null").unwrap()))
    }

    /// Adds a line. After an error, it is not there.
    pub(super) fn append(&self, entry: &Entry<'_>) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = file.metadata()?.len();
        file.write_all(&line).inspect_err(|_| {
            // A disk that is full takes half a line, and the next one would continue it. Should
            // this fail as well, opening the journal mends it.
            let _ = file.set_len(end);
        })
    }
}

/// Locks the file, for as long as it is open.
fn lock(file: &File) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(PATIENCE / 50);
            }
            Err(TryLockError::WouldBlock) => {
                let message = "in use by another process";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
        }
    }
}

/// Cuts off a last line that was not written to its end. Its signature was never handed out.
fn drop_torn_line(file: &mut File) -> io::Result<()> {
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

    fn entry(key_id: &KeyId) -> Entry<'_> {
        Entry {
            at: 1_700_000_000,
            key_id,
            message_type: MessageType::Digest,
            digest: "ab".repeat(32),
        }
    }

    #[test]
    fn a_line_is_what_a_reader_expects() {
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
    fn continues_after_the_last_whole_line() {
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
    fn has_one_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let first = Journal::open(&path).unwrap();
        assert_eq!(Journal::open(&path).err().unwrap().kind(), io::ErrorKind::ResourceBusy);
        let successor = thread::spawn(move || Journal::open(&path));
        drop(first);
        successor.join().unwrap().unwrap();
    }
}
