//! What every broker's agent is told on its command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{duration, log, source::BaseUrl};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where CRLs are published: the address below which are ca/index.json and crl/device.crl. Without
    /// TLS nobody can forge what is read there either, but hold it back until the CRLs expire.
    #[arg(long, value_name = "URL", env = "BIRTHCERT_SOURCE")]
    pub(crate) source: BaseUrl,
    /// The root certificate, in PEM: all that is trusted. A file of several, while the root changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) root: PathBuf,
    /// Where the broker's files and the agent's state are kept; made unless it is there. For one agent
    /// alone.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// How often to ask for news; most answers are a few bytes that say there are none.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Warn when a CRL expires within this time: once it has, brokers refuse everyone.
    #[arg(long, value_name = "TIME", default_value = "3d", value_parser = duration::parse)]
    pub(crate) warn_before: Duration,
    /// Warn when a CRL was made longer ago than this: there is a new one every twelve hours, and whoever
    /// is in between may hold it back.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration::parse)]
    pub(crate) stale_after: Duration,
    /// Also take the root's CRL, published at this path, such as crl/root.crl.
    #[arg(long, value_name = "PATH")]
    pub(crate) root_crl: Option<String>,
    /// For the HTTPS connection, trust the certificates in this file instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_root: Option<PathBuf>,
    /// Serve /health, /status and /metrics (Prometheus) here, such as 127.0.0.1:9090. Whoever reaches
    /// it may read them.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Do it once and end: for cron. Fails unless everything is up to date.
    #[arg(long)]
    pub(crate) once: bool,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) log: log::Format,
}

impl Options {
    /// Between two questions about the same.
    pub(crate) fn pause(&self) -> Duration {
        if self.once { Duration::from_secs(24 * 60 * 60) } else { self.interval }
    }
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    match duration::parse(text)? {
        interval if interval >= Duration::from_millis(100) => Ok(interval),
        _ => Err("the least is 100ms"),
    }
}
