//! Revocation of devices and their certificates, and what of it CRLs and denied lists contain.

pub(in crate::store) mod denied;
pub(in crate::store) mod device;
pub(in crate::store) mod index;
pub(in crate::store) mod writes;

pub use device::RevocationOutcome;
