//! Devices on the stack: their identities, the log, and the signatures.

use anyhow::{Context as _, bail, ensure};
use birthcert_tests::api::{ApiResponse, Enrolled, Released};
use birthcert_tests::stack::Stack;
use birthcert_tests::verifiers::openssl;
use pki::authority::CaCertificate;
use pki::csr::UnsignedCsr;
use pki::hex;
use serde_json::Value;
use tempfile::TempDir;

use super::setup::in_shell;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_device_gets_its_identity,
        it_logs_events_and_no_secrets,
        every_signature_is_on_the_ledger_or_a_request,
    ]
}

async fn a_device_gets_its_identity() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(scratch.path()).await?;
    let (device, identity) = stack.new_device().await?;
    ensure!(device.project_id == stack.state.project_id);
    let text = openssl::text(&identity.device_certificate_pem).await?;
    ensure!(text.contains(&format!("Subject: CN = {}", device.device_id)), "{text}");
    let entries = stack.own_store()?.device_certificates(device.device_id).await?;
    ensure!(entries.len() == 1 && entries[0].serial_number == identity.serial_number);
    stack.stop().await
}

async fn it_logs_events_and_no_secrets() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(scratch.path()).await?;
    let good = stack.state.enrollment_token.clone();
    let admitted = stack.api.enroll(&good).await?;
    let device: Enrolled = admitted.success()?;
    let issued = stack.api.identity(&device.device_token).await?;
    issued.success::<Released>()?;

    // A valid token in the wrong place is still a secret.
    let mistyped =
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { 1 } else { 0 });
    let refused = [
        stack.api.enroll(&mistyped).await?,
        stack.api.enroll(&device.device_token).await?,
        stack.api.identity(&good).await?,
        stack.api.identity(&format!("{0}, {0}", device.device_token)).await?,
        stack.api.identity("").await?,
    ];
    for answer in &refused {
        ensure!(answer.status == 401, "{}", answer.text);
    }

    let output = format!("{}{}", stack.stdout(), stack.stderr());
    for token in [&good, &device.device_token, &mistyped] {
        // The secret alone is as sensitive as the whole token.
        let secret = token.get(47..90).context("a secret")?;
        ensure!(!output.contains(secret), "a token was logged");
    }
    ensure!(!output.contains("PRIVATE KEY"), "a private key was logged");

    let events: Vec<Value> =
        stack.stdout().lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let event = |answer: &ApiResponse| {
        let id = answer.header("x-request-id");
        let of_request: Vec<_> = events.iter().filter(|it| it["request_id"] == id).collect();
        match of_request[..] {
            [event] => Ok(event.clone()),
            _ => bail!("{id} is in the log {} times", of_request.len()),
        }
    };
    let event_of_admission = event(&admitted)?;
    ensure!(event_of_admission["event"] == "enrolled", "{event_of_admission}");
    ensure!(event_of_admission["device_id"] == device.device_id.to_string());
    let event_of_issuance = event(&issued)?;
    ensure!(event_of_issuance["event"] == "issued", "{event_of_issuance}");
    ensure!(event_of_issuance["serial_number"] == issued.json["serial_number"]);
    for answer in &refused {
        let event = event(answer)?;
        let slug = answer.json["type"].as_str().and_then(|it| it.split_once('#')).context("#")?.1;
        ensure!(event["event"] == "refused" && event["problem"] == slug, "{event}");
    }
    stack.stop().await
}

async fn every_signature_is_on_the_ledger_or_a_request() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("stack");
    let stack = Stack::start(&data).await?;
    let (device, _) = stack.new_device().await?;
    stack.api.released(&device).await?;
    stack.new_device().await?;
    let broker = scratch.path().join("broker");
    let issue = format!("birthcert broker issue --ip 127.0.0.1 --directory {}", broker.display());
    in_shell(&stack, &issue).await?;
    // Nothing is signed for these requests.
    stack.api.identity(&stack.state.enrollment_token).await?.problem(
        401,
        "invalid-device-token",
        &[],
    )?;
    stack.api.enrolled(&stack.token()).await?;

    let mut expected = stack.ledger_digests().await?;
    ensure!(expected.len() == 4, "two, one and one: {expected:?}");
    for name in ["device", "server"] {
        let certificate = stack.authority(name).await?.certificate_pem;
        let certificate = CaCertificate::from_pem(&certificate).map_err(anyhow::Error::msg)?;
        let key = certificate.key().spki()?;
        let request = UnsignedCsr::new(certificate.subject().clone(), key)?;
        expected.push(hex(request.digest()));
    }
    let mut signed = stack.signed_except_crls().await?;
    expected.sort();
    signed.sort();
    ensure!(signed == expected, "signed {signed:?}, accounted for {expected:?}");
    stack.stop().await
}
