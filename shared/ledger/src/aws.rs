//! Clients of the AWS SDK, the mapping of their errors, and metrics of their calls.

mod client;
mod conflict;
pub mod meter;
mod outage;
mod service;
mod throttling;

pub use client::{AwsConfig, CaBundle, Credentials};
pub(crate) use conflict::RetryConflicts;
pub(crate) use outage::outage;
pub use service::AwsService;
pub(crate) use throttling::is_throttling;
