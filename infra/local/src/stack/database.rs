//! The database file of the embedded DynamoDB.
//!
//! The file survives every end of the stack except an interrupted first start. dynoxide creates a
//! table in several steps: a first start that is killed in between leaves a table without its index,
//! which no later start can repair. The next start therefore replaces the file. Nothing is lost,
//! because nothing in it was announced before the first start was complete.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, anyhow};
use dynoxide::Database;

const FILE: &str = "dynamodb.sqlite";
/// Exists from before the database file is created until the first start is complete.
const MARKER: &str = "dynamodb.unfinished";

/// Opens the database in `data`. Creates a new one unless a first start was completed there.
pub(super) fn open(data: &Path) -> anyhow::Result<Database> {
    let (file, marker) = (data.join(FILE), data.join(MARKER));
    if marker.exists() {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            remove(&data.join(format!("{FILE}{suffix}")))?;
        }
    }
    if !file.exists() {
        File::create(&marker)?.sync_all()?;
    }
    // SQLite would create the file readable by everyone. Its other files inherit this mode.
    OpenOptions::new().append(true).create(true).mode(0o600).open(&file)?;
    let file = file.to_str().context("the path of the data directory is not valid UTF-8")?;
    Database::new(file).map_err(|error| anyhow!("{FILE}: {error}"))
}

/// Records that the first start is complete, so that the database in `data` is kept.
pub(super) fn keep(data: &Path) -> io::Result<()> {
    remove(&data.join(MARKER))
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn only_the_database_of_an_incomplete_first_start_is_replaced() {
        let data = TempDir::new().unwrap();
        let damage =
            || fs::write(data.path().join(FILE), "no database, but of some length").unwrap();
        drop(open(data.path()).unwrap());
        damage();
        drop(open(data.path()).unwrap());
        keep(data.path()).unwrap();
        keep(data.path()).unwrap();
        drop(open(data.path()).unwrap());
        damage();
        assert!(open(data.path()).is_err());
        assert!(fs::read(data.path().join(FILE)).unwrap().starts_with(b"no database"));
    }
}
