//! `birthcert device disable` and `birthcert device enable`.

use std::fmt;

use ledger::store::DeviceStatus;
use pki::names::DeviceId;
use serde::Serialize;

use crate::context::Context;

#[derive(clap::Args)]
pub(crate) struct DeviceArgument {
    /// Device id, dev_….
    device: DeviceId,
}

#[derive(Serialize)]
struct Outcome {
    device_id: DeviceId,
    status: DeviceStatus,
    changed: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let already = if self.changed { "" } else { "already " };
        write!(f, "{} is {already}{}", self.device_id, self.status)
    }
}

impl DeviceArgument {
    pub(super) async fn set_enabled(self, context: &Context, enabled: bool) -> anyhow::Result<()> {
        let changed = context.store.set_device_enabled(self.device, enabled).await?;
        let status = if enabled { DeviceStatus::Active } else { DeviceStatus::Disabled };
        context.output.print(&Outcome { device_id: self.device, status, changed })
    }
}
