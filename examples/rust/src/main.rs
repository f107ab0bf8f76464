//! An example device that uses ureq and rumqttc.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use std::{env, io};

use anyhow::{Context as _, bail};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The fields of the `POST /enroll` response that the device needs.
#[derive(Deserialize, Serialize)]
struct Enrolled {
    device_id: String,
    device_token: String,
}

/// The fields of the `GET /identity` response that the device needs.
#[derive(Deserialize)]
struct Identity {
    device_private_key_pem: String,
    certificate_chain_pem: String,
    ca_certificate_pem: String,
}

fn main() -> anyhow::Result<()> {
    // rustls needs one cryptography provider per process.
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.ok().context("a cryptography provider is already installed")?;
    let directory = PathBuf::from(variable("IDENTITY_DIRECTORY", "identity"));
    fs::create_dir_all(&directory)?;
    let device = enrolled(&directory)?;
    ensure_identity(&directory, &device)?;
    publish(&directory, &device)?;
    println!("{}: published", device.device_id);
    Ok(())
}

fn enrolled(directory: &Path) -> anyhow::Result<Enrolled> {
    let file = directory.join("device.json");
    if !file.exists() {
        let token = env::var("BIRTHCERT_ENROLLMENT_TOKEN").context("BIRTHCERT_ENROLLMENT_TOKEN")?;
        let enrolled: Enrolled = send(|api| {
            ureq::post(format!("{api}/enroll"))
                .header("Thistle-Device-Enrollment-Token", &token)
                .config()
                .http_status_as_error(false)
                .build()
                .send_form([("label", "Rust example")])
        })?;
        store(&file, &serde_json::to_string(&enrolled)?)?;
    }
    Ok(serde_json::from_reader(File::open(file)?)?)
}

fn ensure_identity(directory: &Path, device: &Enrolled) -> anyhow::Result<()> {
    // root.pem is written last: without it, request the identity (again) with the stored token.
    if directory.join("root.pem").exists() {
        return Ok(());
    }
    let identity: Identity = send(|api| {
        ureq::get(format!("{api}/identity"))
            .header("Authorization", format!("Bearer {}", device.device_token))
            .config()
            .http_status_as_error(false)
            .build()
            .call()
    })?;
    store(&directory.join("key.pem"), &identity.device_private_key_pem)?;
    store(&directory.join("chain.pem"), &identity.certificate_chain_pem)?;
    Ok(store(&directory.join("root.pem"), &identity.ca_certificate_pem)?)
}

/// Sends a request and returns the response. Retries while the API is unavailable.
fn send<T: DeserializeOwned>(
    request: impl Fn(&str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> anyhow::Result<T> {
    let api = env::var("BIRTHCERT_API_URL").context("BIRTHCERT_API_URL")?;
    for attempt in 1..=5 {
        let mut response = request(&api)?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response.body_mut().read_json()?);
        }
        let wait =
            response.headers().get("retry-after").and_then(|it| it.to_str().ok()?.parse().ok());
        if status != 503 || attempt == 5 {
            bail!("{status}: {}", response.body_mut().read_to_string()?);
        }
        sleep(Duration::from_secs(wait.unwrap_or(1 << attempt)));
    }
    unreachable!("the last attempt returns")
}

fn publish(directory: &Path, device: &Enrolled) -> anyhow::Result<()> {
    let port = variable("MQTT_PORT", "8883").parse().context("MQTT_PORT")?;
    let mut options = MqttOptions::new(&device.device_id, variable("MQTT_HOST", "localhost"), port);
    options.set_transport(Transport::Tls(TlsConfiguration::Simple {
        ca: fs::read(directory.join("root.pem"))?,
        alpn: None,
        client_auth: Some((
            fs::read(directory.join("chain.pem"))?,
            fs::read(directory.join("key.pem"))?,
        )),
    }));
    let (client, mut connection) = Client::new(options, 10);
    let topic = format!("devices/{}/status", device.device_id);
    client.publish(topic, QoS::AtLeastOnce, true, "hello from Rust")?;
    for event in connection.iter() {
        if let Event::Incoming(Packet::PubAck(_)) = event? {
            client.disconnect()?;
            return Ok(());
        }
    }
    bail!("the broker did not acknowledge the message")
}

/// Writes a file for the device only, atomically because the power can fail at any time.
fn store(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.into())
}
