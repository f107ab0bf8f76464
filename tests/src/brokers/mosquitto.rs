//! Debian's mosquitto, of this release and the next, with the configuration that operators get.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::process::{Process, free_port, tool};

const CONFIG: &str = include_str!("../../../infra/brokers/mosquitto/mosquitto.conf");
const ACL: &str = include_str!("../../../infra/brokers/mosquitto/acl");

/// The only line of the configuration that tests change.
const LISTENER: &str = "\nlistener 8883\n";

/// A version of mosquitto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 2.0.11, of Debian 12.
    V2_0,
    /// The version that `tests/tools/install-mosquitto-2.1` installs.
    V2_1,
}

impl Version {
    fn program(self) -> anyhow::Result<PathBuf> {
        match self {
            Self::V2_0 => tool::find("mosquitto"),
            Self::V2_1 => tool::pinned("mosquitto-2.1/mosquitto"),
        }
    }
}

/// A running broker.
#[derive(Debug)]
pub struct Mosquitto {
    process: Process,
    port: u16,
}

impl Mosquitto {
    /// Starts a broker on a free port of 127.0.0.1, with `folder` as its working directory.
    ///
    /// The folder must hold the files that the configuration names: `root.pem`, `broker-chain.pem`
    /// and `broker-key.pem`. The configuration is added, and the broker's user becomes the owner.
    ///
    /// # Errors
    /// If mosquitto is not installed, or does not start.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        fs::write(folder.join("mosquitto.conf"), on_loopback(port)?)?;
        fs::write(folder.join("acl"), ACL)?;
        chown_to_mosquitto(folder).await?;
        let process = Process::start(&Version::V2_0.program()?, port, |mosquitto, _| {
            mosquitto.current_dir(folder).args(["-c", "mosquitto.conf"]);
        })
        .await?;
        Ok(Self { process, port })
    }

    /// Starts the configuration in `folder`, with the certificate in `certificates`, on
    /// 127.0.0.1:`port`.
    ///
    /// # Errors
    /// As [`Mosquitto::start`].
    pub async fn start_configured(
        version: Version,
        folder: &Path,
        certificates: &Path,
        port: u16,
    ) -> anyhow::Result<Self> {
        // mosquitto's own user needs access, too.
        let home = folder.parent().context("a folder in a folder")?;
        fs::set_permissions(home, fs::Permissions::from_mode(0o711))?;
        for folder in [folder, certificates] {
            chown_to_mosquitto(folder).await?;
        }
        let process = Process::start(&version.program()?, port, |mosquitto, _| {
            mosquitto.arg("-c").arg(folder.join("mosquitto.conf"));
        })
        .await?;
        Ok(Self { process, port })
    }

    /// Returns the port of the mutual TLS listener on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns the broker's log, the only place that says why a client was refused.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn on_loopback(port: u16) -> anyhow::Result<String> {
    let found = CONFIG.matches(LISTENER).count();
    ensure!(found == 1, "mosquitto.conf has {found} lines `{}`, not one", LISTENER.trim());
    Ok(CONFIG.replace(LISTENER, &format!("\nlistener {port} 127.0.0.1\n")))
}

/// Gives a folder to mosquitto's own user: started by root, mosquitto switches to that user before
/// it reads keys and CRLs.
///
/// # Errors
/// If there is no such user.
pub async fn chown_to_mosquitto(folder: &Path) -> anyhow::Result<()> {
    let we_are_root = fs::metadata("/proc/self")?.uid() == 0;
    if we_are_root {
        let args = [OsStr::new("-R"), OsStr::new("mosquitto:"), folder.as_os_str()];
        let chown = tool::run("chown", args).await?;
        ensure!(chown.status.success(), "chown: {}", chown.output);
    }
    Ok(())
}
