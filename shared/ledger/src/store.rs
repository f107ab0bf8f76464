//! The store: one DynamoDB table. Its layout is described in `docs/reference/table.md`.
//!
//! Every check that protects an invariant is a condition of the write itself. A read before a write is
//! only a guess at that condition, or an explanation of its failure.

mod authority;
mod certificate;
mod change;
mod client;
mod condition;
mod crl;
mod device;
mod enrollment;
mod item;
mod layout;
mod project;
mod read;
mod revocation;
mod service;
mod status;
mod table;
mod transaction;
mod write;

pub use authority::{ActivationOutcome, AuthorityState, DamagedAuthority};
pub use certificate::{
    Arrival, CertificateOwner, CertificateStatus, IssuanceRequest, KeySource, LedgerEntry,
};
pub(crate) use certificate::{LedgerEntryKey, RecordedTbs, Withdrawal};
pub use change::Change;
pub use client::Store;
pub use crl::{CrlState, PublishedCrl, RecordedCrl};
pub use device::{
    DeviceCursor, DeviceDetails, DevicePage, DeviceQuery, DeviceRecord, DeviceStatus, KeyRecord,
};
pub(crate) use enrollment::GiveBack;
pub use enrollment::{EnrollmentTokenRecord, NewToken, TokenChanges, TokenStatus};
pub use project::{Policy, PolicyError, PolicyTerms, ProjectChanges, ProjectRecord, ProjectTerms};
pub use read::Reading;
pub use revocation::{RevocationCheck, RevocationOutcome, RevokedCertificates};
pub use service::ServiceCertificate;
