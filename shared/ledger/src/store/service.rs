//! Certificates of brokers and other services.

pub(in crate::store) mod certificate;
pub(in crate::store) mod revocation;

pub use certificate::ServiceCertificate;
