//! `birthcert-agent` beside real brokers; CAs with keys in memory publish what it polls.

pub(crate) mod access_list;
pub(crate) mod faults;
mod fixture;
pub(crate) mod held_back;
pub(crate) mod mosquitto;
pub(crate) mod nats;
pub(crate) mod rabbitmq;
pub(crate) mod stack;
pub(crate) mod standalone;
pub(crate) mod trust;
