//! A stand-in for AWS KMS, for development: the few operations this product and its operators use,
//! over the protocol of the service (AWS JSON 1.1), so that the AWS SDKs and the AWS CLI talk to it
//! as they do to the original. It makes P-256 signing keys and nothing else.
//!
//! It keeps to AWS's errors, limits and key states. Where it differs:
//! - Whoever reaches it may use it: a request has to carry a signature, but nobody checks it. Key
//!   policies and tags are kept and mean nothing.
//! - The private keys lie in files, readable by the user it runs as.
//! - A key whose deletion is due stays `PendingDeletion`: nothing is ever deleted.
//!
//! Like CloudTrail, it keeps account of every signature: a line in `signatures.jsonl` for each.

mod address;
mod aliases;
mod disk;
mod fault;
mod journal;
mod key;
mod keys;
mod lifecycle;
mod page;
mod server;
mod service;
mod sign;
#[cfg(test)]
mod testing;
mod wire;

pub use server::Kms;
