//! The ledger: enrollment tokens, devices, certificates and CRLs in DynamoDB, CA keys in KMS, published files
//! in S3.
//!
//! [`issue`](fn@issue) issues a certificate in five steps: build and lint, record, sign, verify, release.
//! Nothing is signed before it is on the ledger, and nothing is released before it was verified.
//!
//! | module | contents |
//! |---|---|
//! | [`store`] | the DynamoDB table |
//! | [`kms`] | the signer: a CA key that never leaves AWS KMS |
//! | [`bucket`] | the S3 bucket in which CRLs and CA chains are published |
//! | [`aws`] | clients of the AWS SDK, the mapping of their errors, and metrics of their calls |
#![doc = "\n"]
#![doc = include_str!("../../README.md")]

pub mod aws;
pub mod bucket;
mod deadline;
mod enroll;
mod error;
mod issue;
pub mod kms;
pub mod store;

pub use deadline::Deadline;
pub use enroll::{Enrollment, enroll};
pub use error::{Error, IssuerFault, ItemError, OperatorError, Rejection, Result};
pub use issue::{Issuer, TO_ISSUE, issue};
