//! The embedded DynamoDB's file, which outlives any end of the stack but that of its first start.
//!
//! dynoxide makes a table in several steps. A first start that is killed between two of them would
//! leave a table without its index, which no later start could mend; so what a first start made is
//! kept only once it is whole. Until then nobody was told of anything in it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, anyhow};
use dynoxide::Database;

const FILE: &str = "dynamodb.sqlite";
/// There from before the database's file is made until its first start is over.
const MARKER: &str = "dynamodb.unfinished";

/// Opens the database in `data`; a new one, unless a start was once finished there.
pub(crate) fn open(data: &Path) -> anyhow::Result<Database> {
    let (file, marker) = (data.join(FILE), data.join(MARKER));
    if marker.exists() {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            remove(&data.join(format!("{FILE}{suffix}")))?;
        }
    }
    if !file.exists() {
        File::create(&marker)?.sync_all()?;
    }
    // Before SQLite would make it as everyone's to read; its other files take after this one.
    OpenOptions::new().append(true).create(true).mode(0o600).open(&file)?;
    let file = file.to_str().context("the path of the data is not UTF-8")?;
    Database::new(file).map_err(|error| anyhow!("{FILE}: {error}"))
}

/// Keeps the database in `data`: its first start is over.
pub(crate) fn keep(data: &Path) -> io::Result<()> {
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
    fn what_an_unfinished_start_left_is_made_anew_and_nothing_else() {
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
