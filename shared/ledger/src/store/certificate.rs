//! Certificates on the ledger. Each is recorded before KMS is asked to sign it.

pub(super) mod entry;
pub(super) mod issuance;
pub(super) mod lookup;
pub(super) mod record;
pub(super) mod request;

pub use entry::{CertificateStatus, LedgerEntry};
pub use lookup::CertificateOwner;
pub(crate) use record::RecordedTbs;
pub use request::{IssuanceRequest, KeySource};
