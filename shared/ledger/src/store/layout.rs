//! Partition keys and sort keys of the table's items.
//!
//! `docs/reference/table.md` lists the items, their attributes and the indexes. IAM policies grant
//! rights by partition, so items that a function must not write are in partitions that it cannot write.

use pki::{
    authority::AuthorityName,
    names::{DeviceId, Host, ProjectId, TokenId},
    profile::{RegistrationCode, Usage},
};

/// Sort key of the item that a partition is named after, such as the device itself.
pub(super) const META: &str = "META";
/// Sort key of the item that names the active CA of a usage.
pub(super) const ACTIVE: &str = "ACTIVE";
/// Prefix of the sort keys of CA records.
pub(super) const CA_NAME: &str = "NAME#";
/// Prefix of the sort keys of certificates.
pub(super) const CERTIFICATE: &str = "CERT#";
/// Partition of the requests for CRLs. Their sort keys are the CAs' names. The stream's filter in
/// `template.yaml` passes only this partition, so the publisher's own writes do not invoke it again.
pub(super) const CRL_REQUESTS: &str = "CRL#REQUEST";

/// Prefix of the partitions of denied devices.
pub(super) const DENIED: &str = "DENIED#";
/// Prefix of the partitions of devices' certificates. They are separate from the devices' own partitions,
/// so that the role of `enroll`, which writes devices, cannot write to the ledger.
pub(super) const LEDGER: &str = "LEDGER#";
/// Prefix of the partitions of services' certificates.
pub(super) const SERVICE: &str = "SERVER#";
/// Prefix of the partitions of certificates that register a CA with AWS IoT.
const REGISTRATION: &str = "REGISTRATION#";

/// Prefix of the partitions of projects.
pub(super) const PROJECT: &str = "PROJECT#";
/// Prefix of the partitions of devices.
pub(super) const DEVICE: &str = "DEVICE#";

pub(super) fn project(id: ProjectId) -> String {
    format!("{PROJECT}{id}")
}

/// The enrollment tokens of a project are separate from the project, so that the role of `enroll`, which
/// counts their uses, cannot write to projects.
pub(super) fn tokens(project: ProjectId) -> String {
    format!("TOKENS#{project}")
}

pub(super) fn token_sort_key(id: TokenId) -> String {
    id.to_string()
}

pub(super) fn device(id: DeviceId) -> String {
    format!("{DEVICE}{id}")
}

pub(super) fn device_key(fingerprint: &str) -> String {
    format!("KEY#{fingerprint}")
}

pub(super) fn denied(id: DeviceId) -> String {
    format!("{DENIED}{id}")
}

pub(super) fn ledger(id: DeviceId) -> String {
    format!("{LEDGER}{id}")
}

pub(super) fn service(common_name: &Host) -> String {
    format!("{SERVICE}{common_name}")
}

pub(super) fn registration(code: &RegistrationCode) -> String {
    format!("{REGISTRATION}{code}")
}

pub(super) fn certificate_sort_key(serial_number: &str) -> String {
    format!("{CERTIFICATE}{serial_number}")
}

/// Returns true if a partition holds ledger entries. An item elsewhere that looks like one may be forged, by
/// a function that may write there.
pub(super) fn is_ledger_partition(partition: &str) -> bool {
    [LEDGER, SERVICE, REGISTRATION].iter().any(|prefix| partition.starts_with(prefix))
}

pub(super) fn authority(usage: Usage) -> String {
    format!("CA#{usage}")
}

pub(super) fn authority_sort_key(name: &AuthorityName) -> String {
    format!("{CA_NAME}{name}")
}

pub(super) fn crl(ca: &str) -> String {
    format!("CRL#{ca}")
}

/// Sorts by number. A number may have a second CRL, which contains its own distribution point.
pub(super) fn signed_crl_sort_key(crl_number: u64, tbs_digest: &str) -> String {
    format!("LIST#{crl_number:020}#{tbs_digest}")
}
