//! Certificate profiles, and the to-be-signed certificate built from one.
//!
//! [`build`] makes the to-be-signed certificate. [`lint`](crate::lint::lint) then reads it back and
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
pub use registration::{InvalidCode, RegistrationCode};
pub use service::{LONGEST_VALIDITY_DAYS, Role, Service, ServiceError};
pub use usage::Usage;
