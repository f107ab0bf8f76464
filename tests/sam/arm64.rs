//! The files that are deployed, under an emulator of their processor.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use birthcert_tests::api::{Enrolled, Released};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::lambda::function;
use birthcert_tests::lambda::runtime_api::RuntimeApi;
use birthcert_tests::process::tool;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::repository::repository;

/// Far more than a response takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn identity() -> anyhow::Result<()> {
    let emulators = Emulators::default();
    let env = Env::start(&emulators, Backend::Local).await?;

    let token = env.token.expose();
    let device: Enrolled = invoke(&env, "Enroll", ("ENROLLMENT_TOKEN", &token)).await?;
    let replaced = ("DEVICE_TOKEN", device.device_token.as_str());
    let identity: Released = invoke(&env, "Identity", replaced).await?;

    ensure!(identity.device_id == device.device_id);
    let leaf = &identity.device_certificate_pem;
    let chain = &identity.certificate_chain_pem;
    let subordinate = chain.strip_prefix(leaf.as_str()).context("the leaf comes first")?;
    let verdict = openssl::verify(leaf, subordinate, &env.root_pem, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    let entries = env.store.device_certificates(device.device_id).await?;
    ensure!(entries.len() == 1 && entries[0].serial_number == identity.serial_number);
    env.verify_signatures(&[device]).await
}

/// No run on this machine shows this: the C library of `provided.al2023` is 2.34, older than that
/// of most build machines.
pub(crate) async fn c_library() -> anyhow::Result<()> {
    for name in ["Enroll", "Identity"] {
        let program = std::fs::read(bootstrap(name)?)?;
        let text = String::from_utf8_lossy(&program);
        let minor = |rest: &str| {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..digits).and_then(|digits| digits.parse::<u32>().ok())
        };
        let newest = text.split("GLIBC_2.").skip(1).filter_map(minor).max();
        let newest = newest.context("it needs no C library")?;
        ensure!(newest <= 34, "{name}Function needs a C library of version 2.{newest}");
    }
    Ok(())
}

/// Returns the executable that `sam build` made of a function, for the default architecture.
fn bootstrap(name: &str) -> anyhow::Result<PathBuf> {
    let path = repository(&format!(".aws-sam/build/{name}Function/bootstrap"));
    ensure!(
        path.is_file(),
        "{} is not built; build it with: infra/deploy/sam build",
        path.display()
    );
    Ok(path)
}

/// Returns the body of a function's response to the event of the same name.
async fn invoke<T: DeserializeOwned>(
    env: &Env,
    name: &str,
    (placeholder, token): (&str, &str),
) -> anyhow::Result<T> {
    let event = format!("events/{}.json", name.to_lowercase());
    let event = std::fs::read_to_string(repository(&event))?;
    let mut command = Command::new(tool::find("qemu-aarch64-static")?);
    command.args(["-L", "/usr/aarch64-linux-gnu"]).arg(bootstrap(name)?);
    let api = RuntimeApi::bind().await?;
    let mut child = function::start_by(command, env, api.address()?)?;
    let answered = async {
        let mut runtime = tokio::select! {
            runtime = api.accept() => runtime?,
            ended = child.wait() => anyhow::bail!("it ended: {}", ended?),
        };
        runtime.invoke(&event.replace(placeholder, token)).await
    };
    let answer = timeout(LIMIT, answered).await.context("it does not answer")??;
    let answer: Value = serde_json::from_str(&answer)?;
    ensure!(answer["statusCode"] == 200, "{name}: {answer}");
    Ok(serde_json::from_str(answer["body"].as_str().context("a body")?)?)
}
