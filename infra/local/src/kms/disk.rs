//! The directory that everything is kept in. What is in it is only ever replaced as a whole, and
//! nobody else may read it at any moment.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use p256::elliptic_curve::zeroize::Zeroizing;

const TEMPORARY: &str = ".tmp";

pub(super) struct Directory(PathBuf);

impl Directory {
    /// The directory at `path`, made if need be.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The stems of the files that end in `.{extension}`.
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

    /// The whole of a file. It may be a private key, and is wiped as such.
    pub(super) fn read(&self, name: &str) -> io::Result<Zeroizing<String>> {
        fs::read_to_string(self.path(name)).map(Zeroizing::new)
    }

    /// Puts `content` in the place of whatever was under `name`. A crash leaves the one or the
    /// other, whole. Two calls for one name must not overlap.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.path(&format!("{name}{TEMPORARY}"));
        let replaced =
            write_new(&temporary, content).and_then(|()| fs::rename(&temporary, self.path(name)));
        if let Err(error) = replaced {
            // What is left of it would be in the way of the next attempt. That it cannot be removed
            // is no news beside the error there is.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        File::open(&self.0)?.sync_all()
    }

    /// Removes what a write left behind that never came to its end.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for stem in self.stems(&TEMPORARY[1..])? {
            fs::remove_file(self.path(&format!("{stem}{TEMPORARY}")))?;
        }
        Ok(())
    }
}

fn write_new(path: &PathBuf, content: &[u8]) -> io::Result<()> {
    // The mode from the start: between a creation and a chmod, a key would lie open. And a new
    // file, because an existing one would keep its mode.
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
    fn everything_is_private() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::open(parent.path().join("kms")).unwrap();
        directory.write("a.json", b"1").unwrap();
        assert_eq!(mode(directory.path("")), 0o700);
        assert_eq!(mode(directory.path("a.json")), 0o600);
    }

    #[test]
    fn a_write_replaces_and_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::open(parent.path().to_owned()).unwrap();
        directory.write("a.json", b"a longer first").unwrap();
        directory.write("a.json", b"second").unwrap();
        assert_eq!(*directory.read("a.json").unwrap(), "second");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_can_be_repeated() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::open(parent.path().to_owned()).unwrap();
        fs::create_dir(directory.path("a.json")).unwrap();
        assert!(directory.write("a.json", b"1").is_err());
        fs::remove_dir(directory.path("a.json")).unwrap();
        directory.write("a.json", b"1").unwrap();
    }

    #[test]
    fn sweeps_only_what_was_cut_short() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::open(parent.path().to_owned()).unwrap();
        directory.write("a.json", b"1").unwrap();
        fs::write(directory.path("a.json.tmp"), b"{").unwrap();
        directory.sweep().unwrap();
        assert_eq!(directory.stems("json").unwrap(), ["a"]);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
