//! Independent verifiers of certificates and CRLs.

pub mod crl;
pub mod openssl;
pub mod pkilint;
