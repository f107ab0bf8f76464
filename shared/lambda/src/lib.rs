//! The code that the Lambda functions share: reads events, writes responses, logs and counts.
//!
//! | module | contents |
//! |---|---|
//! | [`function`] | start of a function, and its responses to API Gateway's events |
//! | [`http`], `problem` | requests, responses, and problem documents (RFC 9457) |
//! | [`stream`] | events of the table's stream and of the schedule |
//! | [`config`] | configuration from environment variables |
//! | [`audit`] | log events, with embedded CloudWatch metrics |
//! | [`cache`] | values that may be up to a minute old |
//! | [`runtime`] | the clock and the log, as values |
#![doc = "\n"]
#![doc = include_str!("../../README.md")]

pub mod audit;
pub mod cache;
pub mod config;
mod error;
mod event;
pub mod function;
pub mod http;
mod metrics;
mod problem;
pub mod runtime;
pub mod stream;

pub use error::{CredentialFault, Error, Result};
