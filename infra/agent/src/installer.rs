//! The broker's files: put in place when they are to change, and put back when somebody changed them.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use pki::names::DeviceId;
use sha2::{Digest as _, Sha256};

use crate::{
    brokers::Output,
    files::{self, Stamp},
};

/// What tells one set of files and of denied devices from another.
pub(crate) type Fingerprint = [u8; 32];

/// Remembers the files that it found or put in place, so as not to read them at every look.
#[derive(Default)]
pub(crate) struct Installer {
    known: HashMap<PathBuf, (Stamp, Fingerprint)>,
}

impl Installer {
    /// What of `outputs` is not in place.
    pub(crate) fn missing<'a>(&mut self, outputs: &'a [Output]) -> anyhow::Result<Vec<&'a Output>> {
        let mut missing = Vec::new();
        for output in outputs {
            let Some(stamp) = Stamp::of(&output.path) else {
                missing.push(output);
                continue;
            };
            if self.known.get(&output.path) == Some(&(stamp, output.digest)) {
                continue;
            }
            if files::read(&output.path)?.as_ref() == Some(&output.content) {
                self.known.insert(output.path.clone(), (stamp, output.digest));
            } else {
                missing.push(output);
            }
        }
        Ok(missing)
    }

    pub(crate) fn put(&mut self, output: &Output) -> anyhow::Result<()> {
        if let Some(folder) = output.path.parent() {
            fs::create_dir_all(folder)?;
        }
        files::replace(&output.path, &output.content, output.like.as_deref())?;
        if let Some(stamp) = Stamp::of(&output.path) {
            self.known.insert(output.path.clone(), (stamp, output.digest));
        }
        Ok(())
    }
}

/// Removes CRLs that are not among `outputs`, of CAs that are over, from the folder that has one a CA.
pub(crate) fn sweep(folder: &Path, outputs: &[Output]) -> anyhow::Result<()> {
    let Ok(files) = fs::read_dir(folder) else { return Ok(()) };
    for file in files {
        let path = file?.path();
        let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        let number = extension.strip_prefix('r').map(str::parse::<u32>);
        let is_crl = extension == "crl" || matches!(number, Some(Ok(_)));
        if is_crl && !outputs.iter().any(|output| output.path == path) {
            files::remove(&path)?;
        }
    }
    Ok(())
}

/// Of what a broker is told by files, and what by other means.
pub(crate) fn fingerprint(outputs: &[Output], denied: &[DeviceId]) -> Fingerprint {
    let mut digest = Sha256::new();
    for output in outputs {
        digest.update(Sha256::digest(output.path.as_os_str().as_encoded_bytes()));
        digest.update(output.digest);
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
    fn puts_back_what_somebody_changed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("crls/a.r0");
        let output = |content: &str| vec![Output::new(path.clone(), content.into())];
        let (one, two) = (output("one"), output("two"));
        let id = "dev_0123456789ABCDEFGHIJKL".parse().unwrap();
        assert_ne!(fingerprint(&one, &[]), fingerprint(&two, &[]));
        assert_ne!(fingerprint(&one, &[]), fingerprint(&one, &[id]));
        let mut installer = Installer::default();
        let mut settle = |outputs: &[Output]| {
            let missing = installer.missing(outputs).unwrap();
            missing.iter().for_each(|output| installer.put(output).unwrap());
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
        assert_eq!(found, 0, "in place, as after a restart");
    }

    #[test]
    fn removes_crls_of_cas_that_are_over_and_nothing_else() {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.r0", "a.r1", "a.crl", "b.crl", "a.rx", "README"] {
            fs::write(path(name), "").unwrap();
        }
        let outputs = ["a.r0", "a.crl"].map(|name| Output::new(path(name), Vec::new()));
        sweep(folder.path(), &outputs).unwrap();
        let left = ["a.r0", "a.r1", "a.crl", "b.crl", "a.rx", "README"].map(|it| path(it).exists());
        assert_eq!(left, [true, false, true, false, true, true]);
        sweep(&path("none"), &outputs).unwrap();
    }
}
