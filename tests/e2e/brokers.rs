//! Real brokers with the configurations that operators get.

pub(crate) mod aws_iot;
pub(crate) mod certificates;
pub(crate) mod mosquitto;
pub(crate) mod nats;
pub(crate) mod rabbitmq;
pub(crate) mod root_changes;
pub(crate) mod root_trust;
mod setup;
