//! `birthcert broker list`.

use std::fmt;

use ledger::store::ServiceCertificate;
use pki::{
    clock::Timestamp,
    names::Host,
    profile::{Role, Service},
};
use serde::Serialize;

use crate::{context::Context, output::table::Table};

#[derive(Serialize)]
#[serde(transparent)]
struct Certificates(Vec<Row>);

#[derive(Serialize)]
struct Row {
    common_name: Host,
    names: Vec<Host>,
    role: Role,
    serial_number: String,
    issued_at: Timestamp,
    not_after: Timestamp,
    status: &'static str,
}

impl fmt::Display for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |it: &Row| {
            [
                it.common_name.to_string(),
                it.role.to_string(),
                it.status.to_owned(),
                it.not_after.to_string(),
                it.serial_number.clone(),
                it.names.iter().map(Host::to_string).collect::<Vec<_>>().join(", "),
            ]
        };
        Table {
            header: ["COMMON NAME", "ROLE", "STATUS", "EXPIRES", "SERIAL NUMBER", "NAMES"],
            rows: self.0.iter().map(row).collect(),
            empty: "No certificates were issued to brokers or services.",
        }
        .fmt(f)
    }
}

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    let row = |it: ServiceCertificate| row(&it.service, &it, context.now);
    let certificates = context.store.service_certificates().await?;
    context.output.print(&Certificates(certificates.into_iter().map(row).collect()))
}

fn row(service: &Service, certificate: &ServiceCertificate, now: Timestamp) -> Row {
    let entry = &certificate.entry;
    let status = match () {
        // As far as the ledger knows, nothing was signed.
        () if entry.withdrawn_at.is_some() => "withdrawn",
        () if entry.revoked_at.is_some() => "revoked",
        () if entry.not_after < now => "expired",
        () if entry.superseded_at.is_some() => "renewed",
        () => "active",
    };
    Row {
        common_name: service.common_name().clone(),
        names: service.names().to_vec(),
        role: service.role(),
        serial_number: entry.serial_number.clone(),
        issued_at: entry.requested_at,
        not_after: entry.not_after,
        status,
    }
}
