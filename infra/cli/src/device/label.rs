//! `birthcert device label`.

use std::fmt;

use pki::names::{DeviceId, Label};
use serde::Serialize;

use crate::context::Context;

pub(crate) const EXAMPLES: &str = "\
Examples:
  birthcert device label dev_… \"pump 7\"
  birthcert device label dev_… --remove";

#[derive(clap::Args)]
pub(crate) struct LabelCommand {
    /// Device id, dev_….
    device: DeviceId,
    /// Label: 1 to 128 characters, without control or invisible ones.
    #[arg(required_unless_present = "remove")]
    label: Option<Label>,
    /// Remove the label.
    #[arg(long, conflicts_with = "label")]
    remove: bool,
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

impl LabelCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        context.store.label_device(self.device, self.label.as_ref()).await?;
        context.output.print(&Labelled { device_id: self.device, label: self.label })
    }
}
