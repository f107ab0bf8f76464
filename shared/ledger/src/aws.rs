//! AWS: clients, what their errors come to, and how long their calls take.

mod client;
pub mod meter;
mod outage;
mod service;
mod throttling;

pub use client::{AwsConfig, CaBundle, Credentials};
pub(crate) use outage::outage;
pub use service::AwsService;
pub(crate) use throttling::is_throttling;
