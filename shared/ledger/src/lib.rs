//! The ledger: tokens, devices, certificates and CRLs in DynamoDB, CA keys in KMS, published files in S3.
//!
//! [`issue`](fn@issue) is the life of a certificate in one function: build and lint, record, sign, verify,
//! release. Nothing is signed that is not on the ledger, and nothing is released that was not checked.
//!
//! | module | contents |
//! |---|---|
//! | [`store`] | the DynamoDB table |
//! | [`kms`] | the signer: a CA key that AWS KMS never releases |
//! | [`bucket`] | the S3 bucket that CRLs and chains are published in |
//! | [`aws`] | clients, what their errors come to, and how long their calls take |

pub mod aws;
pub mod bucket;
mod error;
mod issue;
pub mod kms;
pub mod store;

pub use error::{Error, IssuerFault, OperatorError, Rejection, Result};
pub use issue::{Issuer, issue};
