//! The whole birthcert stack on one machine, for development: an embedded DynamoDB, a stand-in for
//! KMS in a separate process, a stand-in for S3, and a gateway in front of the production handlers.
//!
//! AWS is replaced on the wire, not in the code: the handlers reach every stand-in through the AWS
//! SDK.

mod api;
pub mod bucket;
pub mod command;
pub mod gateway;
pub mod kms;
mod signals;
pub mod stack;
