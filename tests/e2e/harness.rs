//! The harness itself: its clients tell what a broker did from what failed on the way.

mod fake_broker;
pub(crate) mod mqtt_clients;
