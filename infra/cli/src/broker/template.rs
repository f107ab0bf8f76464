//! Files generated from templates.

use std::{
    fmt,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::{
    files::{expect_new, write_new},
    output::format::Format,
};

/// A generated file.
pub(super) struct GeneratedFile {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) is_program: bool,
}

impl GeneratedFile {
    pub(super) fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), is_program: false }
    }
}

#[derive(Serialize)]
struct Written {
    files: Vec<PathBuf>,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, file) in self.files.iter().enumerate() {
            let line = if index == 0 { "Written: " } else { "\n         " };
            write!(f, "{line}{}", file.display())?;
        }
        Ok(())
    }
}

/// Writes the files to a directory, which is created if needed.
///
/// # Errors
/// If a file exists, or cannot be written.
pub(super) fn write(
    folder: &Path,
    files: Vec<GeneratedFile>,
    output: Format,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let paths: Vec<_> = files.iter().map(|file| folder.join(file.name)).collect();
    for path in &paths {
        // Before the first write: all files or none, as far as possible.
        expect_new(path)?;
    }
    for (file, path) in files.iter().zip(&paths) {
        write_new(path, &file.text)?;
        if file.is_program {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        }
    }
    output.print(&Written { files: paths })
}

/// A configuration whose addresses and paths are replaced.
pub(super) struct Template(pub(super) String);

impl Template {
    /// Replaces `from`.
    ///
    /// # Errors
    /// If the template does not contain `from`, because it changed.
    pub(super) fn replace(self, from: &str, to: &str) -> anyhow::Result<Self> {
        ensure!(self.0.contains(from), "the template does not contain {from:?}");
        Ok(Self(self.0.replace(from, to)))
    }
}
