//! Certificates on the ledger: every certificate that a signer was ever asked for, recorded before it was
//! asked.

pub(in crate::store) mod entry;
pub(in crate::store) mod issuance;
pub(in crate::store) mod lookup;
pub(in crate::store) mod record;
pub(in crate::store) mod request;

pub use entry::{CertificateStatus, LedgerEntry};
pub use lookup::Owner;
pub use record::{EntryKey, Recorded};
pub use request::{IssuanceRequest, KeySource};
