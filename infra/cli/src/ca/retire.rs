//! `birthcert ca retire`: retires a prepared CA.

use std::fmt;

use pki::authority::{AuthorityName, AuthorityStatus};
use serde::Serialize;

use crate::{
    ceremony::{authorities::RecordedAuthorities, consent::Consent, plan::Plan},
    context::Context,
    error::CommandError,
};

pub(super) const EXAMPLES: &str = "\
Example:
  birthcert ca retire device-2 --yes";

pub(super) const NOTES: &str = "\
To retire the active CA, activate another one. Nothing is deleted: certificates of a retired CA stay valid, \
and its CRL is published until it expires.";

#[derive(clap::Args)]
pub(crate) struct RetireCommand {
    /// Name of the CA.
    name: AuthorityName,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Serialize)]
struct Retired {
    name: AuthorityName,
    status: AuthorityStatus,
    changed: bool,
}

impl fmt::Display for Retired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let already = if self.changed { "" } else { "already " };
        write!(f, "The CA {:?} is {already}{}.", self.name.as_str(), self.status)
    }
}

impl RetireCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { name, consent } = self;
        let changed = match RecordedAuthorities::read(&context.store).await?.named(&name)?.status {
            AuthorityStatus::Active => {
                let text = format!("the CA {name} is active: activate another CA to retire it");
                return Err(CommandError::Refused(text).into());
            }
            AuthorityStatus::Retired => false,
            AuthorityStatus::Prepared => {
                let plan = Plan::new().step(format!("retire the CA {:?}", name.as_str()));
                if !consent.given_or_print(context.output, plan)? {
                    return Ok(());
                }
                context.store.retire_authority(&name, context.now).await?
            }
        };
        context.output.print(&Retired { name, status: AuthorityStatus::Retired, changed })
    }
}
