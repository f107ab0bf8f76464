//! MQTT brokers, with the configurations that operators get.

pub mod kind;
pub mod mosquitto;
pub mod nats;
pub mod rabbitmq;
