//! What is written for AWS IoT Core, against ministack's.

use anyhow::ensure;
use birthcert_tests::ministack::Ministack;
use birthcert_tests::openssl;
use birthcert_tests::tool;
use serde_json::Value;
use tokio::process::Command;

use super::Fleet;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![the_device_ca_is_registered]
}

const ROLE: &str = "arn:aws:iam::000000000000:role/provisioning";

/// A command on ministack, in the folder `conf`.
async fn on_ministack(fleet: &Fleet, ministack: &Ministack, line: &str) -> anyhow::Result<String> {
    let tools = tool::folder()?.join("venv/bin");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH")?);
    let ran = Command::new("sh")
        .args(["-c", line])
        .current_dir(fleet.operator.path("conf"))
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

async fn the_device_ca_is_registered() -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let ministack = Ministack::start().await?;

    let ran = fleet.operator.run("broker config aws-iot --output-directory conf").await?;
    // The stack's device CA lives for sixty years.
    ensure!(ran.stderr().contains("2049-12-31T23:59:59Z"), "{}", ran.stderr());
    on_ministack(&fleet, &ministack, &format!("./register {ROLE}")).await?;
    let listed = on_ministack(&fleet, &ministack, "aws iot list-ca-certificates").await?;
    let listed: Value = serde_json::from_str(&listed)?;
    let id = listed["certificates"][0]["certificateId"].as_str().unwrap_or_default().to_owned();
    let describe = format!("aws iot describe-ca-certificate --certificate-id {id}");
    let described = on_ministack(&fleet, &ministack, &describe).await?;
    let described: Value = serde_json::from_str(&described)?;
    let ca = &described["certificateDescription"];
    ensure!(ca["status"] == "ACTIVE" && ca["certificateMode"] == "SNI_ONLY", "{described}");
    ensure!(ca["autoRegistrationStatus"] == "ENABLE", "{described}");
    let device_ca = fleet.operator.read("conf/device-ca.pem")?;
    ensure!(ca["certificatePem"].as_str().map(str::trim) == Some(device_ca.trim()), "{described}");

    // DEFAULT mode: a proof, signed by the device CA, that holds the account's code.
    let code = on_ministack(&fleet, &ministack, "aws iot get-registration-code --output text");
    let code = code.await?.trim().to_owned();
    let code = if code.len() == 64 { code } else { "0123456789abcdef".repeat(4) };
    let prove =
        format!("broker config aws-iot --output-directory proof --registration-code {code}");
    fleet.operator.run(&prove).await?;
    let proof = fleet.operator.read("proof/verification.pem")?;
    let text = openssl::text(&proof).await?;
    ensure!(text.contains(&format!("Subject: CN = {code}")), "{text}");
    let script = fleet.operator.read("proof/register")?;
    ensure!(script.contains("--verification-certificate file://verification.pem"), "{script}");
    let wrong = "broker config aws-iot --output-directory other --registration-code dev_x";
    fleet.operator.refused(wrong, 2, &["64 hex digits"]).await?;
    fleet.stack.stop().await
}
