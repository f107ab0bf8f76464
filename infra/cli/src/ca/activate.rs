//! `birthcert ca activate`: activates a CA in place of the active one.

use std::fmt;

use ledger::store::ActivationOutcome;
use pki::{
    authority::{Authority, AuthorityName, AuthorityStatus},
    clock::Timestamp,
    profile::Usage,
};
use serde::Serialize;

use super::{certified_ca::CertifiedCaOptions, chain::with_review};
use crate::{
    ceremony::{authorities::RecordedAuthorities, consent::Consent, plan::Plan},
    context::Context,
    crl::{self, is_valid},
    error::CommandError,
    options::root::{NewRootOption, RootOptions},
    pinned_roots::root_of,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  # Record and activate the first CA for devices
  birthcert ca activate --usage device --certificate device.pem --root-certificate root.pem --yes

  # Activate its successor, recorded by birthcert ca prepare
  birthcert ca activate --name device-2 --yes

  # Switch back
  birthcert ca activate --name device --yes";

pub(super) const NOTES: &str = "\
The active CA is retired in the same write. Running functions use the new CA within a minute. Repeating \
the command changes nothing.";

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").args(["usage", "name"]).required(true).multiple(true))]
pub(crate) struct ActivateCommand {
    #[command(flatten)]
    candidate: CertifiedCaOptions,
    /// Switch even if the new CA has no valid CRL and the active one does. Brokers that require CRLs
    /// reject the certificates of the new CA until it has one.
    #[arg(long, requires = "name")]
    without_crl: bool,
    #[command(flatten)]
    new_root: NewRootOption,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Serialize)]
struct Activated {
    name: AuthorityName,
    status: AuthorityStatus,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired: Option<AuthorityName>,
    key_arn: String,
    subject: String,
    not_after: Timestamp,
}

impl fmt::Display for Activated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_str();
        match self.changed {
            true => writeln!(f, "The CA {name:?} is active.")?,
            false => writeln!(f, "The CA {name:?} is already active.")?,
        }
        if let Some(retired) = &self.retired {
            let retired = retired.as_str();
            writeln!(
                f,
                "The CA {retired:?} is retired. Running functions switch within a minute."
            )?;
        }
        writeln!(f, "Subject: {}, valid until {}", self.subject, self.not_after)?;
        write!(f, "Key:     {}", self.key_arn)
    }
}

impl ActivateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let known = RecordedAuthorities::read(&context.store).await?;
        let certified = self.candidate.record(context, &known).await?;
        let is_by_name = certified.is_none();
        let record = match (certified, &self.candidate.name) {
            (Some(record), _) => record,
            (None, Some(name)) => known.named(name)?.record.clone(),
            (None, None) => return Err(CommandError::Missing("CA to activate".into()).into()),
        };
        let status = known.recorded(&record)?;
        let active = known.active(record.name.usage()).map(|it| &it.record.name);
        if status == Some(AuthorityStatus::Active) {
            let authority = Authority::try_from(record)?;
            if self.consent.is_given() {
                crl::request(context, authority.name()).await?;
            }
            return print(context, &authority, ActivationOutcome::AlreadyActive, None);
        }
        if let Some(active) = active.filter(|_| !is_by_name) {
            let text = format!(
                "the CA {active} is active: record its successor with birthcert ca prepare, then \
                 activate that with birthcert ca activate --name"
            );
            return Err(CommandError::Refused(text).into());
        }
        let accepted = self.new_root.accept_new_root;
        let authority = known.check(&context.kms, record, accepted, context.now).await?;
        let pinned = context.pinned_roots(&RootOptions::default())?;
        pinned.check(authority.name(), root_of(&authority)?)?;
        let name = authority.name();
        let remark = match active {
            Some(active) => self.check_crl(context, name, active).await?,
            None => None,
        };

        let mut plan = Plan::new();
        if status.is_none() {
            plan = plan.step(format!("record the CA {:?}", name.as_str()));
        }
        plan = plan.step(step(context, name));
        if let Some(active) = active {
            plan = plan.step(format!("retire the CA {:?}, in the same write", active.as_str()));
        }
        let plan = with_review(plan.remarks(remark), &authority, context.now)?;
        if !self.consent.given_or_print(context.output, plan)? {
            return Ok(());
        }
        if status.is_none() {
            context.store.prepare_authority(authority.record()).await?;
        }
        let activation = context.store.activate_authority(name, active, context.now).await?;
        crl::request(context, name).await?;
        print(context, &authority, activation, active)
    }
}

impl ActivateCommand {
    /// Returns a remark on a switch from a CA with a valid CRL to one without.
    ///
    /// # Errors
    /// If that is the case without `--without-crl`, or DynamoDB is unavailable.
    async fn check_crl(
        &self,
        context: &Context,
        name: &AuthorityName,
        active: &AuthorityName,
    ) -> anyhow::Result<Option<String>> {
        let (new, old) = tokio::try_join!(
            context.store.crl_state(name.as_str()),
            context.store.crl_state(active.as_str()),
        )?;
        if is_valid(&new, context.now) || !is_valid(&old, context.now) {
            return Ok(None);
        }
        let text = format!("the CA {name} has no valid CRL, and the active CA {active} has one");
        if self.without_crl {
            return Ok(Some(format!(
                "{text}: brokers that require CRLs reject the certificates of {name}"
            )));
        }
        let next = format!("publish one with birthcert crl publish --ca {name}");
        Err(CommandError::Refused(format!("{text}: {next}, or give --without-crl")).into())
    }
}

/// Returns the step of a plan.
pub(super) fn step(context: &Context, name: &AuthorityName) -> String {
    format!("activate the CA {:?} in the table {}", name.as_str(), context.store.table_name())
}

/// Checks early that there is no CA for this usage. The write itself never overwrites one.
pub(super) async fn expect_no_ca(context: &Context, usage: Usage) -> anyhow::Result<()> {
    let known = RecordedAuthorities::read(&context.store).await?;
    match known.all().iter().find(|it| it.record.name.usage() == usage) {
        Some(it) => {
            let name = &it.record.name;
            Err(CommandError::Refused(format!("there is a CA named {name} already")).into())
        }
        None => Ok(()),
    }
}

pub(super) fn print(
    context: &Context,
    authority: &Authority,
    activation: ActivationOutcome,
    former: Option<&AuthorityName>,
) -> anyhow::Result<()> {
    let certificate = authority.certificate();
    let changed = activation == ActivationOutcome::Activated;
    context.output.print(&Activated {
        name: authority.name().clone(),
        status: AuthorityStatus::Active,
        changed,
        retired: former.filter(|_| changed).cloned(),
        key_arn: authority.key_arn().to_owned(),
        subject: certificate.subject().to_string(),
        not_after: certificate.not_after(),
    })
}
