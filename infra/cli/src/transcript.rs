//! What was done at a ceremony, for those who were not there: beside the root, once as JSON and once
//! to be read and signed by hand. It holds no secret, and an earlier one is never overwritten.

use std::{
    env,
    fmt::{self, Write as _},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use pki::{clock::Timestamp, hex};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    fields::Fields,
    files::{ensure_private_directory, write_new},
};

/// A ceremony as it goes on.
#[derive(Serialize)]
pub(crate) struct Transcript {
    command: &'static str,
    outcome: String,
    started_at: Timestamp,
    ended_at: Timestamp,
    machine: String,
    user: String,
    present: Vec<String>,
    tool: Tool,
    inputs: Vec<HashedFile>,
    steps: Vec<String>,
    certificates: Vec<Fields>,
    outputs: Vec<HashedFile>,
    #[serde(skip)]
    directory: PathBuf,
}

/// The program that did it.
#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
    /// SHA-256 of the program's file, in hex.
    sha256: String,
}

/// A file by its contents.
#[derive(Serialize)]
struct HashedFile {
    path: PathBuf,
    /// SHA-256 of its bytes, in hex.
    sha256: String,
}

impl Transcript {
    /// Begins one that will be kept in `directory`.
    ///
    /// # Errors
    /// When the program cannot be read.
    pub(crate) fn begin(command: &'static str, directory: &Path) -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot find this program")?;
        let now = Timestamp::now();
        Ok(Self {
            command,
            outcome: String::new(),
            started_at: now,
            ended_at: now,
            machine: gethostname::gethostname().to_string_lossy().into_owned(),
            user: user(),
            present: Vec::new(),
            tool: Tool {
                name: "birthcert",
                version: env!("CARGO_PKG_VERSION"),
                sha256: hashed(&program)?.sha256,
            },
            inputs: Vec::new(),
            steps: Vec::new(),
            certificates: Vec::new(),
            outputs: Vec::new(),
            directory: directory.to_owned(),
        })
    }

    /// Who was there, by their own word.
    pub(crate) fn present(&mut self, names: &[String]) {
        self.present.extend_from_slice(names);
    }

    pub(crate) fn step(&mut self, step: impl Into<String>) {
        self.steps.push(step.into());
    }

    /// A file as it was read.
    pub(crate) fn input(&mut self, path: &Path, contents: impl AsRef<[u8]>) {
        let sha256 = hex(&Sha256::digest(contents));
        self.inputs.push(HashedFile { path: path.to_owned(), sha256 });
    }

    /// A file as it was written.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn output(&mut self, path: &Path) -> anyhow::Result<()> {
        self.outputs.push(hashed(path)?);
        Ok(())
    }

    pub(crate) fn certificate(&mut self, der: &[u8]) -> anyhow::Result<()> {
        self.certificates.push(Fields::of_certificate(der)?);
        Ok(())
    }

    /// Ends it with what came of `work`, good or bad, and writes it. Its JSON's path beside what the
    /// work gave.
    ///
    /// # Errors
    /// Those of `work`, or when the transcript cannot be written.
    pub(crate) fn of<T>(
        mut self,
        work: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, PathBuf)> {
        let result = work(&mut self);
        self.outcome = match &result {
            Ok(_) => "done".into(),
            Err(error) => format!("failed: {error:#}"),
        };
        self.ended_at = Timestamp::now();
        match result {
            Ok(value) => {
                Ok((value, self.write().context("all was done, but there is no transcript")?))
            }
            // What failed before anything was done left nothing to tell of.
            Err(error) if self.steps.is_empty() => Err(error),
            Err(error) => match self.write() {
                Ok(_) => Err(error),
                Err(unwritten) => Err(error.context(format!("no transcript: {unwritten:#}"))),
            },
        }
    }

    fn write(&self) -> anyhow::Result<PathBuf> {
        ensure_private_directory(&self.directory)?;
        // Without colons, which some file systems refuse on the sticks that carry it.
        let time = self.started_at.to_string().replace([':', '-'], "");
        let place = |suffix: &str, kind: &str| {
            self.directory.join(format!("transcript-{time}{suffix}.{kind}"))
        };
        let is_free =
            |suffix: &&String| ["json", "txt"].iter().all(|kind| !place(suffix, kind).exists());
        let suffixes = (2..).map(|number| format!("-{number}"));
        let suffix = std::iter::once(String::new()).chain(suffixes).find(|it| is_free(&it));
        let suffix = suffix.unwrap_or_default();
        let json = place(&suffix, "json");
        write_new(&json, serde_json::to_string_pretty(self)? + "\n")?;
        write_new(&place(&suffix, "txt"), format!("{self}\n"))?;
        Ok(json)
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Transcript of birthcert {}\n", self.command)?;
        let Tool { name, version, sha256 } = &self.tool;
        for (name, value) in [
            ("outcome", &self.outcome),
            ("started", &self.started_at.to_string()),
            ("ended", &self.ended_at.to_string()),
            ("machine", &self.machine),
            ("user", &self.user),
            ("present", &self.present.join(", ")),
            ("tool", &format!("{name} {version}, SHA-256 {sha256}")),
        ] {
            if !value.is_empty() {
                writeln!(f, "{name:<8} {value}")?;
            }
        }
        files(f, "Inputs", &self.inputs)?;
        f.write_str("\nSteps")?;
        for (number, step) in self.steps.iter().enumerate() {
            write!(f, "\n  {}. {step}", number + 1)?;
        }
        f.write_char('\n')?;
        files(f, "Outputs", &self.outputs)?;
        for fields in &self.certificates {
            writeln!(f, "\n{fields}")?;
        }
        f.write_str("\nSigned by those present:\n")
    }
}

fn files(f: &mut fmt::Formatter<'_>, title: &str, files: &[HashedFile]) -> fmt::Result {
    if files.is_empty() {
        return Ok(());
    }
    write!(f, "\n{title}, with their SHA-256\n")?;
    // As sha256sum prints it, and with its --check reads it.
    files.iter().try_for_each(|it| writeln!(f, "{}  {}", it.sha256, it.path.display()))
}

/// Who started the program: by the name that the environment says, and by the kernel's number, where
/// that is told.
fn user() -> String {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    let name = name.unwrap_or_else(|| "unknown".into());
    match fs::metadata("/proc/self") {
        Ok(process) => format!("{name} (uid {})", process.uid()),
        Err(_) => name,
    }
}

fn hashed(path: &Path) -> anyhow::Result<HashedFile> {
    let contents = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(HashedFile { path: path.to_owned(), sha256: hex(&Sha256::digest(contents)) })
}
