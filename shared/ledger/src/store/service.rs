//! Certificates of brokers and other services.

pub(super) mod certificate;
pub(super) mod revocation;

pub use certificate::ServiceCertificate;
