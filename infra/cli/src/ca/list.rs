//! `birthcert ca list` and `birthcert ca show`.

use std::fmt;

use ledger::store::AuthorityState;
use pki::{
    authority::{Authority, AuthorityName, AuthorityStatus},
    clock::Timestamp,
};
use serde::Serialize;

use crate::{
    ceremony::{authorities::RecordedAuthorities, fields::CertificateFields},
    context::Context,
    output::table::Table,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    crl_url: Option<String>,
}

impl Summary {
    fn new(known: &AuthorityState, authority: &Authority, now: Timestamp) -> Self {
        let certificate = authority.certificate();
        let record = authority.record();
        Self {
            name: record.name.clone(),
            usage: record.name.usage().as_str(),
            status: known.status,
            since: known.since,
            subject: certificate.subject().to_string(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            days_left: now.days_until(certificate.not_after()),
            key_arn: record.key_arn.clone(),
            crl_url: record.crl_url.clone(),
        }
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
            ("CRL", it.crl_url.clone().unwrap_or_else(|| "none in its certificates".into())),
        ];
        write!(f, "CA {}", it.name)?;
        rows.iter().try_for_each(|(name, value)| write!(f, "\n  {name:<18} {value}"))?;
        write!(f, "\n\n{certificate}")
    }
}

pub(super) async fn list(context: &Context) -> anyhow::Result<()> {
    let known = RecordedAuthorities::read(&context.store).await?;
    let listed = known.all().iter().map(|it| {
        let authority = Authority::try_from(it.record.clone())?;
        Ok(Summary::new(it, &authority, context.now))
    });
    context.output.print(&Authorities(listed.collect::<anyhow::Result<_>>()?))
}

impl ShowCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let known = RecordedAuthorities::read(&context.store).await?;
        let known = known.named(&self.name)?;
        let authority = Authority::try_from(known.record.clone())?;
        let certificate = CertificateFields::of_certificate(authority.certificate().der())?;
        let summary = Summary::new(known, &authority, context.now);
        context.output.print(&Details { summary, certificate })
    }
}
