//! `birthcert ca retire`: gives up a CA that was prepared.

use std::fmt;

use pki::authority::{AuthorityName, AuthorityStatus};
use serde::Serialize;

use crate::{Context, confirm::Consent, exit::Stop, plan::Plan, succession::Known};

pub(super) const EXAMPLES: &str = "\
Example:
  # It is not to be activated after all
  birthcert ca retire device-2 --yes

The one that is active is retired by activating another. Nothing is deleted: what a retired CA has \
issued stays good, and its CRL is kept up, until it expires.";

#[derive(clap::Args)]
pub(crate) struct RetireCommand {
    /// The CA's name.
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
        let already = if self.changed { "" } else { " already" };
        write!(f, "The CA {:?} is {}{already}.", self.name.as_str(), self.status)
    }
}

impl RetireCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { name, consent } = self;
        let changed = match Known::read(&context.store).await?.named(&name)?.status {
            AuthorityStatus::Active => {
                let text = format!("the CA {name} is active: activating another retires it");
                return Err(Stop::Refused(text).into());
            }
            AuthorityStatus::Retired => false,
            AuthorityStatus::Prepared => {
                let plan = Plan::new().step(format!("retire the CA {:?}", name.as_str()));
                if !consent.given(context.output, plan)? {
                    return Ok(());
                }
                context.store.retire_authority(&name, context.now).await?
            }
        };
        context.output.print(&Retired { name, status: AuthorityStatus::Retired, changed })
    }
}
