//! What is written for AWS IoT Core, against ministack's.

use anyhow::ensure;
use birthcert_tests::ministack::Ministack;
use birthcert_tests::openssl::{self, Purpose, Verdict};
use birthcert_tests::pkilint;
use birthcert_tests::tool;
use serde_json::Value;
use tokio::process::Command;

use super::Fleet;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![the_device_ca_is_registered]
}

const ROLE: &str = "arn:aws:iam::000000000000:role/provisioning";

/// A command on ministack, at the operator's home.
async fn on_ministack(fleet: &Fleet, ministack: &Ministack, line: &str) -> anyhow::Result<String> {
    let tools = tool::folder()?.join("venv/bin");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH")?);
    let ran = Command::new("sh")
        .args(["-c", line])
        .current_dir(fleet.operator.path("."))
        .env_clear()
        .env("PATH", path)
        .env("HOME", fleet.operator.path("."))
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

/// The one CA that is registered.
async fn registered(fleet: &Fleet, ministack: &Ministack) -> anyhow::Result<Value> {
    let list = "aws iot list-ca-certificates --query certificates[].certificateId --output text";
    let id = on_ministack(fleet, ministack, list).await?;
    let describe = format!("aws iot describe-ca-certificate --certificate-id {}", id.trim());
    let described = on_ministack(fleet, ministack, &describe).await?;
    Ok(serde_json::from_str::<Value>(&described)?["certificateDescription"].take())
}

async fn the_device_ca_is_registered() -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let ministack = Ministack::start().await?;

    let ran = fleet.operator.run("broker config aws-iot --output-directory conf").await?;
    // The stack's device CA lives for sixty years.
    ensure!(ran.stderr().contains("2049-12-31T23:59:59Z"), "{}", ran.stderr());
    on_ministack(&fleet, &ministack, &format!("cd conf && ./register {ROLE}")).await?;
    let ca = registered(&fleet, &ministack).await?;
    ensure!(ca["status"] == "ACTIVE" && ca["certificateMode"] == "SNI_ONLY", "{ca}");
    ensure!(ca["autoRegistrationStatus"] == "ENABLE", "{ca}");
    let device_ca = fleet.operator.read("conf/device-ca.pem")?;
    ensure!(ca["certificatePem"].as_str().map(str::trim) == Some(device_ca.trim()), "{ca}");

    // DEFAULT mode: a proof, signed by the device CA, that holds the account's code.
    let ministack = Ministack::start().await?;
    let ask = "aws iot get-registration-code --query registrationCode --output text";
    let code = on_ministack(&fleet, &ministack, ask).await?.trim().to_owned();
    let prove =
        format!("broker config aws-iot --output-directory proof --registration-code {code}");
    fleet.operator.run(&prove).await?;
    let proof = fleet.operator.read("proof/verification.pem")?;
    let text = openssl::text(&proof).await?;
    ensure!(text.contains(&format!("Subject: CN = {code}")), "{text}");
    pkilint::lint(&proof).await?;
    let root = std::fs::read_to_string(&fleet.stack.state.root_certificate)?;
    let verdict = openssl::verify(&proof, &device_ca, &root, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    let tomorrow =
        on_ministack(&fleet, &ministack, "openssl x509 -in proof/verification.pem -checkend 86500");
    ensure!(tomorrow.await.is_err(), "valid for more than a day");
    on_ministack(&fleet, &ministack, &format!("cd proof && ./register {ROLE}")).await?;
    let ca = registered(&fleet, &ministack).await?;
    ensure!(ca["status"] == "ACTIVE" && ca["certificateMode"] != "SNI_ONLY", "{ca}");
    let wrong = "broker config aws-iot --output-directory other --registration-code dev_x";
    fleet.operator.refused(wrong, 2, &["64 hex digits"]).await?;
    fleet.stack.stop().await
}
