//! `birthcert ca root`, and the part of a whole ceremony that makes the root.

use std::{fmt, path::PathBuf};

use pki::clock::Timestamp;
use serde::Serialize;

use super::years::Years;
use crate::{
    confirm::Consent,
    exit::Stop,
    fields::Fields,
    files::expect_new,
    output::Format,
    plan::Plan,
    root::{CERTIFICATE_FILE, Key, KeyPlace, NewRoot, Root, Secrets, TokenArguments},
    transcript::Transcript,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  # A dry run, then the same with --yes
  birthcert ca root --directory root --common-name \"Example root\"
  birthcert ca root --directory root --common-name \"Example root\" --yes

  # With its key in a PKCS#11 token
  birthcert ca root --directory root --pkcs11-module /usr/lib/softhsm/libsofthsm2.so \\
      --token-label Example --key-label \"Example root\" --yes";

#[derive(clap::Args)]
pub(crate) struct RootCommand {
    /// Directory for what is made; nothing in it is overwritten.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// The root's common name.
    #[arg(long, default_value = "birthcert root")]
    common_name: String,
    /// The root's organization.
    #[arg(long)]
    organization: Option<String>,
    /// Years until the root expires; unless given, it does not. What is below it must expire before.
    #[arg(long, value_name = "YEARS")]
    valid_years: Option<Years>,
    #[command(flatten)]
    token: TokenArguments,
    /// Make a root of the key that is in the token: after an interruption, or for a key that the
    /// token's own tools made. A key file that an interruption left is used in any case.
    #[arg(long)]
    existing_key: bool,
    #[command(flatten)]
    secrets: Secrets,
    #[command(flatten)]
    consent: Consent,
}

/// A root to be made.
pub(super) struct RootTask {
    pub(super) directory: PathBuf,
    pub(super) common_name: String,
    pub(super) organization: Option<String>,
    pub(super) valid: Option<Years>,
    pub(super) place: KeyPlace,
    pub(super) existing_key: bool,
}

impl RootTask {
    pub(super) fn certificate(&self) -> PathBuf {
        self.directory.join(CERTIFICATE_FILE)
    }

    /// What the root will be.
    pub(super) fn asked(&self, now: Timestamp) -> NewRoot<'_> {
        NewRoot {
            common_name: &self.common_name,
            organization: self.organization.as_deref(),
            not_after: self.valid.map_or(Timestamp::NEVER, |years| years.from(now)),
        }
    }

    /// Whether there is a key to go on with.
    pub(super) fn key(&self) -> anyhow::Result<Key> {
        let (key, what) = (self.place.look()?, self.place.describe());
        match (&key, &self.place) {
            (Key::Absent, _) if self.existing_key => {
                Err(Stop::Missing(format!("key {what}")).into())
            }
            (Key::There(_), KeyPlace::Token(_)) if !self.existing_key => {
                let text = format!(
                    "there is a key {what} already; to make a root of it, give --existing-key"
                );
                Err(Stop::Refused(text).into())
            }
            _ => Ok(key),
        }
    }

    pub(super) fn plan(&self, plan: Plan, now: Timestamp) -> anyhow::Result<Plan> {
        expect_new(&self.certificate())?;
        let key = self.key()?;
        let (public, state) = key.public()?;
        let draft = self.asked(now).draft(&public, now)?;
        let certificate = self.certificate();
        Ok(plan
            .step(self.key_step(&key))
            .step(format!("sign the root's certificate and write {}", certificate.display()))
            .certificate(Fields::of_draft(draft.der(), state)?))
    }

    fn key_step(&self, key: &Key) -> String {
        let what = self.place.describe();
        match (key, &self.place) {
            (Key::There(_), _) => format!("go on with the key {what}, which is there"),
            (Key::Absent, KeyPlace::File(_)) => {
                format!("make a key and write it, encrypted, to {what}")
            }
            (Key::Absent, KeyPlace::Token(_)) => {
                format!("make the key {what}, which cannot leave it")
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
            Key::Absent => self.place.make(secrets)?,
            Key::There(_) => self.place.open(secrets)?,
        };
        transcript.step(self.key_step(&found));
        if let (Key::Absent, Some(file)) = (&found, self.place.file()) {
            transcript.output(&file)?;
        }
        let root = Root::create(&self.directory, key, &self.asked(now), now)?;
        let certificate = self.certificate();
        transcript.step(format!("signed the root's certificate {}", certificate.display()));
        transcript.output(&certificate)?;
        transcript.certificate(root.certificate().der())?;
        Ok(root)
    }
}

#[derive(Serialize)]
struct MadeRoot {
    key: String,
    certificate: PathBuf,
    transcript: PathBuf,
}

impl fmt::Display for MadeRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The root's key:         {}", self.key)?;
        writeln!(f, "The root's certificate: {}", self.certificate.display())?;
        write!(f, "Transcript:             {}", self.transcript.display())
    }
}

impl RootCommand {
    pub(crate) fn run(self, output: Format, now: Timestamp) -> anyhow::Result<()> {
        let task = RootTask {
            place: self.token.place(&self.directory),
            directory: self.directory,
            common_name: self.common_name,
            organization: self.organization,
            valid: self.valid_years,
            existing_key: self.existing_key,
        };
        let plan = task.plan(Plan::new(), now)?;
        if !self.consent.given(output, plan)? {
            return Ok(());
        }
        let transcript = Transcript::begin("ca root", &task.directory)?;
        let (_, transcript) =
            transcript.of(|transcript| task.run(&self.secrets, transcript, now))?;
        let (key, certificate) = (task.place.describe(), task.certificate());
        output.print(&MadeRoot { key, certificate, transcript })
    }
}
