//! Enrollment tokens, and the conditional write by which a device redeems one.

pub(super) mod admission;
pub(super) mod token;

pub use token::{EnrollmentTokenRecord, NewToken, TokenChanges, TokenStatus};
