//! `birthcert ca root-crl`: the root's CRL, which revokes subordinate CAs. Works offline.
//!
//! The last CRL in the root's directory is the state: its number, and its entries. It is signed, so that
//! nothing else needs to be stored or trusted.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use der::Decode;
use pki::{
    authority::{CaCertificate, ChainCertificate},
    clock::Timestamp,
    crl::{self, BACKDATED_SECONDS, Contents, CrlReason, Entry, LintedCrl, Serial, VerifiedCrl},
    hex,
};
use serde::Serialize;
use x509_cert::Certificate;

use crate::{
    ceremony::{clock, consent::Consent, plan::Plan, transcript::Transcript},
    error::CommandError,
    files::{expect_new, read, write_new},
    output::format::Format,
    root::{
        ca::Root,
        location::{Pkcs11Options, Secrets},
    },
};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
const PREFIX: &str = "root-crl-";

pub(super) const EXAMPLES: &str = "\
Examples:
  # The first CRL, without entries; then a new one every year, before the last expires
  birthcert ca root-crl --root root --yes

  # Revoke a subordinate CA
  birthcert ca root-crl --root root --revoke device.pem --reason cACompromise --yes";

pub(super) const NOTES: &str = "\
Publish the newest root-crl-NUMBER.crl at the URL in the subordinates' certificates (--root-crl-url).";

#[derive(clap::Args)]
pub(crate) struct RootCrlCommand {
    /// Directory of the root: its certificate and, unless it is in a PKCS#11 token, its key. The CRL is
    /// written there, as root-crl-NUMBER.crl (DER) and root-crl-NUMBER.pem.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Certificate of a subordinate CA to revoke permanently. Repeat for several.
    #[arg(long, value_name = "FILE")]
    revoke: Vec<PathBuf>,
    /// Reason, for all certificates of --revoke.
    #[arg(long, value_enum, default_value = "unspecified", requires = "revoke")]
    reason: Reason,
    /// Last CRL, if it is not in the directory. Its entries stay revoked.
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Number of the CRL, higher than any before. The default is the next number.
    #[arg(long)]
    number: Option<u64>,
    /// Days until the CRL expires. Verifiers that check it reject everything after that: publish a newer
    /// CRL before.
    #[arg(long, default_value_t = 365, value_name = "DAYS",
          value_parser = clap::value_parser!(u32).range(1..=36_525))]
    valid_days: u32,
    #[command(flatten)]
    token: Pkcs11Options,
    #[command(flatten)]
    secrets: Secrets,
    #[command(flatten)]
    consent: Consent,
}

/// Reasons to revoke a CA (RFC 5280, section 5.3.1).
#[derive(Clone, Copy, clap::ValueEnum)]
enum Reason {
    /// No reason given.
    #[value(name = "unspecified")]
    Unspecified,
    /// Somebody else can sign with the CA's key.
    #[value(name = "cACompromise")]
    CaCompromise,
    /// The CA belongs to another organization.
    #[value(name = "affiliationChanged")]
    AffiliationChanged,
    /// Another CA replaces it.
    #[value(name = "superseded")]
    Superseded,
    /// The CA is no longer needed.
    #[value(name = "cessationOfOperation")]
    CessationOfOperation,
}

impl From<Reason> for CrlReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unspecified => Self::Unspecified,
            Reason::CaCompromise => Self::CaCompromise,
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
        }
    }
}

/// A CRL to sign.
struct Draft {
    linted: LintedCrl,
    number: u64,
    next_update: Timestamp,
    revoked: Vec<Entry>,
    newly: Vec<String>,
}

#[derive(Serialize)]
struct SignedCrl {
    number: u64,
    next_update: Timestamp,
    revoked: Vec<String>,
    der: PathBuf,
    pem: PathBuf,
    transcript: PathBuf,
}

impl fmt::Display for SignedCrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Root CRL, number {}:", self.number)?;
        writeln!(f, "  {}\n  {}", self.der.display(), self.pem.display())?;
        writeln!(
            f,
            "Entries: {}. Publish the next CRL by {}.",
            self.revoked.len(),
            self.next_update
        )?;
        write!(f, "Transcript: {}", self.transcript.display())
    }
}

impl RootCrlCommand {
    pub(crate) fn run(self, output: Format, now: Timestamp) -> anyhow::Result<()> {
        let certificate = Root::read_certificate(&self.root)?;
        let previous = self.previous(&certificate)?;
        let draft = self.draft(&certificate, previous.as_ref().map(|(_, it)| it), now)?;
        let file = |kind| self.root.join(format!("{PREFIX}{}.{kind}", draft.number));
        let (der, pem) = (file("crl"), file("pem"));
        expect_new(&der)?;
        expect_new(&pem)?;
        let inputs = self.revoke.iter().chain(previous.iter().map(|(path, _)| path));
        let remarks = clock::remarks(now, inputs.map(PathBuf::as_path), Some(&certificate));
        let plan = self.plan(&draft, previous.as_ref(), &der, &pem).remarks(remarks.clone());
        if !self.consent.given_or_print(output, plan)? {
            return Ok(());
        }
        clock::warn(&remarks);

        let mut transcript = Transcript::begin("ca root-crl", &self.root)?;
        for path in &self.revoke {
            transcript.input(path, read(path)?);
        }
        if let Some((path, crl)) = &previous {
            transcript.input(path, crl.der());
        }
        let Draft { linted, number, next_update, revoked, newly } = draft;
        let ((), transcript) = transcript.record(|transcript| {
            let key = self.token.location(&self.root).open(&self.secrets)?;
            let crl = Root::open(&self.root, key)?.sign_crl(linted)?;
            write_new(&der, crl.der())?;
            write_new(&pem, crl.pem()?)?;
            newly.iter().for_each(|it| transcript.step(format!("revoked {it}")));
            transcript.step(format!(
                "signed CRL {number} with {} entries, valid until {next_update}",
                revoked.len()
            ));
            transcript.output(&der)?;
            transcript.output(&pem)
        })?;
        output.print(&SignedCrl {
            number,
            next_update,
            revoked: revoked.iter().map(|it| it.serial.to_string()).collect(),
            der,
            pem,
            transcript,
        })
    }

    /// Reads the previous CRL, if there is one.
    fn previous(&self, root: &CaCertificate) -> anyhow::Result<Option<(PathBuf, VerifiedCrl)>> {
        let stored = last_in(&self.root)?;
        let path = match (&self.previous, stored) {
            // The older of two would undo the revocations of the newer.
            (Some(_), Some(stored)) => bail!(
                "{} exists, and the next CRL follows it: give --previous only for a directory without \
                 CRLs",
                stored.display()
            ),
            (Some(given), None) => given.clone(),
            (None, Some(stored)) => stored,
            (None, None) => return Ok(None),
        };
        let name = path.display();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        let crl = match std::str::from_utf8(&bytes) {
            Ok(text) if text.contains("-----BEGIN") => VerifiedCrl::from_pem(text, root),
            _ => VerifiedCrl::from_der(bytes, root),
        };
        let crl = crl.with_context(|| format!("{name} is not a valid CRL of this root"))?;
        Ok(Some((path, crl)))
    }

    fn draft(
        &self,
        root: &CaCertificate,
        previous: Option<&VerifiedCrl>,
        now: Timestamp,
    ) -> anyhow::Result<Draft> {
        let last = previous.map_or(0, VerifiedCrl::number);
        let number = match self.number {
            Some(number) => number,
            None => last.checked_add(1).context("the CRL number is exhausted")?,
        };
        ensure!(number > last, "the CRL number must be higher than the last one, {last}");
        let mut revoked: Vec<Entry> =
            previous.map(|crl| crl.revoked().collect()).unwrap_or_default();
        let mut newly = Vec::new();
        for path in &self.revoke {
            let (serial, subject) = subordinate(path, root)?;
            if revoked.iter().any(|it| it.serial == serial) {
                let text = format!("{} is already revoked: {serial}", path.display());
                return Err(CommandError::Refused(text).into());
            }
            revoked.push(Entry { serial, revoked_at: now, reason: self.reason.into() });
            newly.push(format!("{subject}, serial number {serial}"));
        }
        revoked.sort_by_key(|it| it.serial);
        let this_update = now.minus(BACKDATED_SECONDS).max(root.not_before());
        let next_update = now.plus(u64::from(self.valid_days) * SECONDS_PER_DAY);
        ensure!(
            next_update <= root.not_after(),
            "the CRL (valid until {next_update}) would outlive the root (valid until {})",
            root.not_after()
        );
        let contents = Contents {
            number,
            this_update,
            next_update,
            revoked: &revoked,
            denied_devices: None,
            distribution_point: None,
        };
        let linted = crl::lint(crl::build(root, contents)?)?;
        Ok(Draft { linted, number, next_update, revoked, newly })
    }

    fn plan(
        &self,
        draft: &Draft,
        previous: Option<&(PathBuf, VerifiedCrl)>,
        der: &Path,
        pem: &Path,
    ) -> Plan {
        let Draft { number, next_update, revoked, newly, .. } = draft;
        let mut plan = Plan::new();
        if let Some((path, crl)) = previous {
            let entries = crl.len();
            plan = plan.step(format!("keep the {entries} entries of {}", path.display()));
        }
        for it in newly {
            plan = plan.step(format!("revoke permanently: {it}"));
        }
        plan.step(format!(
            "sign CRL {number} with the root in {}: {} entries, valid until {next_update}",
            self.root.display(),
            revoked.len()
        ))
        .step(format!("write {} and {}", der.display(), pem.display()))
    }
}

/// Returns the CRL with the highest number in a root's directory.
fn last_in(directory: &Path) -> anyhow::Result<Option<PathBuf>> {
    let name = directory.display();
    let mut last = None;
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {name}"))? {
        let file = entry?.file_name();
        let number = file.to_str().and_then(|it| it.strip_prefix(PREFIX)?.strip_suffix(".crl"));
        if let Some(number) = number.and_then(|it| it.parse::<u64>().ok()) {
            last = last.max(Some((number, directory.join(file))));
        }
    }
    Ok(last.map(|(_, path)| path))
}

/// Returns the serial number and the subject of a certificate that the root issued.
fn subordinate(path: &Path, root: &CaCertificate) -> anyhow::Result<(Serial, String)> {
    let name = path.display();
    let certificate = ChainCertificate::from_pem(&read(path)?)
        .map_err(|fault| anyhow::anyhow!("{name}: {fault}"))?;
    ensure!(certificate.is_issued_by(root), "{name} was not issued by this root");
    ensure!(certificate.der() != root.der(), "{name}: a root cannot revoke itself");
    let read = Certificate::from_der(certificate.der())?;
    let serial = hex(read.tbs_certificate().serial_number().as_bytes()).parse()?;
    Ok((serial, certificate.subject().to_string()))
}
