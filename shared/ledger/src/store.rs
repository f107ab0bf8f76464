//! The store: one DynamoDB table, whose layout is in `store/layout.rs`.
//!
//! Every condition that protects something is in the write itself.

mod authority;
mod certificate;
mod change;
mod client;
mod crl;
mod device;
mod enrollment;
mod item;
mod layout;
mod project;
mod read;
mod revocation;
mod service;
mod table;
mod transaction;
mod write;

pub use authority::{Activation, KnownAuthority};
pub use certificate::{
    CertificateStatus, EntryKey, IssuanceRequest, KeySource, LedgerEntry, Owner, Recorded,
};
pub use change::Change;
pub use client::Store;
pub use crl::{CrlState, PublishedCrl, RecordedCrl};
pub use device::{
    DeviceDetails, DevicePage, DeviceQuery, DeviceRecord, DeviceStatus, KeyRecord, Position,
};
pub use enrollment::{EnrollmentTokenRecord, NewToken, TokenChanges, TokenStatus};
pub use item::ItemError;
pub use project::{Policy, PolicyError, PolicyTerms, ProjectChanges, ProjectRecord, ProjectTerms};
pub use revocation::RevocationOutcome;
pub use service::ServiceCertificate;
