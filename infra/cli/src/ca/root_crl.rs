//! `birthcert ca root-crl`: the list of subordinates that the root revoked. Needs no network.
//!
//! The last list in the root's directory is the state: its number, and whom it revokes. It is signed,
//! so that nothing else needs to be kept or trusted.

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
    confirm::Consent,
    exit::Stop,
    files::{expect_new, read, write_new},
    output::Format,
    plan::Plan,
    root::{Root, Secrets, TokenArguments},
    transcript::Transcript,
};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
const PREFIX: &str = "root-crl-";

pub(super) const EXAMPLES: &str = "\
Examples:
  # The first list, which revokes nothing; then one every year, before the last expires
  birthcert ca root-crl --root root --yes

  # Never again trust what this subordinate signs
  birthcert ca root-crl --root root --revoke device.pem --reason cACompromise --yes

Publish the newest root-crl-N.crl at the URL in the subordinates' certificates (--root-crl-url).";

#[derive(clap::Args)]
pub(crate) struct RootCrlCommand {
    /// Directory with the root's certificate and, unless it is in a token, its key; the list is
    /// written there, as root-crl-NUMBER.crl (DER) and .pem.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The certificate of a subordinate to revoke, for good; several may be given.
    #[arg(long, value_name = "FILE")]
    revoke: Vec<PathBuf>,
    /// Why: of all that --revoke names.
    #[arg(long, value_enum, default_value = "unspecified", requires = "revoke")]
    reason: Reason,
    /// The last list, where it is not in the directory: what it revokes stays revoked.
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// The list's number, higher than that of any before; the next one unless given.
    #[arg(long)]
    number: Option<u64>,
    /// Days until there must be a newer list: verifiers that look for it refuse everything after.
    #[arg(long, default_value_t = 365, value_name = "DAYS",
          value_parser = clap::value_parser!(u32).range(1..=36_525))]
    valid_days: u32,
    #[command(flatten)]
    token: TokenArguments,
    #[command(flatten)]
    secrets: Secrets,
    #[command(flatten)]
    consent: Consent,
}

/// Reasons for a CA (RFC 5280, section 5.3.1).
#[derive(Clone, Copy, clap::ValueEnum)]
enum Reason {
    /// None that is told.
    #[value(name = "unspecified")]
    Unspecified,
    /// Somebody else can sign with its key.
    #[value(name = "cACompromise")]
    CaCompromise,
    /// It belongs to another organization now.
    #[value(name = "affiliationChanged")]
    AffiliationChanged,
    /// Another took its place.
    #[value(name = "superseded")]
    Superseded,
    /// It is not needed any more.
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

/// A list to be signed.
struct Draft {
    linted: LintedCrl,
    number: u64,
    next_update: Timestamp,
    revoked: Vec<Entry>,
    newly: Vec<String>,
}

#[derive(Serialize)]
struct Made {
    number: u64,
    next_update: Timestamp,
    revoked: Vec<String>,
    der: PathBuf,
    pem: PathBuf,
    transcript: PathBuf,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The root's CRL, number {}:", self.number)?;
        writeln!(f, "  {}\n  {}", self.der.display(), self.pem.display())?;
        writeln!(
            f,
            "It revokes {}. Have the next one by {}.",
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
        if !self.consent.given(output, self.plan(&draft, previous.as_ref(), &der, &pem))? {
            return Ok(());
        }

        let mut transcript = Transcript::begin("ca root-crl", &self.root)?;
        for path in &self.revoke {
            transcript.input(path, read(path)?);
        }
        if let Some((path, list)) = &previous {
            transcript.input(path, list.der());
        }
        let Draft { linted, number, next_update, revoked, newly } = draft;
        let ((), transcript) = transcript.of(|transcript| {
            let key = self.token.place(&self.root).open(&self.secrets)?;
            let list = Root::open(&self.root, key)?.sign_list(linted)?;
            write_new(&der, list.der())?;
            write_new(&pem, list.pem()?)?;
            newly.iter().for_each(|it| transcript.step(format!("revoked {it}")));
            transcript.step(format!(
                "signed the list {number}, which revokes {} and is valid until {next_update}",
                revoked.len()
            ));
            transcript.output(&der)?;
            transcript.output(&pem)
        })?;
        output.print(&Made {
            number,
            next_update,
            revoked: revoked.iter().map(|it| it.serial.to_string()).collect(),
            der,
            pem,
            transcript,
        })
    }

    /// The list before this one, if there is one.
    fn previous(&self, root: &CaCertificate) -> anyhow::Result<Option<(PathBuf, VerifiedCrl)>> {
        let kept = last_in(&self.root)?;
        let path = match (&self.previous, kept) {
            // Of two, the older would take back what the newer revoked.
            (Some(_), Some(kept)) => bail!(
                "{} is there and is what the next list follows; --previous is for a directory \
                 without lists",
                kept.display()
            ),
            (Some(given), None) => given.clone(),
            (None, Some(kept)) => kept,
            (None, None) => return Ok(None),
        };
        let name = path.display();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        let list = match std::str::from_utf8(&bytes) {
            Ok(text) if text.contains("-----BEGIN") => VerifiedCrl::from_pem(text, root),
            _ => VerifiedCrl::from_der(bytes, root),
        };
        let list = list.with_context(|| format!("{name} is no list of this root"))?;
        Ok(Some((path, list)))
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
            None => last.checked_add(1).context("there is no number after the last list's")?,
        };
        ensure!(number > last, "the list's number must be higher than the last one's, {last}");
        let mut revoked: Vec<Entry> =
            previous.map(|list| list.revoked().collect()).unwrap_or_default();
        let mut newly = Vec::new();
        for path in &self.revoke {
            let (serial, subject) = subordinate(path, root)?;
            if revoked.iter().any(|it| it.serial == serial) {
                let text = format!("{} is revoked already: {serial}", path.display());
                return Err(Stop::Refused(text).into());
            }
            revoked.push(Entry { serial, revoked_at: now, reason: self.reason.into() });
            newly.push(format!("{subject}, serial number {serial}"));
        }
        revoked.sort_by_key(|it| it.serial);
        let this_update = now.minus(BACKDATED_SECONDS).max(root.not_before());
        let next_update = now.plus(u64::from(self.valid_days) * SECONDS_PER_DAY);
        ensure!(
            next_update <= root.not_after(),
            "the list would be valid until {next_update}, longer than the root, until {}",
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
        if let Some((path, list)) = previous {
            let kept = list.len();
            plan = plan.step(format!("keep what {} revokes: {kept}", path.display()));
        }
        for it in newly {
            plan = plan.step(format!("revoke, for good, {it}"));
        }
        plan.step(format!(
            "sign the list {number} with the root in {}: it revokes {} and is valid until \
             {next_update}",
            self.root.display(),
            revoked.len()
        ))
        .step(format!("write {} and {}", der.display(), pem.display()))
    }
}

/// The list with the highest number in a root's directory.
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

/// Serial number and name of a certificate that the root issued.
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
