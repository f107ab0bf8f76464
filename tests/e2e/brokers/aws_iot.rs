//! The commands written for AWS IoT Core, run against ministack's.

use anyhow::ensure;
use birthcert_tests::aws::ministack::Ministack;
use birthcert_tests::process::tool;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use birthcert_tests::verifiers::pkilint;
use serde_json::Value;
use tokio::process::Command;

use super::setup::BrokerSetup;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![the_device_ca_is_registered]
}

const ROLE: &str = "arn:aws:iam::000000000000:role/provisioning";

/// Runs a command against ministack, in the operator's home.
async fn on_ministack(
    setup: &BrokerSetup,
    ministack: &Ministack,
    line: &str,
) -> anyhow::Result<String> {
    let tools = tool::folder()?.join("venv/bin");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH")?);
    let ran = Command::new("sh")
        .args(["-c", line])
        .current_dir(setup.operator.path("."))
        .env_clear()
        .env("PATH", path)
        .env("HOME", setup.operator.path("."))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_DEFAULT_REGION", "eu-central-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "")
        .env("AWS_ENDPOINT_URL", ministack.endpoint())
        .output()
        .await?;
    let output = String::from_utf8_lossy(&ran.stdout).into_owned();
    ensure!(ran.status.success(), "{line}: {output}{}", String::from_utf8_lossy(&ran.stderr));
    Ok(output)
}

/// Returns the only CA that is registered.
async fn registered(setup: &BrokerSetup, ministack: &Ministack) -> anyhow::Result<Value> {
    let list = "aws iot list-ca-certificates --query certificates[].certificateId --output text";
    let id = on_ministack(setup, ministack, list).await?;
    let describe = format!("aws iot describe-ca-certificate --certificate-id {}", id.trim());
    let described = on_ministack(setup, ministack, &describe).await?;
    Ok(serde_json::from_str::<Value>(&described)?["certificateDescription"].take())
}

async fn the_device_ca_is_registered() -> anyhow::Result<()> {
    let setup = BrokerSetup::start().await?;
    let ministack = Ministack::start().await?;

    let ran = setup.operator.run("broker config aws-iot --output-directory conf").await?;
    // The stack's device CA is valid for sixty years.
    ensure!(ran.stderr().contains("2049-12-31T23:59:59Z"), "{}", ran.stderr());
    on_ministack(&setup, &ministack, &format!("cd conf && ./register {ROLE}")).await?;
    let ca = registered(&setup, &ministack).await?;
    ensure!(ca["status"] == "ACTIVE" && ca["certificateMode"] == "SNI_ONLY", "{ca}");
    ensure!(ca["autoRegistrationStatus"] == "ENABLE", "{ca}");
    let device_ca = setup.operator.read("conf/device-ca.pem")?;
    ensure!(ca["certificatePem"].as_str().map(str::trim) == Some(device_ca.trim()), "{ca}");

    // DEFAULT mode: a verification certificate that the device CA signed, with the account's
    // registration code.
    let ministack = Ministack::start().await?;
    let ask = "aws iot get-registration-code --query registrationCode --output text";
    let code = on_ministack(&setup, &ministack, ask).await?.trim().to_owned();
    let prove =
        format!("broker config aws-iot --output-directory proof --registration-code {code}");
    setup.operator.run(&prove).await?;
    let proof = setup.operator.read("proof/verification.pem")?;
    let text = openssl::text(&proof).await?;
    ensure!(text.contains(&format!("Subject: CN = {code}")), "{text}");
    pkilint::lint(&proof).await?;
    let root = std::fs::read_to_string(&setup.stack.state.root_certificate)?;
    let verdict = openssl::verify(&proof, &device_ca, &root, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    let expires = "openssl x509 -in proof/verification.pem -noout -checkend 86500 || true";
    let expires = on_ministack(&setup, &ministack, expires).await?;
    ensure!(expires.contains("Certificate will expire"), "valid for more than a day: {expires}");
    on_ministack(&setup, &ministack, &format!("cd proof && ./register {ROLE}")).await?;
    let ca = registered(&setup, &ministack).await?;
    ensure!(ca["status"] == "ACTIVE" && ca["certificateMode"] != "SNI_ONLY", "{ca}");
    let wrong = "broker config aws-iot --output-directory other --registration-code dev_x";
    setup.operator.refused(wrong, 2, &["64 hex digits"]).await?;
    setup.stack.stop().await
}
