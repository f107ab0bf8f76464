//! CAs outside of KMS: in memory, at OpenSSL, and in a PKCS#11 token.

pub mod ca;
pub mod corporate_ca;
pub mod softhsm;
