//! The devices in `examples/`, each started as usual in its language, against a real mosquitto.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use birthcert_tests::brokers::mosquitto::Mosquitto;
use birthcert_tests::busy_api::BusyApi;
use birthcert_tests::mqtt::mosquitto_clients::{MosquittoClient, Outcome};
use birthcert_tests::operator::Operator;
use birthcert_tests::process::{binary, tool};
use birthcert_tests::stack::Stack;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![curl, python, rust, c]
}

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
const LIMIT: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(5);

async fn curl() -> anyhow::Result<()> {
    device(Command::new(Path::new(EXAMPLES).join("curl/device.sh")), "curl", Key::Own).await
}

async fn python() -> anyhow::Result<()> {
    let python = tool::folder()?.join("examples/venv/bin/python");
    ensure!(python.is_file(), "paho-mqtt is not here; install it with: tests/tools/install");
    let mut command = Command::new(python);
    command.arg(Path::new(EXAMPLES).join("python/device.py"));
    device(command, "Python", Key::Own).await
}

async fn rust() -> anyhow::Result<()> {
    device(Command::new(binary("device-example")?), "Rust", Key::Given).await
}

async fn c() -> anyhow::Result<()> {
    // Built outside of the tree, by its own rules.
    let scratch = TempDir::new()?;
    let make = ["-C", scratch.path().to_str().context("UTF-8")?, "-f"];
    let sources = Path::new(EXAMPLES).join("c");
    let rules = [sources.join("Makefile").display().to_string()];
    let search = [format!("VPATH={}", sources.display())];
    let args = make.map(String::from).into_iter().chain(rules).chain(search);
    let made = tool::run("make", args).await?;
    ensure!(made.status.success(), "{}", made.output);
    device(Command::new(scratch.path().join("device")), "C", Key::Given).await
}

/// Sources of a device's key.
#[derive(Clone, Copy, PartialEq)]
enum Key {
    Given,
    Own,
}

/// Starts an example several times: with a wrong token, as a new device while the API is busy, and as the
/// same device after a power loss.
async fn device(mut command: Command, language: &str, key: Key) -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(&scratch.path().join("stack")).await?;
    let operator = Operator::of(&stack)?;
    operator.done("broker issue --dns localhost --ip 127.0.0.1 --directory broker").await?;
    let folder = operator.path("broker");
    let broker = Mosquitto::start(&folder).await?;

    let identity = scratch.path().join("device/identity");
    fs::create_dir(scratch.path().join("device"))?;
    command
        .current_dir(scratch.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").context("PATH")?)
        .env("BIRTHCERT_API_URL", &stack.state.api_url)
        .env("BIRTHCERT_ENROLLMENT_TOKEN", "wrong")
        .env("IDENTITY_DIRECTORY", &identity)
        .env("MQTT_HOST", "localhost")
        .env("MQTT_PORT", broker.port().to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let file = |name: &str| identity.join(name);
    let refused = run(&mut command).await.unwrap_err().to_string();
    ensure!(refused.contains("The enrollment token is not valid"), "{refused}");
    ensure!(!file("device.json").exists(), "a refused device stored an identity");

    let busy = BusyApi::start(&stack.state.api_url).await?;
    command
        .env("BIRTHCERT_API_URL", busy.url())
        .env("BIRTHCERT_ENROLLMENT_TOKEN", &stack.state.enrollment_token);
    let said = run(&mut command).await?;

    let enrolled: Value = serde_json::from_str(&fs::read_to_string(file("device.json"))?)?;
    let id = enrolled["device_id"].as_str().context("an id")?;
    ensure!(said.trim() == format!("{id}: published"), "{said}");
    let label = |it: &Value| it["label"].as_str().map(str::to_owned);
    let devices = operator.json("device list").await?;
    let devices = devices.as_array().context("a list")?;
    ensure!(devices.len() == 1 && devices[0]["device_id"] == id, "{devices:?}");
    ensure!(label(&devices[0]) == Some(format!("{language} example")), "{devices:?}");
    for name in ["device.json", "key.pem"] {
        let mode = fs::metadata(file(name))?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{name}: {mode:o}");
    }

    // Only the device itself may read its topics, and no session of its own may be left.
    let reader = MosquittoClient {
        port: broker.port(),
        cafile: file("root.pem"),
        identity: Some((file("chain.pem"), file("key.pem"))),
    };
    let topic = format!("devices/{id}/status");
    let read = reader.subscribe_one(&topic, WAIT).await?;
    let expected = format!("hello from {language}");
    ensure!(matches!(&read, Outcome::Received(text) if *text == expected), "{read:?}");

    // The second start needs no token, and the identity stays the same.
    let before = contents(&identity)?;
    command.env_remove("BIRTHCERT_ENROLLMENT_TOKEN").env("BIRTHCERT_API_URL", "http://127.0.0.1:1");
    ensure!(run(&mut command).await? == said);
    ensure!(contents(&identity)? == before, "the second start changed its files");

    // A device that lost its identity but not its token gets a new one and keeps its id.
    command.env("BIRTHCERT_API_URL", &stack.state.api_url);
    fs::remove_file(file("root.pem"))?;
    ensure!(run(&mut command).await? == said);
    let after = contents(&identity)?;
    ensure!(after["device.json"] == before["device.json"]);
    ensure!(after["chain.pem"] != before["chain.pem"]);
    ensure!((after["key.pem"] == before["key.pem"]) == (key == Key::Own));
    Ok(())
}

/// Returns the output of an example that succeeds.
async fn run(command: &mut Command) -> anyhow::Result<String> {
    let ended = timeout(LIMIT, command.output()).await.context("it did not end")??;
    let complaints = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{}: {complaints}", ended.status);
    Ok(String::from_utf8(ended.stdout)?)
}

/// Returns the files in a folder.
fn contents(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let files = folder.read_dir()?.map(|file| {
        let file = file?;
        Ok((file.file_name().to_string_lossy().into_owned(), fs::read(file.path())?))
    });
    files.collect()
}
