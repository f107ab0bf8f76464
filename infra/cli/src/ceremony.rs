//! Setup of CAs: what the commands of `birthcert ca`, the local stack and the tests share.

pub(crate) mod authorities;
pub(crate) mod clock;
pub(crate) mod consent;
pub(crate) mod fields;
mod kms;
pub(crate) mod plan;
pub(crate) mod transcript;

pub(crate) use kms::find_key;
pub use {
    authorities::activate_first,
    kms::{Request, ensure_key, request},
};
