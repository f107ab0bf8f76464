//! `birthcert-agent` on a broker's host, and the documents that it polls.

pub mod broker_host;
pub mod mosquitto_with_agent;
pub mod observed_session;
pub mod process;
pub mod publication_server;
pub mod publisher;
pub mod stack_with_broker;
