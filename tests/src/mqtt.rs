//! MQTT clients.

pub mod mosquitto_clients;
pub mod raw_session;
pub mod session;
pub mod session_end;
