//! `birthcert ca activate`: has a CA issue, in the place of the one that does.

use std::fmt;

use ledger::{OperatorError, store::Activation};
use pki::{
    authority::{Authority, AuthorityName, AuthorityStatus},
    clock::Timestamp,
    profile::Usage,
};
use serde::Serialize;

use super::{candidate::Candidate, chain::reviewed};
use crate::{Context, confirm::Consent, crl, exit::Stop, plan::Plan, succession::Known};

pub(super) const EXAMPLES: &str = "\
Examples:
  # The first CA for devices: recorded and put to use in one go
  birthcert ca activate --usage device --certificate device.pem --root-certificate root.pem --yes

  # Its successor, which birthcert ca prepare recorded: device is retired in the same write
  birthcert ca activate --name device-2 --yes

  # Back again
  birthcert ca activate --name device --yes

Functions that run follow within a minute. The same again changes nothing.";

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").args(["usage", "name"]).required(true).multiple(true))]
pub(crate) struct ActivateCommand {
    #[command(flatten)]
    candidate: Candidate,
    /// Switch although the new one has no CRL yet, while the active one has: brokers that want one turn
    /// away what the new one issues.
    #[arg(long, requires = "name")]
    without_crl: bool,
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
            true => writeln!(f, "The CA {name:?} can issue.")?,
            false => writeln!(f, "The CA {name:?} is active already.")?,
        }
        if let Some(retired) = &self.retired {
            let retired = retired.as_str();
            writeln!(
                f,
                "The CA {retired:?} is retired; functions that run follow within a minute."
            )?;
        }
        writeln!(f, "Subject: {}, valid until {}", self.subject, self.not_after)?;
        write!(f, "Key:     {}", self.key_arn)
    }
}

impl ActivateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let known = Known::read(&context.store).await?;
        let certified = self.candidate.record(context, &known).await?;
        let is_by_name = certified.is_none();
        let record = match (certified, &self.candidate.name) {
            (Some(record), _) => record,
            (None, Some(name)) => known.named(name)?.record.clone(),
            (None, None) => return Err(Stop::Missing("CA to activate".into()).into()),
        };
        let status = known.recorded(&record)?;
        let active = known.active(record.name.usage()).map(|it| &it.record.name);
        if status == Some(AuthorityStatus::Active) {
            let authority = Authority::try_from(record)?;
            if self.consent.is_given() {
                crl::request(context, authority.name()).await?;
            }
            return print(context, &authority, Activation::Already, None);
        }
        if let Some(active) = active.filter(|_| !is_by_name) {
            let text = format!(
                "the CA {active} is active: record its successor with birthcert ca prepare, then \
                 switch with birthcert ca activate --name"
            );
            return Err(Stop::Refused(text).into());
        }
        let authority = known.check(&context.kms, record, context.now).await?;
        let name = authority.name();
        let remark = match active {
            Some(active) => self.without_list(context, name, active).await?,
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
        let plan = reviewed(plan.remarks(remark), &authority, context.now)?;
        if !self.consent.given(context.output, plan)? {
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
    /// What should be known of a switch from a CA with a CRL to one without.
    ///
    /// # Errors
    /// When that is not what the operator asks for; or when the store is away.
    async fn without_list(
        &self,
        context: &Context,
        name: &AuthorityName,
        active: &AuthorityName,
    ) -> anyhow::Result<Option<String>> {
        let (new, old) = tokio::try_join!(
            context.store.crl_state(name.as_str()),
            context.store.crl_state(active.as_str()),
        )?;
        if crl::is_good(&new, context.now) || !crl::is_good(&old, context.now) {
            return Ok(None);
        }
        let text =
            format!("there is no CRL of {name} that is good now, and there is one of {active}");
        if self.without_crl {
            return Ok(Some(format!("{text}: brokers that want one turn away what {name} issues")));
        }
        let way_out = format!("wait for it with birthcert crl publish --ca {name}");
        Err(Stop::Refused(format!("{text}: {way_out}, or give --without-crl")).into())
    }
}

/// For a plan.
pub(super) fn step(context: &Context, name: &AuthorityName) -> String {
    format!("put the CA {:?} to use, in the table {}", name.as_str(), context.store.table_name())
}

/// Checks early that there is no CA of this usage. What keeps it from being overwritten is how it is
/// written.
pub(super) async fn expect_vacant(context: &Context, usage: Usage) -> anyhow::Result<()> {
    let known = Known::read(&context.store).await?;
    match known.all().iter().find(|it| it.record.name.usage() == usage) {
        Some(it) => Err(OperatorError::Exists(format!("CA named {}", it.record.name)).into()),
        None => Ok(()),
    }
}

pub(super) fn print(
    context: &Context,
    authority: &Authority,
    activation: Activation,
    before: Option<&AuthorityName>,
) -> anyhow::Result<()> {
    let certificate = authority.certificate();
    let changed = activation == Activation::Switched;
    context.output.print(&Activated {
        name: authority.name().clone(),
        status: AuthorityStatus::Active,
        changed,
        retired: before.filter(|_| changed).cloned(),
        key_arn: authority.key_arn().to_owned(),
        subject: certificate.subject().to_string(),
        not_after: certificate.not_after(),
    })
}
