//! The Lambda half of birthcert, shared by its functions: events in, problem documents out.
//!
//! | module | contents |
//! |---|---|
//! | [`function`] | start of a function, and its answers to API Gateway's events |
//! | [`http`], [`problem`] | requests read, responses and problem documents (RFC 9457) written |
//! | [`stream`] | events of the table's stream and of the schedule |
//! | [`config`] | the environment of a function |
//! | [`audit`] | log events, with CloudWatch metrics in them |
//! | [`cache`] | values that may be a minute old |
//! | [`runtime`] | clock and log, as values |

pub mod audit;
pub mod cache;
pub mod config;
mod error;
mod event;
pub mod function;
pub mod http;
mod metrics;
pub mod problem;
pub mod runtime;
pub mod stream;

pub use error::{CredentialFault, Error, Result};
