//! Setup of CAs: what the commands of `birthcert ca`, the local stack and the tests share.

pub(crate) mod consent;
pub(crate) mod fields;
mod kms;
pub(crate) mod plan;
pub mod succession;
pub(crate) mod transcript;

pub use kms::{Request, ensure_key, find_key, request};
