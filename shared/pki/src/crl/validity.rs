//! For how long a CRL is valid.

/// How long a list is good unless a newer one comes, in seconds: 7 days. As long as that a publisher
/// may be out of order before brokers refuse everyone.
pub const VALIDITY_SECONDS: u64 = 7 * 24 * 60 * 60;

/// A list says that it is so many seconds older than it is: brokers refuse *everyone* by a list that
/// is not valid yet, and it reaches them within seconds, which is less than some clocks are off.
pub const BACKDATED_SECONDS: u64 = 5 * 60;
