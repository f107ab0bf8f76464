//! Enrollment tokens, and the conditional write by which a device redeems one.

pub(super) mod redemption;
pub(super) mod token;

pub(crate) use redemption::GiveBack;
pub use token::{EnrollmentTokenRecord, NewToken, TokenChanges, TokenStatus};
