//! `birthcert device show`.

use std::fmt;

use ledger::store::{CertificateStatus, DeviceDetails, LedgerEntry};
use pki::{
    clock::Timestamp,
    names::{DeviceId, Label},
};
use serde::Serialize;

use crate::{context::Context, error::CommandError, output::table::Table};

#[derive(clap::Args)]
pub(crate) struct ShowCommand {
    /// Device id, dev_….
    device: DeviceId,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    device: Option<DeviceDetails>,
    /// Id of a deleted device, of which only the ledger's entries remain.
    #[serde(rename = "device_id", skip_serializing_if = "Option::is_none")]
    deleted_id: Option<DeviceId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_label: Option<Label>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_issuance_limit: Option<u32>,
    certificates: Vec<Certificate>,
}

#[derive(Serialize)]
struct Certificate {
    status: CertificateStatus,
    #[serde(flatten)]
    entry: LedgerEntry,
}

impl ShowCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { device: id } = self;
        let store = &context.store;
        let (device, entries) = tokio::try_join!(store.device(id), store.device_certificates(id))?;
        if device.is_none() && entries.is_empty() {
            return Err(CommandError::Missing(format!("device {id}")).into());
        }
        let (mut batch_label, mut project_issuance_limit) = (None, None);
        if let Some(DeviceDetails { record, .. }) = &device {
            let token = store.token(record.project_id, record.token_id);
            let (project, token) = tokio::try_join!(store.project(record.project_id), token)?;
            batch_label = token.and_then(|token| token.batch_label);
            project_issuance_limit = project.map(|project| project.policy.issuance_limit());
        }
        let certificate =
            |entry: LedgerEntry| Certificate { status: entry.status(context.now), entry };
        context.output.print(&Shown {
            deleted: device.is_none(),
            deleted_id: device.is_none().then_some(id),
            device,
            batch_label,
            project_issuance_limit,
            certificates: entries.into_iter().map(certificate).collect(),
        })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(device) = &self.device {
            self.fmt_device(device, f)?;
        }
        if let Some(id) = self.deleted_id {
            writeln!(f, "Device:       {id}\nStatus:       deleted")?;
        }
        let time = |time: Option<Timestamp>| time.map(|it| it.to_string()).unwrap_or_default();
        let row = |Certificate { status, entry }: &Certificate| {
            [
                entry.serial_number.clone(),
                status.as_str().to_owned(),
                entry.requested_at.to_string(),
                entry.not_after.to_string(),
                time(entry.revoked_at),
                entry.revocation_reason.map(|reason| reason.to_string()).unwrap_or_default(),
            ]
        };
        let table = Table {
            header: ["SERIAL NUMBER", "STATUS", "ISSUED", "VALID UNTIL", "REVOKED", "REASON"],
            rows: self.certificates.iter().map(row).collect(),
            empty: "No certificates were issued yet.",
        };
        write!(f, "\n{table}")
    }
}

impl Shown {
    fn fmt_device(&self, device: &DeviceDetails, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeviceDetails { record, issued, .. } = device;
        writeln!(f, "Device:       {}", record.device_id)?;
        if let Some(label) = &record.label {
            writeln!(f, "Label:        {label}")?;
        }
        writeln!(f, "Project:      {}", record.project_id)?;
        write!(f, "Status:       {}", record.status)?;
        match (device.revoked_at, device.revocation_reason) {
            (Some(time), Some(reason)) => writeln!(f, " since {time}: {reason}")?,
            _ => writeln!(f)?,
        }
        write!(f, "Enrolled:     {} with {}", record.created_at, record.token_id)?;
        match &self.batch_label {
            Some(batch) => writeln!(f, " ({batch})")?,
            None => writeln!(f)?,
        }
        match (device.issuance_limit, self.project_issuance_limit) {
            (Some(limit), _) => {
                writeln!(f, "Issued:       {issued} of {limit}, the device's limit")?
            }
            (None, Some(limit)) => {
                writeln!(f, "Issued:       {issued} of {limit}, the project's limit")?;
            }
            (None, None) => writeln!(f, "Issued:       {issued}")?,
        }
        match device.last_issued_at {
            Some(time) => writeln!(f, "Last issued:  {time}"),
            None => Ok(()),
        }
    }
}
