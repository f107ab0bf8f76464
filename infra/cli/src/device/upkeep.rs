//! `birthcert device label`, `disable`, `enable` and `lift-limit`.

use std::fmt;

use ledger::store::DeviceStatus;
use pki::names::{DeviceId, Label};
use serde::Serialize;

use crate::{Context, exit::Stop};

pub(crate) const LABEL_EXAMPLES: &str = "\
Examples:
  birthcert device label dev_… \"pump 7\"
  birthcert device label dev_… --remove";

pub(crate) const LIFT_EXAMPLES: &str = "\
Examples:
  # Five more, from now on; where it may be issued as many anyway, nothing changes
  birthcert device lift-limit dev_… --more 5

  # As its project's policy says again
  birthcert device lift-limit dev_… --reset";

#[derive(clap::Args)]
pub(crate) struct One {
    /// The device's id, dev_…
    device: DeviceId,
}

#[derive(clap::Args)]
pub(crate) struct LabelCommand {
    /// The device's id, dev_…
    device: DeviceId,
    /// The label: 1 to 128 characters, none of them a control character.
    #[arg(required_unless_present = "remove")]
    label: Option<Label>,
    /// Take the label away.
    #[arg(long, conflicts_with = "label")]
    remove: bool,
}

#[derive(clap::Args)]
pub(crate) struct LiftCommand {
    /// The device's id, dev_…
    device: DeviceId,
    /// How many certificates it may be issued from now on, at least: no limit is made lower by this.
    #[arg(long, value_name = "CERTIFICATES", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    more: u32,
    /// Let its project's policy count again.
    #[arg(long, conflicts_with = "more")]
    reset: bool,
}

#[derive(Serialize)]
struct Switched {
    device_id: DeviceId,
    status: DeviceStatus,
    changed: bool,
}

impl fmt::Display for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let already = if self.changed { "" } else { " already" };
        write!(f, "{} is {}{already}", self.device_id, self.status)
    }
}

#[derive(Serialize)]
struct Labelled {
    device_id: DeviceId,
    label: Option<Label>,
}

impl fmt::Display for Labelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Some(label) => write!(f, "{} is labelled {label}", self.device_id),
            None => write!(f, "{} has no label", self.device_id),
        }
    }
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
    /// How it stands, unchanged.
    async fn read(context: &Context, device_id: DeviceId) -> anyhow::Result<Self> {
        let device = context.store.device(device_id).await?;
        let device = device.ok_or_else(|| Stop::Missing(format!("device {device_id}")))?;
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

    /// How many certificates are left of its limit.
    fn left(&self) -> u32 {
        self.limit().saturating_sub(self.issued)
    }
}

impl fmt::Display for Lifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_id, issued, issuance_limit, changed, .. } = self;
        match (changed, issuance_limit) {
            (true, Some(limit)) => {
                write!(f, "{device_id} was issued {issued} of {limit} certificates")
            }
            (true, None) => {
                write!(f, "{device_id} was issued {issued}; its project's limit counts")
            }
            (false, _) => {
                let (limit, left) = (self.limit(), self.left());
                write!(
                    f,
                    "{device_id} was issued {issued} of {limit} certificates already: {left} left"
                )
            }
        }
    }
}

impl One {
    pub(super) async fn set_enabled(self, context: &Context, enabled: bool) -> anyhow::Result<()> {
        let changed = context.store.set_device_enabled(self.device, enabled).await?;
        let status = if enabled { DeviceStatus::Active } else { DeviceStatus::Disabled };
        context.output.print(&Switched { device_id: self.device, status, changed })
    }
}

impl LabelCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        context.store.label_device(self.device, self.label.as_ref()).await?;
        context.output.print(&Labelled { device_id: self.device, label: self.label })
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
