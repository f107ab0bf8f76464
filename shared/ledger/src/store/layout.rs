//! The keys of the table's items: which partition and which sort key each kind of item has.
//!
//! | item | `PK` | `SK` |
//! |---|---|---|
//! | project | `PROJECT#<id>` | `META` |
//! | enrollment token | `PROJECT#<id>` | `TOKEN#<id>` |
//! | device | `DEVICE#<id>` | `META` |
//! | denied device | `DENIED#<id>` | `META` |
//! | certificate (the ledger) | `LEDGER#<device>`, `SERVER#<name>` or `REGISTRATION#<code>` | `CERT#<serial>` |
//! | CA | `CA#<usage>` | `NAME#<name>` |
//! | the active CA of a usage | `CA#<usage>` | `ACTIVE` |
//! | key of a device | `KEY#<fingerprint>` | `META` |
//! | last CRL of a CA | `CRL#<name>` | `META` |
//! | CRL that was signed | `CRL#<name>` | `LIST#<number>#<digest>` |
//! | request for a CRL | `CRL#REQUEST` | the name of the CA |
//!
//! | index | partition | sort | purpose |
//! |---|---|---|---|
//! | `inventory` | `inventory`: `PROJECTS`, `DEVICES#<project>` or `SERVICES` | `created_at` | projects, devices of a project and certificates of services, by age |
//! | `serials` | `serial_number` | – | a certificate by its serial number |
//! | `revocations` | `ca` | `revoked_at` | content of a CRL: the entries revoked by a time; under `DENIED`, the denied devices |
//!
//! An item is in an index only if it has the attributes of the index's keys. Nothing expires by TTL:
//! DynamoDB deletes late, so code checks expiry.

use pki::{
    authority::AuthorityName,
    names::{DeviceId, Host, ProjectId, TokenId},
    profile::{RegistrationCode, Usage},
};

/// Sort key of an item that is the only one, or the first one, of its partition.
pub(in crate::store) const META: &str = "META";
/// Sort key of the item that names the active CA of a usage.
pub(in crate::store) const ACTIVE: &str = "ACTIVE";
/// Prefix of the sort keys of CA records.
pub(in crate::store) const CA_NAME: &str = "NAME#";
/// Prefix of the sort keys of certificates.
pub(in crate::store) const CERTIFICATE: &str = "CERT#";
/// Prefix of the sort keys of enrollment tokens.
pub(in crate::store) const TOKEN: &str = "TOKEN#";
/// Partition of the requests for CRLs.
pub(in crate::store) const CRL_REQUESTS: &str = "CRL#REQUEST";

/// Prefix of the partitions of denied devices.
pub(in crate::store) const DENIED: &str = "DENIED#";
/// Prefix of the partitions of devices' certificates. They are apart from the devices: `enroll` writes
/// devices and has no business on the ledger, and its role has no way there.
pub(in crate::store) const LEDGER: &str = "LEDGER#";
/// Prefix of the partitions of services' certificates.
pub(in crate::store) const SERVICE: &str = "SERVER#";
/// Prefix of the partitions of certificates that register a CA with AWS IoT.
const REGISTRATION: &str = "REGISTRATION#";

pub(in crate::store) fn project(id: ProjectId) -> String {
    format!("PROJECT#{id}")
}

pub(in crate::store) fn token_sort(id: TokenId) -> String {
    format!("{TOKEN}{id}")
}

pub(in crate::store) fn device(id: DeviceId) -> String {
    format!("DEVICE#{id}")
}

pub(in crate::store) fn device_key(fingerprint: &str) -> String {
    format!("KEY#{fingerprint}")
}

pub(in crate::store) fn denied(id: DeviceId) -> String {
    format!("{DENIED}{id}")
}

pub(in crate::store) fn ledger(id: DeviceId) -> String {
    format!("{LEDGER}{id}")
}

pub(in crate::store) fn service(common_name: &Host) -> String {
    format!("{SERVICE}{common_name}")
}

pub(in crate::store) fn registration(code: &RegistrationCode) -> String {
    format!("{REGISTRATION}{code}")
}

pub(in crate::store) fn certificate_sort(serial_number: &str) -> String {
    format!("{CERTIFICATE}{serial_number}")
}

/// Returns true if a partition holds certificates. An item that looks like one in another partition was
/// put there by somebody who may write other items.
pub(in crate::store) fn is_ledger(partition: &str) -> bool {
    [LEDGER, SERVICE, REGISTRATION].iter().any(|prefix| partition.starts_with(prefix))
}

pub(in crate::store) fn authority(usage: Usage) -> String {
    format!("CA#{usage}")
}

pub(in crate::store) fn authority_sort(name: &AuthorityName) -> String {
    format!("{CA_NAME}{name}")
}

pub(in crate::store) fn crl(ca: &str) -> String {
    format!("CRL#{ca}")
}
