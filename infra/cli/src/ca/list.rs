//! `birthcert ca list` and `birthcert ca show`.

use std::fmt;

use ledger::store::AuthorityState;
use pki::{
    authority::{Authority, AuthorityName, AuthorityStatus, RootFingerprint},
    clock::Timestamp,
    profile::Usage,
};
use serde::Serialize;

use crate::{
    ceremony::{authorities::RecordedAuthorities, fields::CertificateFields},
    context::Context,
    options::root::RootOptions,
    output::table::Table,
    pinned_roots::{Pin, PinnedRoots, root_of},
};

#[derive(clap::Args)]
pub(crate) struct ShowCommand {
    /// Name of the CA.
    name: AuthorityName,
}

/// A summary of a CA.
#[derive(Serialize)]
struct Summary {
    name: AuthorityName,
    usage: &'static str,
    status: AuthorityStatus,
    since: Timestamp,
    subject: String,
    not_before: Timestamp,
    not_after: Timestamp,
    days_left: u64,
    key_arn: String,
    /// SHA-256 of the root's certificate, in hex.
    root_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crl_url: Option<String>,
}

impl Summary {
    /// Returns the summary of a CA. Also warns about a root that the operator's pins do not allow.
    fn new(
        known: &AuthorityState,
        pinned: &PinnedRoots,
        now: Timestamp,
    ) -> anyhow::Result<(Self, Authority)> {
        let authority = Authority::try_from(known.record.clone())?;
        let root = root_of(&authority)?;
        if let Err(error) = pinned.check(authority.name(), root) {
            eprintln!("Warning: {error}.");
        }
        let certificate = authority.certificate();
        let record = authority.record();
        let summary = Self {
            name: record.name.clone(),
            usage: record.name.usage().as_str(),
            status: known.status,
            since: known.since,
            subject: certificate.subject().to_string(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            days_left: now.days_until(certificate.not_after()),
            key_arn: record.key_arn.clone(),
            root_sha256: RootFingerprint::of(root.der()).to_string(),
            crl_url: record.crl_url.clone(),
        };
        Ok((summary, authority))
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Authorities(Vec<Summary>);

impl fmt::Display for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |it: &Summary| {
            [
                it.name.to_string(),
                it.status.to_string(),
                it.since.to_string(),
                it.not_after.to_string(),
                it.days_left.to_string(),
                it.subject.clone(),
            ]
        };
        Table {
            header: ["NAME", "STATUS", "SINCE", "VALID UNTIL", "DAYS LEFT", "SUBJECT"],
            rows: self.0.iter().map(row).collect(),
            empty: "There are no CAs. Set up the first: birthcert ca request --usage device --csr FILE",
        }
        .fmt(f)
    }
}

/// A CA with its certificate.
#[derive(Serialize)]
struct Details {
    #[serde(flatten)]
    summary: Summary,
    certificate: CertificateFields,
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summary: it, certificate } = self;
        let rows = [
            ("status", format!("{} since {}", it.status, it.since)),
            ("days left", it.days_left.to_string()),
            ("key in KMS", it.key_arn.clone()),
            ("root SHA-256", it.root_sha256.clone()),
            ("CRL", it.crl_url.clone().unwrap_or_else(|| "none in its certificates".into())),
        ];
        write!(f, "CA {}", it.name)?;
        rows.iter().try_for_each(|(name, value)| write!(f, "\n  {name:<18} {value}"))?;
        write!(f, "\n\n{certificate}")
    }
}

/// Warns if the stack's functions accept CAs under any root, although the ceremony is over.
fn warn_of_unpinned_stack(context: &Context, known: &RecordedAuthorities) {
    let is_over = known.active(Usage::Device).is_some();
    if let Some(Pin { source, roots }) = context.stack_pin.as_ref().filter(|_| is_over)
        && roots.is_empty()
    {
        eprintln!(
            "Warning: {source} is none, so the functions accept CAs under any root. Set it to the SHA-256 of your \
             root, from the transcript of the ceremony."
        );
    }
}

pub(super) async fn list(context: &Context) -> anyhow::Result<()> {
    let known = RecordedAuthorities::read(&context.store).await?;
    let pinned = context.pinned_roots(&RootOptions::default())?;
    let listed = known.all().iter().map(|it| Ok(Summary::new(it, &pinned, context.now)?.0));
    warn_of_unpinned_stack(context, &known);
    context.output.print(&Authorities(listed.collect::<anyhow::Result<_>>()?))
}

impl ShowCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let known = RecordedAuthorities::read(&context.store).await?;
        let known = known.named(&self.name)?;
        let pinned = context.pinned_roots(&RootOptions::default())?;
        let (summary, authority) = Summary::new(known, &pinned, context.now)?;
        let certificate = CertificateFields::of_certificate(authority.certificate().der())?;
        context.output.print(&Details { summary, certificate })
    }
}
