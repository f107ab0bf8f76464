//! Notifies systemd of the agent's state, if systemd started it: sd_notify(3).

#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::{
    env,
    ffi::OsString,
    io,
    os::unix::{
        ffi::OsStrExt as _,
        net::{SocketAddr, UnixDatagram},
    },
};

/// The notification socket, if there is one.
pub(crate) struct Systemd {
    address: Option<OsString>,
    is_ready: bool,
}

impl Systemd {
    pub(crate) fn from_env() -> Self {
        Self { address: env::var_os("NOTIFY_SOCKET"), is_ready: false }
    }

    /// Reports that the broker's files exist, so that units ordered after this one may start.
    pub(crate) fn ready(&mut self) {
        if !self.is_ready {
            self.is_ready = true;
            self.notify("READY=1");
        }
    }

    /// Resets the watchdog.
    pub(crate) fn alive(&self) {
        self.notify("WATCHDOG=1");
    }

    pub(crate) fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    /// Ignores failures: nothing depends on a notification that nobody receives.
    fn notify(&self, state: &str) {
        if let Some(address) = &self.address {
            let _ = send(address, state);
        }
    }
}

fn send(address: &OsString, state: &str) -> io::Result<()> {
    let address = match address.as_bytes() {
        // Linux's abstract namespace.
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn reports_readiness_once() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut systemd = Systemd { address: Some(path.into()), is_ready: false };
        systemd.ready();
        systemd.ready();
        systemd.alive();
        let mut heard = [0; 64];
        for expected in ["READY=1", "WATCHDOG=1"] {
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(str::from_utf8(&heard[..length]).unwrap(), expected);
        }
    }
}
