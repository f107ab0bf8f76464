//! `birthcert ca prepare`: records a successor of the active CA.

use std::fmt;

use anyhow::Context as _;
use pki::{
    authority::{Authority, AuthorityName, AuthorityStatus},
    clock::Timestamp,
};
use serde::Serialize;

use super::{certified_ca::CertifiedCaOptions, chain::with_review};
use crate::{
    ceremony::{authorities::RecordedAuthorities, consent::Consent, plan::Plan},
    context::Context,
    crl,
    options::root::{NewRootOption, RootOptions},
    pinned_roots::root_of,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  # The second CA for devices: dry run, then apply
  birthcert ca prepare --usage device --certificate device-2.pem --root-certificate root.pem
  birthcert ca prepare --usage device --certificate device-2.pem --root-certificate root.pem --yes

  # Once all verifiers have its certificate and CRL
  birthcert ca activate --name device-2 --yes";

pub(super) const NOTES: &str = "\
Repeating the command changes nothing. Another certificate under the same name is refused.";

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("certified").args(["usage"]).required(true))]
pub(crate) struct PrepareCommand {
    #[command(flatten)]
    candidate: CertifiedCaOptions,
    #[command(flatten)]
    new_root: NewRootOption,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Serialize)]
struct Prepared {
    name: AuthorityName,
    status: AuthorityStatus,
    changed: bool,
    key_arn: String,
    subject: String,
    not_after: Timestamp,
}

impl fmt::Display for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, status, changed, key_arn, subject, not_after } = self;
        let already = if *changed { "" } else { "already " };
        writeln!(f, "The CA {:?} is {already}{status}.", name.as_str())?;
        writeln!(f, "Subject: {subject}, valid until {not_after}")?;
        write!(f, "Key:     {key_arn}")
    }
}

impl PrepareCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let known = RecordedAuthorities::read(&context.store).await?;
        let record =
            self.candidate.record(context, &known).await?.context("--certificate is missing")?;
        let status = known.recorded(&record)?;
        let accepted = self.new_root.accept_new_root;
        let authority = known.check(&context.kms, record, accepted, context.now).await?;
        let pinned = context.pinned_roots(&RootOptions::default())?;
        pinned.check(authority.name(), root_of(&authority)?)?;
        let (name, certificate) = (authority.name(), authority.certificate());
        if status.is_none() {
            let table = context.store.table_name();
            let step =
                format!("record the CA {:?} as prepared, in the table {table}", name.as_str());
            let plan = Plan::new().step(step).remarks(crl_remark(&known, &authority));
            let plan = with_review(plan, &authority, context.now)?;
            if !self.consent.given_or_print(context.output, plan)? {
                return Ok(());
            }
            context.store.prepare_authority(authority.record()).await?;
        }
        if self.consent.is_given() {
            crl::request(context, name).await?;
        }
        context.output.print(&Prepared {
            name: name.clone(),
            status: status.unwrap_or(AuthorityStatus::Prepared),
            changed: status.is_none(),
            key_arn: authority.key_arn().to_owned(),
            subject: certificate.subject().to_string(),
            not_after: certificate.not_after(),
        })
    }
}

/// Returns a remark on a successor whose certificates would not name a CRL, unlike those of the active CA.
fn crl_remark(known: &RecordedAuthorities, authority: &Authority) -> Option<String> {
    let active = &known.active(authority.name().usage())?.record;
    let url = active.crl_url.as_ref().filter(|_| authority.record().crl_url.is_none())?;
    Some(format!(
        "its certificates will not name a CRL, because --crl-url is not set; those of {} name {url}",
        active.name
    ))
}
