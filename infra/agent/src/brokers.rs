//! Brings a broker in line with the CRLs and the denied devices.
//!
//! Brokers differ in the files that they read, in how they reload them, and in how they end a
//! denied device's session.

mod broker;
mod command_line;
mod desired_state;
mod hook;
mod mosquitto;
mod nats;
mod rabbitmq;
mod reconciler;
mod reload;

pub(crate) use desired_state::DesiredState;
pub(crate) use reconciler::Reconciler;

pub use command_line::Command;
