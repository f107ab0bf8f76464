//! Servers as child processes: ready before a test continues, ended with the tests, and on loopback
//! only.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::process::is_closed;

/// Generous limit, for machines that compile at the same time.
const START_LIMIT: Duration = Duration::from_secs(60);

const LOG: &str = "log";
const LOG_TAIL: usize = 30;

/// Kills the server once the other end of its standard input closes, which the kernel ensures even
/// if the tests are killed. `exec` keeps the process id, so the server stays our child.
///
/// `PR_SET_PDEATHSIG` does not work: the kernel clears it when a server switches from root to
/// another user, as mosquitto does, and sends the signal when the forking thread ends, rather than
/// its process.
const TETHER: &str = r#"exec 3<&0 </dev/null; { read -r _ <&3; kill -KILL $$; } & exec "$@" 3<&-"#;

/// A running server. Dropping it kills and reaps the server.
///
/// The child is a `std` one, not tokio's: a shared server outlives the runtime of the test that
/// started it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    scratch: TempDir,
}

impl Process {
    /// Starts `program` and waits until it answers on 127.0.0.1:`port`.
    ///
    /// `set_up` adds arguments and environment. Its folder is the server's own: empty at first, and
    /// removed with the server.
    ///
    /// # Errors
    /// If the server ends, does not answer in time, or answers on more than 127.0.0.1; the message
    /// contains the end of its log.
    pub async fn start(
        program: &Path,
        port: u16,
        set_up: impl FnOnce(&mut Command, &Path),
    ) -> anyhow::Result<Self> {
        let scratch = TempDir::new()?;
        let log = File::create(scratch.path().join(LOG))?;
        let mut command = tethered(program);
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

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the server's standard output and error so far.
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
            // Checked second: mosquitto listens before it reads its key.
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            if answers {
                break;
            }
            ensure!(Instant::now() < deadline, "nothing on port {port} after {START_LIMIT:?}");
            sleep(Duration::from_millis(10)).await;
        }
        // All of 127.0.0.0/8 is this machine: a server that answers here too listens on every
        // interface.
        let elsewhere = (Ipv4Addr::new(127, 0, 0, 2), port);
        ensure!(is_closed(elsewhere).await?, "it listens on every interface");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without a SIGTERM first: a server's files are all in `scratch`. An error means that the
        // server is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tethered(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", TETHER, "sh"]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;
    use crate::process::port::free_port;

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
            tethered(Path::new("/bin/sleep")).arg("60").stdin(Stdio::piped()).spawn().unwrap();

        // The kernel does this when the tests are killed.
        drop(server.stdin.take());

        assert_eq!(server.wait().unwrap().signal(), Some(9));
    }
}
