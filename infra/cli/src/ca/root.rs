//! `birthcert ca root`, and the part of a ceremony that creates the root.

use std::{fmt, path::PathBuf};

use pki::clock::Timestamp;
use serde::Serialize;

use super::years::Years;
use crate::{
    ceremony::{
        clock, consent::Consent, fields::CertificateFields, plan::Plan, transcript::Transcript,
    },
    error::CommandError,
    files::expect_new,
    options::secret::HEADING,
    output::format::Format,
    root::{
        ca::{CERTIFICATE_FILE, NewRoot, Root},
        location::{KeyLocation, KeyLookup, Pkcs11Options, Secrets},
    },
};

pub(super) const EXAMPLES: &str = "\
Examples:
  # Dry run, then apply
  birthcert ca root --directory root --common-name \"Example root\"
  birthcert ca root --directory root --common-name \"Example root\" --yes

  # With the key in a PKCS#11 token
  birthcert ca root --directory root --pkcs11-module /usr/lib/softhsm/libsofthsm2.so \\
      --token-label Example --key-label \"Example root\" --yes";

#[derive(clap::Args)]
pub(crate) struct RootCommand {
    /// Directory to create the root in. Existing files are never overwritten.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Common name of the root.
    #[arg(long, value_name = "TEXT", default_value = "birthcert root")]
    common_name: String,
    /// Organization of the root. The default is none.
    #[arg(long, value_name = "TEXT")]
    organization: Option<String>,
    /// Years until the root expires. The default is no expiry. CAs below the root expire no later.
    #[arg(long, value_name = "YEARS")]
    valid_years: Option<Years>,
    #[command(flatten)]
    token: Pkcs11Options,
    /// Use the existing key in the PKCS#11 token: after an interruption, or for a key that the token's
    /// own tools generated. The key file of an interrupted run is always used.
    #[arg(long, help_heading = HEADING)]
    existing_key: bool,
    #[command(flatten)]
    secrets: Secrets,
    #[command(flatten)]
    consent: Consent,
}

/// A root to create.
pub(super) struct RootTask {
    pub(super) directory: PathBuf,
    pub(super) common_name: String,
    pub(super) organization: Option<String>,
    pub(super) valid: Option<Years>,
    pub(super) key_location: KeyLocation,
    pub(super) existing_key: bool,
}

impl RootTask {
    pub(super) fn certificate(&self) -> PathBuf {
        self.directory.join(CERTIFICATE_FILE)
    }

    /// Returns the requested properties of the root.
    pub(super) fn new_root(&self, now: Timestamp) -> NewRoot<'_> {
        NewRoot {
            common_name: &self.common_name,
            organization: self.organization.as_deref(),
            not_after: self.valid.map_or(Timestamp::NEVER, |years| years.from(now)),
        }
    }

    /// Looks for an existing key.
    ///
    /// # Errors
    /// If a token has the key and `--existing-key` is not given, or the key does not exist and it is.
    pub(super) fn key(&self) -> anyhow::Result<KeyLookup> {
        let (key, what) = (self.key_location.look_up()?, self.key_location.describe());
        match (&key, &self.key_location) {
            (KeyLookup::NotFound, _) if self.existing_key => {
                Err(CommandError::Missing(format!("key {what}")).into())
            }
            (KeyLookup::Found(_), KeyLocation::Pkcs11(_)) if !self.existing_key => {
                let text = format!(
                    "the key {what} already exists: to create a root with it, give --existing-key"
                );
                Err(CommandError::Refused(text).into())
            }
            _ => Ok(key),
        }
    }

    pub(super) fn plan(&self, plan: Plan, now: Timestamp) -> anyhow::Result<Plan> {
        expect_new(&self.certificate())?;
        let key = self.key()?;
        let (public, state) = key.for_draft()?;
        let draft = self.new_root(now).draft(&public, now)?;
        let certificate = self.certificate();
        Ok(plan
            .step(self.key_step(&key))
            .step(format!("sign the root's certificate and write {}", certificate.display()))
            .certificate(CertificateFields::of_draft(draft.der(), state)?))
    }

    fn key_step(&self, key: &KeyLookup) -> String {
        let what = self.key_location.describe();
        match (key, &self.key_location) {
            (KeyLookup::Found(_), _) => format!("use the existing key {what}"),
            (KeyLookup::NotFound, KeyLocation::File(_)) => {
                format!("generate a key and write it, encrypted, to {what}")
            }
            (KeyLookup::NotFound, KeyLocation::Pkcs11(_)) => {
                format!("generate the key {what}, which cannot leave the token")
            }
        }
    }

    pub(super) fn run(
        &self,
        secrets: &Secrets,
        transcript: &mut Transcript,
        now: Timestamp,
    ) -> anyhow::Result<Root> {
        let found = self.key()?;
        let key = match &found {
            KeyLookup::NotFound => self.key_location.make(secrets)?,
            KeyLookup::Found(_) => self.key_location.open(secrets)?,
        };
        transcript.step(self.key_step(&found));
        if let (KeyLookup::NotFound, Some(file)) = (&found, self.key_location.file()) {
            transcript.output(&file)?;
        }
        let root = Root::create(&self.directory, key, &self.new_root(now), now)?;
        let certificate = self.certificate();
        transcript.step(format!("signed the root's certificate {}", certificate.display()));
        transcript.output(&certificate)?;
        transcript.certificate(root.certificate().der())?;
        Ok(root)
    }
}

#[derive(Serialize)]
struct CreatedRoot {
    key: String,
    certificate: PathBuf,
    transcript: PathBuf,
}

impl fmt::Display for CreatedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Key:         {}", self.key)?;
        writeln!(f, "Certificate: {}", self.certificate.display())?;
        write!(f, "Transcript:  {}", self.transcript.display())
    }
}

impl RootCommand {
    pub(crate) fn run(self, output: Format, now: Timestamp) -> anyhow::Result<()> {
        let task = RootTask {
            key_location: self.token.location(&self.directory),
            directory: self.directory,
            common_name: self.common_name,
            organization: self.organization,
            valid: self.valid_years,
            existing_key: self.existing_key,
        };
        let plan = task.plan(Plan::new(), now)?;
        let remarks = clock::remarks(now, [], None);
        if !self.consent.given_or_print(output, plan.remarks(remarks.clone()))? {
            return Ok(());
        }
        clock::warn(&remarks);
        let transcript = Transcript::begin("ca root", &task.directory)?;
        let (_, transcript) =
            transcript.record(|transcript| task.run(&self.secrets, transcript, now))?;
        let (key, certificate) = (task.key_location.describe(), task.certificate());
        output.print(&CreatedRoot { key, certificate, transcript })
    }
}
