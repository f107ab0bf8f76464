//! The API's contract: the documents that a device gets, and the resulting ledger entries.

use anyhow::{Context as _, ensure};
use birthcert_tests::api::{ENROLLMENT_TOKEN, Enrolled};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::{Env, Setup};
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use birthcert_tests::verifiers::pkilint;
use der::{DecodePem as _, Encode as _};
use http::Method;
use ledger::store::Policy;
use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use pki::crl::RevocationReason;
use x509_cert::Certificate;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_device_enrolls_and_is_identified,
        certificates_pass_verifiers_and_linters,
        a_label_comes_in_every_kind_of_form,
        a_second_identity_supersedes_the_first,
        the_issuance_limit_holds,
        header_names_in_any_case,
    ]
}

async fn a_device_enrolls_and_is_identified(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    ensure!(device.project_id == env.project.to_string());
    ensure!(device.device_token.starts_with("dt_"));
    let now = pki::clock::Timestamp::now().unix();
    ensure!(device.timestamp.abs_diff(now) < 60);

    let identity = env.api.released(&device).await?;
    ensure!(identity.device_id == device.device_id);
    let leaf = Certificate::from_pem(&identity.device_certificate_pem)?;
    let tbs = leaf.tbs_certificate();
    ensure!(tbs.subject().to_string() == format!("CN={}", device.device_id));

    // The private key belongs to the certificate.
    let key = SecretKey::from_pkcs8_pem(&identity.device_private_key_pem)?;
    let public = key.public_key().to_public_key_der()?;
    ensure!(tbs.subject_public_key_info().to_der()? == public.as_bytes());
    ensure!(identity.device_private_key_pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));

    // Leaf, then subordinate, without the root.
    let chain = Certificate::load_pem_chain(identity.certificate_chain_pem.as_bytes())?;
    ensure!(chain.len() == 2 && chain[0] == leaf);
    let root = Certificate::from_pem(&identity.ca_certificate_pem)?;
    ensure!(root == Certificate::from_pem(&env.root_pem)?);
    ensure!(chain[1].tbs_certificate().issuer() == root.tbs_certificate().subject());

    // The body's serial number and dates are the certificate's.
    let serial = pki::hex(tbs.serial_number().as_bytes());
    ensure!(identity.serial_number == serial && serial.len() == 32);
    ensure!(identity.not_before == tbs.validity().not_before.to_string());
    ensure!(identity.not_after == tbs.validity().not_after.to_string());
    let days = |end: x509_cert::time::Time| (end.to_unix_duration().as_secs() - now) / 86_400;
    ensure!((10_956..=10_957).contains(&days(tbs.validity().not_after)), "thirty years");

    let entries = env.store.device_certificates(device.device_id).await?;
    ensure!(entries.len() == 1 && entries[0].serial_number == serial);
    ensure!(entries[0].ca == "device" && entries[0].superseded_at.is_none());
    ensure!(entries[0].withdrawn_at.is_none());
    let devices = env.store.devices(env.project, None).await?;
    ensure!(devices.len() == 1 && devices[0].device_id == device.device_id);
    ensure!(devices[0].token_id == env.token.subject());
    ensure!(env.store.tokens(env.project).await?[0].uses == 1);
    env.verify_ledger(&[device]).await
}

async fn certificates_pass_verifiers_and_linters(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let identity = env.api.released(&device).await?;
    let leaf = &identity.device_certificate_pem;
    let chain = &identity.certificate_chain_pem;
    let subordinate = chain.strip_prefix(leaf.as_str()).context("the leaf comes first")?;
    let root = &identity.ca_certificate_pem;

    for certificate in [leaf, subordinate, root.as_str()] {
        pkilint::lint(certificate).await?;
    }
    let verdict = openssl::verify(leaf, subordinate, root, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    // A device's certificate is not valid for any other purpose.
    let verdict = openssl::verify(leaf, subordinate, root, Purpose::Server).await?;
    ensure!(verdict.is_another_purpose(), "accepted as a server: {verdict:?}");

    let text = openssl::text(leaf).await?;
    for expected in [
        "CA:FALSE",
        "Digital Signature\n",
        "TLS Web Client Authentication\n",
        "URI:http://crl.example.com/device.crl",
    ] {
        ensure!(text.contains(expected), "{expected} is not in\n{text}");
    }
    ensure!(!text.contains("Alternative Name"), "{text}");
    let text = openssl::text(subordinate).await?;
    ensure!(text.contains("CA:TRUE, pathlen:0"), "{text}");
    ensure!(text.contains("TLS Web Client Authentication\n"), "{text}");
    Ok(())
}

async fn a_label_comes_in_every_kind_of_form(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let multipart =
        "--X\r\nContent-Disposition: form-data; name=\"label\"\r\n\r\npump é 2\r\n--X--\r\n";
    let longest = "é".repeat(128);
    let longest_form = format!("label={longest}");
    let cases = [
        ("application/x-www-form-urlencoded", "label=pump+%C3%A9+1", Some("pump é 1")),
        ("application/x-www-form-urlencoded;charset=UTF-8", "label=%20x%20", Some("x")),
        ("Multipart/Form-Data; boundary=\"X\"", multipart, Some("pump é 2")),
        ("application/x-www-form-urlencoded", &longest_form, Some(longest.as_str())),
        ("application/x-www-form-urlencoded", "", None),
        ("text/plain", "", None),
    ];
    let token = env.token.expose();
    for (content_type, body, expected) in cases {
        let headers = [(ENROLLMENT_TOKEN, token.as_str()), ("Content-Type", content_type)];
        let answer = env.api.send(Method::POST, "/enroll", &headers, body.to_owned()).await?;
        let device: Enrolled = answer.success()?;
        let devices = env.store.devices(env.project, None).await?;
        let listed =
            devices.iter().find(|it| it.device_id == device.device_id).context("listed")?;
        ensure!(listed.label.as_ref().map(|label| label.as_str()) == expected, "{body}");
    }
    Ok(())
}

async fn a_second_identity_supersedes_the_first(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let first = env.api.released(&device).await?;
    let second = env.api.released(&device).await?;
    let third = env.api.released(&device).await?;
    ensure!(first.device_private_key_pem != second.device_private_key_pem);

    let entries = env.store.device_certificates(device.device_id).await?;
    ensure!(entries.len() == 3);
    for entry in &entries {
        if entry.serial_number == third.serial_number {
            ensure!(entry.superseded_at.is_none() && entry.revoked_at.is_none());
        } else {
            let superseded = entry.superseded_at.context("superseded")?;
            ensure!(entry.revoked_at == Some(superseded.plus(24 * 60 * 60)), "a day of grace");
            ensure!(entry.revocation_reason == Some(RevocationReason::Superseded));
        }
    }
    env.verify_ledger(&[device]).await
}

async fn the_issuance_limit_holds(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let setup = Setup { policy: Policy::new(365, 1, 2)?, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.api.released(&device).await?;
    env.api.released(&device).await?;
    let third = env.api.identity(&device.device_token).await?;
    third.problem(429, "issuance-limit-reached", &[&device.device_token])?;
    ensure!(env.store.device_certificates(device.device_id).await?.len() == 2);

    // Each device has a limit of its own.
    let other = env.api.enrolled(&env.token).await?;
    env.api.released(&other).await?;
    env.verify_ledger(&[device, other]).await
}

async fn header_names_in_any_case(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let token = env.token.expose();
    for name in ["thistle-device-enrollment-token", "THISTLE-DEVICE-ENROLLMENT-TOKEN"] {
        let answer = env.api.send(Method::POST, "/enroll", &[(name, &token)], "").await?;
        let device: Enrolled = answer.success()?;
        let credentials = format!("bEARER {}", device.device_token);
        let headers = [("AUTHORIZATION", credentials.as_str())];
        let answer = env.api.send(Method::GET, "/identity", &headers, "").await?;
        ensure!(answer.status == 200, "{}", answer.text);
    }
    Ok(())
}
