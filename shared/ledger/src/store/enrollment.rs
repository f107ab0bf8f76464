//! Enrollment tokens, and the write that every enrollment is conditioned on.

pub(in crate::store) mod admission;
pub(in crate::store) mod token;

pub use token::{EnrollmentTokenRecord, NewToken, TokenChanges, TokenStatus};
