//! Reports the agent's status: in the log, in `status.json`, over HTTP and to systemd.

mod metrics;
mod problems;
mod reporter;
mod status;
mod status_server;
mod systemd;

pub(crate) use reporter::Reporter;
pub(crate) use status::{Level, Status};
pub(crate) use status_server::StatusServer;
pub(crate) use systemd::Systemd;
