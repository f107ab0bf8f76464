//! The transcript of a ceremony, in the root's directory: as JSON, and as text to be signed by hand. It
//! contains no secrets, and never overwrites an earlier transcript.

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

use super::fields::CertificateFields;
use crate::files::{ensure_private_directory, write_new};

/// The transcript of a running ceremony.
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
    certificates: Vec<CertificateFields>,
    outputs: Vec<HashedFile>,
    #[serde(skip)]
    directory: PathBuf,
}

/// The program that held the ceremony.
#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
    /// SHA-256 of the program's file, in hex.
    sha256: String,
}

/// A file and its hash.
#[derive(Serialize)]
struct HashedFile {
    path: PathBuf,
    /// SHA-256 of the contents, in hex.
    sha256: String,
}

impl Transcript {
    /// Begins a transcript that will be written to `directory`.
    ///
    /// # Errors
    /// If the program's file cannot be read.
    pub(crate) fn begin(command: &'static str, directory: &Path) -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot locate this program's file")?;
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

    /// Adds people who attend, as the input names them.
    pub(crate) fn attended_by(&mut self, names: &[String]) {
        self.present.extend_from_slice(names);
    }

    /// Adds a step that was taken.
    pub(crate) fn step(&mut self, step: impl Into<String>) {
        self.steps.push(step.into());
    }

    /// Adds a file that was read.
    pub(crate) fn input(&mut self, path: &Path, contents: impl AsRef<[u8]>) {
        let sha256 = hex(&Sha256::digest(contents));
        self.inputs.push(HashedFile { path: path.to_owned(), sha256 });
    }

    /// Adds a file that was written.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn output(&mut self, path: &Path) -> anyhow::Result<()> {
        self.outputs.push(hashed(path)?);
        Ok(())
    }

    /// Adds a certificate that was signed.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub(crate) fn certificate(&mut self, der: &[u8]) -> anyhow::Result<()> {
        self.certificates.push(CertificateFields::of_certificate(der)?);
        Ok(())
    }

    /// Runs `work`, and writes the transcript with its outcome. Returns the result and the path of the JSON.
    ///
    /// # Errors
    /// If `work` fails, or the transcript cannot be written.
    pub(crate) fn record<T>(
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
            Ok(value) => Ok((
                value,
                self.write()
                    .context("everything was done, but the transcript cannot be written")?,
            )),
            // A failure before the first step left nothing to record.
            Err(error) if self.steps.is_empty() => Err(error),
            Err(error) => match self.write() {
                Ok(_) => Err(error),
                Err(unwritten) => {
                    Err(error.context(format!("cannot write the transcript: {unwritten:#}")))
                }
            },
        }
    }

    fn write(&self) -> anyhow::Result<PathBuf> {
        ensure_private_directory(&self.directory)?;
        // Some file systems of USB sticks refuse colons.
        let time = self.started_at.to_string().replace([':', '-'], "");
        let path = |suffix: &str, kind: &str| {
            self.directory.join(format!("transcript-{time}{suffix}.{kind}"))
        };
        let is_free =
            |suffix: &&String| ["json", "txt"].iter().all(|kind| !path(suffix, kind).exists());
        let suffixes = (2..).map(|number| format!("-{number}"));
        let suffix = std::iter::once(String::new()).chain(suffixes).find(|it| is_free(&it));
        let suffix = suffix.unwrap_or_default();
        let json = path(&suffix, "json");
        write_new(&json, serde_json::to_string_pretty(self)? + "\n")?;
        write_new(&path(&suffix, "txt"), format!("{self}\n"))?;
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
    // The format of sha256sum, whose --check reads it.
    files.iter().try_for_each(|it| writeln!(f, "{}  {}", it.sha256, it.path.display()))
}

/// Returns the user who started the program: the name from the environment and, on Linux, the uid.
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
