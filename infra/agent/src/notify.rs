//! Tells systemd how it goes, if systemd started this: sd_notify(3).

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

/// systemd's end, if there is one.
pub(crate) struct Notify {
    address: Option<OsString>,
    is_ready: bool,
}

impl Notify {
    pub(crate) fn from_env() -> Self {
        Self { address: env::var_os("NOTIFY_SOCKET"), is_ready: false }
    }

    /// The broker's files are there: what waits for this unit may start.
    pub(crate) fn ready(&mut self) {
        if !self.is_ready {
            self.is_ready = true;
            self.tell("READY=1");
        }
    }

    /// It goes on.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Whoever does not listen does not want to know.
    fn tell(&self, state: &str) {
        if let Some(address) = &self.address {
            let _ = send(address, state);
        }
    }
}

fn send(address: &OsString, state: &str) -> io::Result<()> {
    let address = match address.as_bytes() {
        // In Linux's abstract namespace.
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
    fn tells_that_it_is_ready_once() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let mut notify = Notify { address: Some(path.into()), is_ready: false };
        notify.ready();
        notify.ready();
        notify.alive();
        let mut heard = [0; 64];
        for expected in ["READY=1", "WATCHDOG=1"] {
            let length = systemd.recv(&mut heard).unwrap();
            assert_eq!(str::from_utf8(&heard[..length]).unwrap(), expected);
        }
    }
}
