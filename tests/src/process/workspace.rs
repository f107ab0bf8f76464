//! The programs of this workspace.

use std::path::PathBuf;

use anyhow::Context as _;

/// Returns the path of a program of this workspace, from the same build as the tests.
///
/// # Errors
/// If the program is not built; the message says how to build it.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let found = tests.ancestors().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built; build it with: cargo build --workspace"))
}
