//! Debian's nats-server with the configuration that operators get.

use std::path::Path;

use crate::process::{Process, free_port, send_signal, tool};

/// A running broker.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    /// The port for NATS's own protocol.
    pub port: u16,
}

impl Nats {
    /// Starts the configuration in `folder`. It listens on 127.0.0.1 only, apart from the port for
    /// NATS's own protocol, for which our commands have no option.
    ///
    /// # Errors
    /// If nats-server is not installed, or does not start.
    pub async fn start(folder: &Path, mqtt_port: u16) -> anyhow::Result<Self> {
        let port = free_port()?;
        let process = Process::start(&tool::find("nats-server")?, mqtt_port, |nats, _| {
            // Options take precedence over the file.
            let port = port.to_string();
            nats.current_dir(folder).args(["-c", "nats-server.conf", "-p", &port]);
        })
        .await?;
        Ok(Self { process, port })
    }

    /// Makes the broker reload its configuration.
    ///
    /// # Errors
    /// If the broker is gone.
    pub async fn reload(&self) -> anyhow::Result<()> {
        send_signal("HUP", self.process.pid()).await
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns the broker's log.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
