//! Certificates on the ledger. Each is recorded before KMS is asked to sign it.

pub(super) mod arrival;
pub(super) mod damaged;
pub(super) mod entry;
pub(super) mod issuance;
pub(super) mod lookup;
pub(super) mod record;
pub(super) mod request;
pub(super) mod supersession;
pub(super) mod withdrawal;

pub use arrival::Arrival;
pub use entry::{CertificateStatus, LedgerEntry};
pub use lookup::CertificateOwner;
pub(crate) use record::{LedgerEntryKey, RecordedTbs};
pub use request::{IssuanceRequest, KeySource};
pub(crate) use withdrawal::Withdrawal;
