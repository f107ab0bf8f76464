//! Free and closed ports.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::{TcpStream, ToSocketAddrs};

/// Below Linux's ephemeral ports, which begin at 32768.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
/// A prime, so that processes with adjacent ids get ports that are far apart.
const PORT_STRIDE: u32 = 4_001;

/// Returns a port on 127.0.0.1 that was free a moment ago, and does not return it again. It is not
/// an ephemeral port, which another test's connection might take before the server does.
///
/// # Errors
/// If no port is free.
pub fn free_port() -> io::Result<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Concurrent test processes, which have adjacent ids, start further apart than the number of
    // ports that they use.
    let start = std::process::id().wrapping_mul(PORT_STRIDE) % u32::from(PORTS);
    let start = u16::try_from(start).unwrap_or_default();
    for _ in 0..PORTS {
        let offset = start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST_PORT + offset)).is_ok() {
            return Ok(FIRST_PORT + offset);
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

/// Returns true if nothing listens at this address.
///
/// # Errors
/// If that cannot be told.
pub async fn is_closed(address: impl ToSocketAddrs) -> io::Result<bool> {
    match TcpStream::connect(address).await {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) => Err(error),
    }
}
