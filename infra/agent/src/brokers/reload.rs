//! Makes a broker reload its files, by a signal or a command.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::{process::Command, time::timeout};

/// Far more than a reload takes.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Reload {
    /// File with the process id of the broker, which gets SIGHUP.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Command to run with sh to reload the broker, such as "systemctl reload mosquitto". Repeated
    /// until it succeeds.
    #[arg(long, value_name = "COMMAND")]
    reload_command: Option<String>,
}

impl Reload {
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        match (&self.pid_file, &self.reload_command) {
            (Some(file), _) => send_hangup(file),
            (_, Some(command)) => run(command, []).await,
            (None, None) => Ok(()),
        }
    }
}

/// Sends SIGHUP to the process whose id is in a file.
fn send_hangup(file: &PathBuf) -> anyhow::Result<()> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let pid = parse_pid(&text)
        .with_context(|| format!("{name} does not contain a broker's process id"))?;
    let status = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = fs::read_to_string(status).with_context(|| format!("{name}: no such process"))?;
    // SIGHUP kills a process without a handler: a starting broker, or a process that reuses its id.
    ensure!(catches_hangup(&status), "the process in {name} does not handle SIGHUP yet");
    kill_process(pid, Signal::HUP).with_context(|| format!("cannot signal the process in {name}"))
}

/// Parses a process id. 1 is valid, as a broker's in a container; 0 and negative numbers are
/// groups.
fn parse_pid(text: &str) -> Option<Pid> {
    let pid = text.trim().parse::<i32>().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)?;
    (pid != getpid()).then_some(pid)
}

/// Returns true if the mask in /proc/<pid>/status includes SIGHUP, which is signal 1, the lowest
/// bit.
fn catches_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// Runs a command with sh. Its failure is an error that includes its output.
pub(super) async fn run<const N: usize>(
    command: &str,
    variables: [(&str, PathBuf); N],
) -> anyhow::Result<()> {
    let mut sh = Command::new("sh");
    sh.args(["-c", command]).envs(variables).stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(LIMIT, sh.output()).await;
    let ended = ended.with_context(|| format!("{command:?} did not finish within {LIMIT:?}"))?;
    let ended = ended.with_context(|| format!("cannot run sh for {command:?}"))?;
    let output = [ended.stdout, ended.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    ensure!(ended.status.success(), "{command:?} failed ({}): {}", ended.status, output.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn reads_whether_a_process_catches_hangups() {
        assert!(catches_hangup("Name:\tmosquitto\nSigCgt:\t0000000000014a03\n"));
        assert!(!catches_hangup("SigCgt:\t0000000000014a02\n"));
        assert!(!catches_hangup("SigIgn:\t0000000000000001\n"));
    }

    #[test]
    fn signals_only_a_process_that_handles_it() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("pid");
        let outcome = |text: &str| {
            fs::write(&file, text).unwrap();
            send_hangup(&file).unwrap_err().to_string()
        };
        for text in ["", "0", "-1", "x", "99999999999", &std::process::id().to_string()] {
            assert!(outcome(text).contains("a broker's process id"), "{text}");
        }
        assert_eq!(parse_pid("1\n"), Pid::from_raw(1), "as in a container");
        assert!(outcome("2147483647").contains("no such process"));
        let mut sleep = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let refused = outcome(&format!("{}\n", sleep.id()));
        assert!(refused.contains("does not handle SIGHUP"), "{refused}");
        assert!(sleep.try_wait().unwrap().is_none(), "the process was signalled");
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }

    #[tokio::test]
    async fn a_failed_command_reports_its_output() {
        let error = run("echo no such unit >&2; exit 5", []).await.unwrap_err().to_string();
        assert!(error.contains("no such unit") && error.contains('5'), "{error}");
        run("test -d \"$WHERE\"", [("WHERE", "/".into())]).await.unwrap();
    }
}
