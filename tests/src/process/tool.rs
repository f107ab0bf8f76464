//! External tools: where they are, and how they run.

use std::env;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::time::timeout;

const RUN_LIMIT: Duration = Duration::from_secs(60);

/// The result of a tool that ran to its end.
#[derive(Debug)]
pub struct ToolOutput {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output, followed by standard error.
    pub output: String,
}

/// Finds a program. Pinned ones come first, so that no other version on `PATH` takes precedence.
///
/// # Errors
/// If the program is missing; the message says how to install it.
pub fn find(name: &str) -> anyhow::Result<PathBuf> {
    let pinned = folder().map(|folder| folder.join("venv/bin")).ok();
    let path = env::var_os("PATH").unwrap_or_default();
    pinned
        .into_iter()
        .chain(env::split_paths(&path))
        // Debian's directory for servers, which is only on root's PATH.
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .with_context(|| missing(name))
}

/// Returns the folder that `tests/tools/install` fills, in cargo's target folder.
///
/// # Errors
/// If the folder is missing; the message says how to create it.
pub fn folder() -> anyhow::Result<PathBuf> {
    // Relative to the test binary, however the target folder was set.
    let binary = env::current_exe()?;
    let found = binary.ancestors().map(|dir| dir.join("test-tools")).find(|dir| dir.is_dir());
    found.with_context(|| missing("target/test-tools"))
}

/// Returns a program in that folder.
///
/// # Errors
/// As [`find`].
pub fn pinned(path: &str) -> anyhow::Result<PathBuf> {
    let program = folder()?.join(path);
    program.is_file().then_some(program).with_context(|| missing(path))
}

/// Runs a tool to its end, without input.
///
/// # Errors
/// If the tool is missing or does not end. Callers check the exit status.
pub async fn run(
    name: &str,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<ToolOutput> {
    let mut command = Command::new(find(name)?);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(RUN_LIMIT, command.output())
        .await
        .with_context(|| format!("{name} did not end within {RUN_LIMIT:?}"))?
        .with_context(|| format!("starting {name}"))?;
    let output = [ended.stdout, ended.stderr].concat();
    Ok(ToolOutput {
        status: ended.status,
        output: String::from_utf8_lossy(&output).trim_end().to_owned(),
    })
}

/// Creates a file for a tool that reads only files; removed when dropped.
///
/// # Errors
/// If the file cannot be written.
pub fn file(contents: &str) -> anyhow::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(contents.as_bytes())?;
    Ok(file)
}

pub(crate) fn missing(what: &str) -> String {
    format!("{what} is not here; install it with: tests/tools/install")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_the_line_that_installs_it() {
        let error = find("no-such-tool").unwrap_err().to_string();
        assert_eq!(error, "no-such-tool is not here; install it with: tests/tools/install");
    }
}
