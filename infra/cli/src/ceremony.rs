//! Setup of CAs: what the commands of `birthcert ca`, the local stack and the tests share.

pub mod authorities;
pub(crate) mod consent;
pub(crate) mod fields;
mod kms;
pub(crate) mod plan;
pub(crate) mod transcript;

pub use kms::{Request, ensure_key, find_key, request};
