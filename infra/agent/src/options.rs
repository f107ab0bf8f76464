//! The options that every broker's subcommand accepts.

mod duration;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{log, published::BaseUrl};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Base URL of the published CRLs: serves ca/index.json and crl/device.crl. Plain HTTP does not
    /// allow forgery, but an attacker can withhold updates until the CRLs expire.
    #[arg(long, value_name = "URL", env = "BIRTHCERT_SOURCE")]
    pub(crate) source: BaseUrl,
    /// Root certificate in PEM, the only trust anchor. During a root change, include both roots.
    #[arg(long, value_name = "FILE")]
    pub(crate) root: PathBuf,
    /// Directory for the broker's files and the agent's state; created if missing. Only one agent
    /// may use it.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Polling interval. Most responses are a few bytes that report no change.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Warn when a CRL expires within this time. Brokers refuse every client once it has expired.
    #[arg(long, value_name = "TIME", default_value = "3d", value_parser = duration::parse)]
    pub(crate) warn_before: Duration,
    /// Warn when a CRL was issued longer ago than this. A new CRL is published every twelve hours,
    /// and an attacker on the network may withhold it.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration::parse)]
    pub(crate) stale_after: Duration,
    /// Also install the root's CRL, published at this path, such as crl/root.crl.
    #[arg(long, value_name = "PATH")]
    pub(crate) root_crl: Option<String>,
    /// Trust the certificates in this file for HTTPS, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_root: Option<PathBuf>,
    /// Serve /health, /status and /metrics (Prometheus) on this address, such as 127.0.0.1:9090,
    /// without authentication.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Run once and exit, for cron. Fails unless everything is up to date.
    #[arg(long)]
    pub(crate) once: bool,
    /// Log format.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log: log::Format,
}

impl Options {
    /// Returns the polling interval for one resource.
    pub(crate) fn polling_interval(&self) -> Duration {
        if self.once { Duration::from_secs(24 * 60 * 60) } else { self.interval }
    }
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    match duration::parse(text)? {
        interval if interval >= Duration::from_millis(100) => Ok(interval),
        _ => Err("must be at least 100ms"),
    }
}
