//! The harness of the end-to-end tests: independent servers, clients and verifiers, so that a
//! mistake of ours is not checked by the same mistake.
//!
//! A missing tool fails the test, with the command that installs it; no test is skipped. Servers
//! listen on loopback only, and end with the process that started them.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says where"
)]

pub mod agent;
pub mod api;
pub mod aws;
pub mod brokers;
pub mod busy_api;
pub mod env;
pub mod faults;
pub mod fuzz;
pub mod lambda;
mod loopback_server;
pub mod mqtt;
pub mod operator;
pub mod pki;
pub mod process;
pub mod published_crl;
pub mod secrets;
pub mod stack;
pub mod verifiers;
