//! The agent beside real brokers, and what is published, by CAs with keys in memory.

pub(crate) mod access_list;
pub(crate) mod alone;
pub(crate) mod faults;
pub(crate) mod held_back;
pub(crate) mod mosquitto;
pub(crate) mod nats;
pub(crate) mod rabbitmq;
mod scene;
pub(crate) mod stack;
pub(crate) mod trust;
