//! `birthcert device lift-limit`.

use std::fmt;

use pki::names::DeviceId;
use serde::Serialize;

use crate::{context::Context, error::CommandError};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # Five more from now on; changes nothing if that many are left anyway
  birthcert device lift-limit dev_… --more 5

  # Return to the limit of the project
  birthcert device lift-limit dev_… --reset";

#[derive(clap::Args)]
pub(crate) struct LiftCommand {
    /// Device id, dev_….
    device: DeviceId,
    /// Minimum number of certificates that the device can obtain from now on. Never lowers a limit.
    #[arg(long, value_name = "CERTIFICATES", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    more: u32,
    /// Return to the limit of the project's policy.
    #[arg(long, conflicts_with = "more")]
    reset: bool,
}

#[derive(Serialize)]
struct Lifted {
    device_id: DeviceId,
    issued: u32,
    issuance_limit: Option<u32>,
    project_issuance_limit: u32,
    changed: bool,
}

impl Lifted {
    /// Reads the device's limit and count.
    async fn read(context: &Context, device_id: DeviceId) -> anyhow::Result<Self> {
        let device = context.store.device(device_id).await?;
        let device = device.ok_or_else(|| CommandError::Missing(format!("device {device_id}")))?;
        let project = context.store.project(device.record.project_id).await?;
        let policy = project.map(|project| project.policy).unwrap_or_default();
        Ok(Self {
            device_id,
            issued: device.issued,
            issuance_limit: device.issuance_limit,
            project_issuance_limit: policy.issuance_limit(),
            changed: false,
        })
    }

    fn limit(&self) -> u32 {
        self.issuance_limit.unwrap_or(self.project_issuance_limit)
    }

    /// Returns the number of certificates that the device can still obtain.
    fn left(&self) -> u32 {
        self.limit().saturating_sub(self.issued)
    }
}

impl fmt::Display for Lifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_id, issued, issuance_limit, changed, .. } = self;
        match (changed, issuance_limit) {
            (true, Some(limit)) => {
                write!(f, "{device_id} has obtained {issued} of {limit} certificates")
            }
            (true, None) => {
                write!(f, "{device_id} has obtained {issued}; its project's limit applies")
            }
            (false, _) => {
                let (limit, left) = (self.limit(), self.left());
                write!(
                    f,
                    "{device_id} has obtained {issued} of {limit} certificates; {left} left, nothing changed"
                )
            }
        }
    }
}

impl LiftCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { device: device_id, more, reset } = self;
        let before = Lifted::read(context, device_id).await?;
        let changed = if reset { before.issuance_limit.is_some() } else { before.left() < more };
        if !changed {
            return context.output.print(&before);
        }
        context.store.lift_issuance_limit(device_id, (!reset).then_some(more)).await?;
        let after = Lifted::read(context, device_id).await?;
        context.output.print(&Lifted { changed, ..after })
    }
}
