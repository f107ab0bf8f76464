//! What the end-to-end tests run against: servers, clients and verifiers that others wrote, so that
//! no mistake of ours is checked by the same mistake.
//!
//! A tool that is missing fails the test and names the line that installs it; nothing is skipped.
//! Servers listen on loopback alone and end with the process that started them, however it ends.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says where"
)]

pub mod access;
pub mod agent;
pub mod api;
pub mod brokers;
pub mod cloudformation;
pub mod corporate;
pub mod counterparties;
pub mod dynamodb_local;
pub mod env;
pub mod files;
pub mod function;
pub mod guarded;
pub mod guarded_stack;
pub mod iam;
pub mod localstack;
pub mod ministack;
pub mod mosquitto;
pub mod mqtt_client;
pub mod mqtt_raw;
pub mod mqtt_session;
pub mod nats;
pub mod openssl;
pub mod operator;
pub mod pki;
pub mod pkilint;
pub mod process;
pub mod proxy;
pub mod publication;
pub mod published;
pub mod rabbitmq;
pub mod revocation;
pub mod runtime_api;
pub mod site;
pub mod softhsm;
pub mod stack;
pub mod template;
pub mod terminal;
pub mod tool;
