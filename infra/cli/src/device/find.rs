//! `birthcert device find`.

use clap::builder::NonEmptyStringValueParser;
use ledger::store::{CertificateOwner, CertificateStatus, DeviceRecord, LedgerEntry};
use pki::names::{DeviceId, Label, ProjectId};
use serde::Serialize;

use super::{
    selection::{Filters, Selection},
    serial::{SERIAL_DIGITS, serial_number},
};
use crate::{
    context::Context,
    error::{CommandError, usage},
    output::{
        progress,
        rows::{Row, RowWriter},
    },
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  birthcert device find dev_9xCsba6k1hpCOAlGgS5jQs
  birthcert device find \"pump 7\"

  # A serial number, as openssl or a broker's log prints it
  birthcert device find 6C:FE:9C:10:42:39:BF:8D:4C:00:67:6C:33:5D:66:AB
  birthcert device find \"$(openssl x509 -noout -serial -in cert.pem | cut -d= -f2)\"";

#[derive(clap::Args)]
pub(crate) struct FindCommand {
    /// Device id, serial number of a certificate in hex, or part of a label.
    // Every label contains the empty text.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    what: String,
    /// Kind of search. The default depends on the format of WHAT.
    #[arg(long, value_enum)]
    by: Option<By>,
    /// Project to search for labels. Not needed for ids and serial numbers.
    #[arg(long, env = "BIRTHCERT_PROJECT", hide_env_values = true)]
    project: Option<ProjectId>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum By {
    /// Device id.
    Id,
    /// Serial number of a certificate, in hex.
    Serial,
    /// Part of a label.
    Label,
}

/// A device, a deleted device, or a server that has the certificate.
#[derive(Default, Serialize)]
struct Found {
    #[serde(flatten)]
    device: Option<DeviceRecord>,
    /// Id of a deleted device.
    #[serde(rename = "device_id", skip_serializing_if = "Option::is_none")]
    deleted_id: Option<DeviceId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    /// Name of a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// Serial number that was searched for.
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_status: Option<CertificateStatus>,
}

impl Found {
    fn status(&self) -> String {
        let deleted = self.deleted_id.map(|_| "deleted".to_owned());
        self.device.as_ref().map(|it| it.status.to_string()).or(deleted).unwrap_or_default()
    }

    fn field(&self, of: impl FnOnce(&DeviceRecord) -> String) -> String {
        self.device.as_ref().map(of).unwrap_or_default()
    }

    fn certificate(&self) -> String {
        self.certificate_status.map(|it| it.as_str().to_owned()).unwrap_or_default()
    }
}

fn label(device: &DeviceRecord) -> String {
    device.label.as_ref().map(Label::to_string).unwrap_or_default()
}

impl Row for Found {
    const TITLES: &'static [&'static str] =
        &["FOUND", "STATUS", "CERTIFICATE", "PROJECT", "TOKEN", "LABEL"];

    fn cells(&self) -> Vec<String> {
        let deleted = self.deleted_id.map(|id| id.to_string());
        let server = self.server.as_ref().map(|name| format!("server {name}"));
        let device = self.device.as_ref().map(|it| it.device_id.to_string());
        vec![
            device.or(deleted).or(server).unwrap_or_default(),
            self.status(),
            self.certificate(),
            self.field(|it| it.project_id.to_string()),
            self.field(|it| it.token_id.to_string()),
            self.field(label),
        ]
    }

    const FIELDS: &'static [&'static str] = &[
        "device_id",
        "server",
        "status",
        "serial_number",
        "certificate_status",
        "project_id",
        "token_id",
        "label",
    ];

    fn record(&self) -> Vec<String> {
        let deleted = self.deleted_id.map(|id| id.to_string());
        let device = self.device.as_ref().map(|it| it.device_id.to_string());
        vec![
            device.or(deleted).unwrap_or_default(),
            self.server.clone().unwrap_or_default(),
            self.status(),
            self.serial_number.clone().unwrap_or_default(),
            self.certificate(),
            self.field(|it| it.project_id.to_string()),
            self.field(|it| it.token_id.to_string()),
            self.field(label),
        ]
    }
}

impl FindCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let serial_number = serial_number(&self.what);
        let by = self.by.unwrap_or(match () {
            () if self.what.parse::<DeviceId>().is_ok() => By::Id,
            () if serial_number.is_some() => By::Serial,
            () => By::Label,
        });
        match by {
            By::Id => {
                let id = self.what.parse().map_err(usage)?;
                let found = device(context, id, None).await?;
                list(context, found.into_iter().collect(), format!("device {id}"))
            }
            By::Serial => {
                let serial = serial_number.ok_or_else(|| {
                    usage(format!("a serial number has {SERIAL_DIGITS} hexadecimal digits"))
                })?;
                let found = match context.store.certificate(&serial).await? {
                    Some((CertificateOwner::Device(id), entry)) => {
                        device(context, id, Some(entry)).await?
                    }
                    Some((CertificateOwner::Service(name), entry)) => {
                        let server = Found { server: Some(name), ..Found::default() };
                        Some(server.with(context, Some(entry)))
                    }
                    None => None,
                };
                let what = format!("certificate with the serial number {serial}");
                list(context, found.into_iter().collect(), what)
            }
            By::Label => self.by_label(context).await,
        }
    }

    async fn by_label(self, context: &Context) -> anyhow::Result<()> {
        let project = self.project.ok_or_else(|| {
            usage("--project (or BIRTHCERT_PROJECT) is required to search for a label")
        })?;
        let filters = Filters::of_label(self.what.clone());
        let mut selection = Selection::new(context, project, filters, false, None).await?;
        let progress = progress::counter("devices found");
        let mut found = Vec::new();
        while let Some(devices) = selection.next(None).await? {
            progress.inc(devices.len() as u64);
            let devices = devices.into_iter();
            found.extend(devices.map(|it| Found { device: Some(it), ..Found::default() }));
        }
        progress.finish_and_clear();
        list(context, found, format!("device with {:?} in its label", self.what))
    }
}

impl Found {
    fn with(self, context: &Context, entry: Option<LedgerEntry>) -> Self {
        let certificate_status = entry.as_ref().map(|entry| entry.status(context.now));
        Self { serial_number: entry.map(|entry| entry.serial_number), certificate_status, ..self }
    }
}

/// Finds a device. Of a deleted device, only the ledger's entries remain.
async fn device(
    context: &Context,
    id: DeviceId,
    entry: Option<LedgerEntry>,
) -> anyhow::Result<Option<Found>> {
    let found = match context.store.device(id).await? {
        Some(device) => Found { device: Some(device.record), ..Found::default() },
        None if entry.is_none() && context.store.device_certificates(id).await?.is_empty() => {
            return Ok(None);
        }
        None => Found { deleted_id: Some(id), deleted: true, ..Found::default() },
    };
    Ok(Some(found.with(context, entry)))
}

/// Prints the devices. An empty result is an error, so that scripts notice.
fn list(context: &Context, found: Vec<Found>, what: String) -> anyhow::Result<()> {
    if found.is_empty() {
        return Err(CommandError::Missing(what).into());
    }
    let mut listing = RowWriter::new(context.output, "");
    found.iter().try_for_each(|it| listing.push(it))?;
    listing.end()
}
