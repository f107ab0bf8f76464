//! CA certificates: the subordinate CAs that issue, and their chains up to the root.

mod ca_certificate;
mod ca_key;
pub mod chain;
mod chain_certificate;
mod constraints;
pub(crate) mod fault;
#[cfg(test)]
mod foreign;
mod issuing;
mod name;
mod record;
mod roots;
mod rotation;

pub use ca_certificate::CaCertificate;
pub use chain_certificate::ChainCertificate;
pub use fault::AuthorityFault;
pub use issuing::Authority;
pub use name::{AuthorityName, InvalidAuthorityName};
pub use record::{AuthorityRecord, AuthorityStatus};
pub use roots::{InvalidFingerprint, RootFingerprint, Roots};
