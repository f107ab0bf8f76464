//! Revocation of devices and their certificates, and the content of CRLs and of deny lists.

pub(super) mod denied;
pub(super) mod device;
pub(super) mod index;
mod one_by_one;
mod published;
pub(super) mod report;
mod rules;
pub(super) mod writes;

pub use index::RevokedCertificates;
pub use published::RevocationCheck;
pub use report::RevocationOutcome;
