//! The whole of birthcert on one machine, for development: an embedded DynamoDB, a stand-in for KMS
//! in a process of its own, one for S3, and a gateway in front of the very handlers that ship.
//!
//! AWS is replaced at the wire and not in the code: the handlers reach both through the AWS SDK.

pub mod api;
mod bootstrap;
pub mod bucket;
mod database;
pub mod gateway;
pub mod kms;
pub mod kms_process;
pub mod stack;
pub mod state;
mod stream;
