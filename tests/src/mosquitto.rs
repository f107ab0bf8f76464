//! Debian's mosquitto, of this release and of the next, with the configuration that operators get.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::process::{Process, free_port};
use crate::tool;

const CONFIG: &str = include_str!("../../infra/mosquitto/mosquitto.conf");
const ACL: &str = include_str!("../../infra/mosquitto/acl");

/// The one line of the configuration that a test changes.
const LISTENER: &str = "\nlistener 8883\n";

/// Which mosquitto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Debian 12's, 2.0.11.
    V2_0,
    /// That of `tests/install-mosquitto-2.1`.
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
    /// The folder holds what the configuration names: `root.pem`, `broker-chain.pem` and
    /// `broker-key.pem`. It gets the configuration itself, and the broker's user as its owner.
    ///
    /// # Errors
    /// mosquitto is not installed, or does not start.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        fs::write(folder.join("mosquitto.conf"), on_loopback(port)?)?;
        fs::write(folder.join("acl"), ACL)?;
        hand_over(folder).await?;
        let process = Process::start(&Version::V2_0.program()?, port, |mosquitto, _| {
            mosquitto.current_dir(folder).args(["-c", "mosquitto.conf"]);
        })
        .await?;
        Ok(Self { process, port })
    }

    /// Starts the configuration in `folder`, for a certificate in `certificates` and 127.0.0.1:`port`.
    ///
    /// # Errors
    /// As [`Mosquitto::start`].
    pub async fn start_configured(
        version: Version,
        folder: &Path,
        certificates: &Path,
        port: u16,
    ) -> anyhow::Result<Self> {
        // Its own user has to get there, too.
        let home = folder.parent().context("a folder in a folder")?;
        fs::set_permissions(home, fs::Permissions::from_mode(0o711))?;
        for folder in [folder, certificates] {
            hand_over(folder).await?;
        }
        let process = Process::start(&version.program()?, port, |mosquitto, _| {
            mosquitto.arg("-c").arg(folder.join("mosquitto.conf"));
        })
        .await?;
        Ok(Self { process, port })
    }

    /// The port of its mutual TLS listener on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What the broker has logged; why it refused a client stands only here.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn on_loopback(port: u16) -> anyhow::Result<String> {
    let found = CONFIG.matches(LISTENER).count();
    ensure!(found == 1, "mosquitto.conf has {found} lines `{}`, not one", LISTENER.trim());
    Ok(CONFIG.replace(LISTENER, &format!("\nlistener {port} 127.0.0.1\n")))
}

/// Started by root, mosquitto steps down to its own user before it reads keys and lists.
///
/// # Errors
/// There is no such user.
pub async fn hand_over(folder: &Path) -> anyhow::Result<()> {
    let we_are_root = fs::metadata("/proc/self")?.uid() == 0;
    if we_are_root {
        let args = [OsStr::new("-R"), OsStr::new("mosquitto:"), folder.as_os_str()];
        let chown = tool::run("chown", args).await?;
        ensure!(chown.status.success(), "chown: {}", chown.output);
    }
    Ok(())
}
