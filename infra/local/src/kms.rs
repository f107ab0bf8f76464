//! A stand-in for AWS KMS, for development.
//!
//! The stand-in supports the few operations that birthcert and its operators use, over the protocol of
//! KMS (AWS JSON 1.1), so that the AWS SDKs and the AWS CLI work with it unchanged. It creates P-256
//! signing keys only.
//!
//! Errors, limits and key states match those of AWS. The differences:
//! - Every client is authorized: a request must carry a signature, which is not verified. Key
//!   policies and tags are stored but have no effect.
//! - The private keys are files that the user of the process can read.
//! - A key that is due for deletion stays `PendingDeletion`: nothing is ever deleted.
//!
//! Like CloudTrail, it records every signature, as a line in `signatures.jsonl`.

mod alias;
mod blob;
mod error;
mod identifier;
mod journal;
mod key;
mod key_store;
mod message_type;
mod operations;
mod pagination;
mod private_directory;
mod process;
mod server;
#[cfg(test)]
mod testing;
mod validation;

pub use process::KmsProcess;
pub(crate) use process::run;
pub use server::Kms;
