//! A directory that only its owner can read, in which files are replaced atomically.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use p256::elliptic_curve::zeroize::Zeroizing;

const TEMPORARY: &str = ".tmp";

/// A directory with mode 0700, whose files have mode 0600 from their creation.
pub(super) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Opens the directory at `path` and creates it if it does not exist.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Returns the path of the file `name`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the stems of the files with this extension.
    pub(super) fn stems(&self, extension: &str) -> io::Result<Vec<String>> {
        let mut stems = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let stem =
                name.to_str().and_then(|name| name.strip_suffix(extension)?.strip_suffix('.'));
            stems.extend(stem.map(str::to_owned));
        }
        Ok(stems)
    }

    /// Reads a file. The text is zeroized on drop because it may be a private key.
    pub(super) fn read(&self, name: &str) -> io::Result<Zeroizing<String>> {
        fs::read_to_string(self.path(name)).map(Zeroizing::new)
    }

    /// Creates or replaces the file `name` atomically: after a crash, it has either its old or its
    /// new content. Calls for the same name must not overlap.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.path(&format!("{name}{TEMPORARY}"));
        let replaced =
            write_new(&temporary, content).and_then(|()| fs::rename(&temporary, self.path(name)));
        if let Err(error) = replaced {
            // A leftover file would make the next attempt fail. The first error is the one to report.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        File::open(&self.0)?.sync_all()
    }

    /// Removes the temporary files of interrupted writes.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for stem in self.stems(&TEMPORARY[1..])? {
            fs::remove_file(self.path(&format!("{stem}{TEMPORARY}")))?;
        }
        Ok(())
    }
}

fn write_new(path: &PathBuf, content: &[u8]) -> io::Result<()> {
    // The mode is set at creation: before a later chmod, others could read the key. An existing file
    // would keep its mode, so the file must be new.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: PathBuf) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_directory_and_its_files_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(parent.path().join("kms")).unwrap();
        directory.write("a.json", b"1").unwrap();
        assert_eq!(mode(directory.path("")), 0o700);
        assert_eq!(mode(directory.path("a.json")), 0o600);
    }

    #[test]
    fn a_write_replaces_the_file_and_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(parent.path().to_owned()).unwrap();
        directory.write("a.json", b"a longer first").unwrap();
        directory.write("a.json", b"second").unwrap();
        assert_eq!(*directory.read("a.json").unwrap(), "second");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_can_be_repeated() {
        let parent = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(parent.path().to_owned()).unwrap();
        fs::create_dir(directory.path("a.json")).unwrap();
        assert!(directory.write("a.json", b"1").is_err());
        fs::remove_dir(directory.path("a.json")).unwrap();
        directory.write("a.json", b"1").unwrap();
    }

    #[test]
    fn sweeps_only_interrupted_writes() {
        let parent = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(parent.path().to_owned()).unwrap();
        directory.write("a.json", b"1").unwrap();
        fs::write(directory.path("a.json.tmp"), b"{").unwrap();
        directory.sweep().unwrap();
        assert_eq!(directory.stems("json").unwrap(), ["a"]);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
