//! Certificate profiles, and the to-be-signed certificates built from them.
//!
//! [`build`] encodes the to-be-signed certificate. [`lint`](crate::lint::lint) then decodes it and
//! compares it with the same profile before it may be signed.

mod build;
mod contents;
mod issued_by;
mod registration;
mod service;
mod usage;

pub(crate) use build::distribution_points;
pub use build::{BACKDATED_SECONDS, Tbs, build, key_identifier};
pub use contents::{Device, Profile};
pub use issued_by::IssuedBy;
pub use registration::{InvalidRegistrationCode, RegistrationCode};
pub use service::{InvalidService, MAX_VALIDITY_DAYS, Role, Service};
pub use usage::Usage;
