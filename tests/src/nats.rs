//! Debian's nats-server with the configuration that operators get.

use std::path::Path;

use crate::process::{Process, free_port, send_signal};
use crate::tool;

/// A running broker.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    /// Where it speaks NATS's own protocol.
    pub port: u16,
}

impl Nats {
    /// Starts the configuration in `folder`, which is on 127.0.0.1 alone but for its port for NATS's
    /// own protocol, which no option of ours sets.
    ///
    /// # Errors
    /// nats-server is not installed, or does not start.
    pub async fn start(folder: &Path, mqtt_port: u16) -> anyhow::Result<Self> {
        let port = free_port()?;
        let process = Process::start(&tool::find("nats-server")?, mqtt_port, |nats, _| {
            // Options win over the file.
            let port = port.to_string();
            nats.current_dir(folder).args(["-c", "nats-server.conf", "-p", &port]);
        })
        .await?;
        Ok(Self { process, port })
    }

    /// Makes it read its configuration again.
    ///
    /// # Errors
    /// It is gone.
    pub async fn reload(&self) -> anyhow::Result<()> {
        send_signal("HUP", self.process.pid()).await
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
