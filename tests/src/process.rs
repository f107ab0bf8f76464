//! A server as a child process: up before a test goes on, gone with the tests, on loopback alone.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Far more than any server needs, for machines that compile at the same time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Below those that Linux gives to connections, which begin at 32768.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
/// Prime, so that neighbours are far apart and nobody meets anybody soon.
const APART: u32 = 4_001;

const LOG: &str = "log";
const LOG_TAIL: usize = 30;

/// Ends the server as soon as the other end of its standard input closes, which the kernel does for
/// us even when the tests are killed. `exec` keeps the process id, so the server stays our child.
///
/// Not `PR_SET_PDEATHSIG`: the kernel forgets it when a server steps down from root to a user of
/// its own, as mosquitto does, and takes the end of the thread that forked for the end of its
/// process.
const LEASH: &str = r#"exec 3<&0 </dev/null; { read -r _ <&3; kill -KILL $$; } & exec "$@" 3<&-"#;

/// A running server. Dropping it kills and reaps the server.
///
/// It is a `std` child, not a tokio one: a server that several tests share outlives the runtime of
/// the test that happened to start it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    scratch: TempDir,
}

impl Process {
    /// Starts `program` and waits until it answers on 127.0.0.1:`port`.
    ///
    /// `set_up` adds arguments and environment; the folder it is given is the server's own, empty,
    /// and removed with it.
    ///
    /// # Errors
    /// The server ended, did not answer in time, or answers on more than 127.0.0.1; the message
    /// has the end of its log.
    pub async fn start(
        program: &Path,
        port: u16,
        set_up: impl FnOnce(&mut Command, &Path),
    ) -> anyhow::Result<Self> {
        let scratch = TempDir::new()?;
        let log = File::create(scratch.path().join(LOG))?;
        let mut command = leashed(program);
        set_up(&mut command, scratch.path());
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;

        let mut process = Self { child, scratch };
        if let Err(reason) = process.answers(port).await {
            let (program, tail) = (program.display(), process.log_tail());
            bail!("{program} did not start: {reason:#}; its log ends:\n{tail}");
        }
        Ok(process)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server has written to its standard output and error.
    pub fn log(&self) -> String {
        let log = fs::read(self.scratch.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }

    async fn answers(&mut self, port: u16) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let answers = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok();
            // Asked second: mosquitto listens first and reads its key then.
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            if answers {
                break;
            }
            ensure!(Instant::now() < deadline, "nothing on port {port} after {START_LIMIT:?}");
            sleep(Duration::from_millis(10)).await;
        }
        // All of 127.0.0.0/8 is this machine: who answers here too listens on every interface.
        let elsewhere = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).await;
        ensure!(elsewhere.is_err(), "it listens on every interface");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without a SIGTERM first: all that these servers could put in order is in `scratch`.
        // An error means that the server is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on 127.0.0.1 that was free a moment ago, and that this process is not given again. It is not
/// one of those that the kernel gives to connections: of these a connection of another test may have it
/// by the time that a server wants it.
///
/// # Errors
/// No port is left.
pub fn free_port() -> io::Result<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Tests that run beside these begin elsewhere, by more than they use: their process's number is near.
    let start = std::process::id().wrapping_mul(APART) % u32::from(PORTS);
    let start = u16::try_from(start).unwrap_or_default();
    for _ in 0..PORTS {
        let offset = start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST_PORT + offset)).is_ok() {
            return Ok(FIRST_PORT + offset);
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

/// Sends a signal, such as `INT`, by the shell's own `kill`: it needs no package, and no unsafe code
/// here.
///
/// # Errors
/// The process is gone.
pub async fn send_signal(name: &str, pid: u32) -> anyhow::Result<()> {
    let kill = format!("kill -{name} {pid}");
    let sent = tokio::process::Command::new("/bin/sh").args(["-c", &kill]).status().await?;
    ensure!(sent.success(), "{kill}: {sent}");
    Ok(())
}

/// Whether a process that is not a child of ours goes on.
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses. Z: it ended and nobody has asked how.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until a process that is not a child of ours has ended.
///
/// # Errors
/// It goes on for longer than `limit`.
pub async fn gone(pid: u32, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    while is_running(pid) {
        ensure!(Instant::now() < deadline, "process {pid} still runs after {limit:?}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn leashed(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", LEASH, "sh"]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[tokio::test]
    async fn a_failed_start_shows_the_log() {
        let error = Process::start(Path::new("/bin/sh"), free_port().unwrap(), |sh, _| {
            sh.args(["-c", "echo no such listener >&2; exit 3"]);
        })
        .await
        .unwrap_err();

        let message = format!("{error:#}");
        assert!(message.contains("no such listener"), "{message}");
        assert!(message.contains("exit status: 3"), "{message}");
    }

    #[test]
    fn a_server_ends_with_the_process_that_started_it() {
        let mut server =
            leashed(Path::new("/bin/sleep")).arg("60").stdin(Stdio::piped()).spawn().unwrap();

        // What the kernel does when the tests are killed.
        drop(server.stdin.take());

        assert_eq!(server.wait().unwrap().signal(), Some(9));
    }
}
