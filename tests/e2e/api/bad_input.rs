//! Bad input: each case gets its status and problem document, echoes no secret, and leaves nothing
//! behind.

use anyhow::{Context as _, ensure};
use birthcert_tests::api::{ApiResponse, ENROLLMENT_TOKEN};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use http::Method;
use ledger::store::{NewToken, TokenStatus};
use pki::names::{DeviceId, TokenId};
use pki::token::{DeviceToken, EnrollmentToken};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        enrollment_tokens,
        regenerated_enrollment_tokens,
        expired_paused_and_capped_enrollment_tokens,
        device_tokens,
        a_token_of_one_device_with_the_id_of_another,
        forms,
        methods_and_paths,
    ]
}

const UNAUTHENTICATED: (u16, &str) = (401, "invalid-enrollment-token");

/// Changes one character, so that the checksum fails.
fn mistyped(token: &str) -> String {
    let last = if token.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &token[..token.len() - 1])
}

async fn enrollment_tokens(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let rng = &mut UnwrapErr(SysRng);
    let good = env.token.expose();
    let good = good.as_str();
    let other = EnrollmentToken::generate(env.project, TokenId::generate(rng), rng);
    let impostor = EnrollmentToken::generate(env.project, env.token.subject(), rng);
    let device = env.api.enrolled(&env.token).await?;
    let (status, slug) = UNAUTHENTICATED;

    let missing = env.api.send(Method::POST, "/enroll", &[], "").await?;
    missing.problem(status, slug, &[])?;
    for text in [
        String::new(),
        mistyped(good),
        good[..good.len() - 1].to_owned(),
        format!("{good}0"),
        good.replace("et_", "dt_"),
        format!("Bearer {good}"),
        device.device_token.clone(),
        "et_".into(),
        "é".into(),
        "x".repeat(5000),
        other.expose().to_string(),
        impostor.expose().to_string(),
    ] {
        // The problem text may say how a token begins.
        let secret = if text.len() > 3 { text.as_str() } else { good };
        env.api.enroll(&text).await?.problem(status, slug, &[secret, good])?;
    }
    // Repeating the same token is as wrong as sending two different ones.
    let doubled = [(ENROLLMENT_TOKEN, good), (ENROLLMENT_TOKEN, good)];
    env.api.send(Method::POST, "/enroll", &doubled, "").await?.problem(status, slug, &[good])?;
    let joined = format!("{good},{good}");
    env.api.enroll(&joined).await?.problem(status, slug, &[good])?;
    // In the wrong place.
    let query = format!("/enroll?Thistle-Device-Enrollment-Token={good}");
    env.api.send(Method::POST, &query, &[], "").await?.problem(status, slug, &[good])?;

    ensure!(env.store.devices(env.project, None).await?.len() == 1, "a device got in");
    ensure!(env.store.tokens(env.project).await?[0].uses == 1, "a use was counted");
    env.verify_ledger(&[device]).await
}

async fn regenerated_enrollment_tokens(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let now = pki::clock::Timestamp::now();
    let rng = &mut UnwrapErr(SysRng);
    let regenerated = EnrollmentToken::generate(env.project, env.token.subject(), rng);
    env.store.regenerate_token(&regenerated, now).await?;

    let (status, slug) = UNAUTHENTICATED;
    let old = env.token.expose();
    env.api.enroll(&old).await?.problem(status, slug, &[&old])?;
    env.api.enrolled(&regenerated).await?;
    // Again: the first token stays invalid once it is no longer the previous one.
    let again = EnrollmentToken::generate(env.project, env.token.subject(), rng);
    env.store.regenerate_token(&again, now).await?;
    for dead in [&env.token, &regenerated] {
        env.api.enroll(&dead.expose()).await?.problem(status, slug, &[&dead.expose()])?;
    }
    env.api.enrolled(&again).await?;
    // An SDK retry is not a second regeneration: the reason for the refusal stays the same.
    env.store.regenerate_token(&again, now).await?;
    env.api.enrolled(&again).await?;
    env.store.set_token_status(env.project, again.subject(), TokenStatus::Paused).await?;
    let answer = env.api.enroll(&again.expose()).await?;
    answer.problem(403, "enrollment-token-paused", &[&again.expose()])?;
    Ok(())
}

async fn expired_paused_and_capped_enrollment_tokens(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let now = pki::clock::Timestamp::now();
    let rng = &mut UnwrapErr(SysRng);
    let mut token = || EnrollmentToken::generate(env.project, TokenId::generate(rng), rng);

    let expired = token();
    let new = NewToken { expires_at: Some(now), ..NewToken::default() };
    env.store.create_token(&expired, new, now).await?;
    let answer = env.api.enroll(&expired.expose()).await?;
    answer.problem(401, "invalid-enrollment-token", &[&expired.expose()])?;

    let capped = token();
    let new = NewToken { device_cap: Some(1), ..NewToken::default() };
    env.store.create_token(&capped, new, now).await?;
    env.api.enrolled(&capped).await?;
    let answer = env.api.enroll(&capped.expose()).await?;
    answer.problem(403, "device-cap-reached", &[&capped.expose()])?;

    let paused = token();
    env.store.create_token(&paused, NewToken::default(), now).await?;
    let set = |status| env.store.set_token_status(env.project, paused.subject(), status);
    set(TokenStatus::Paused).await?;
    let answer = env.api.enroll(&paused.expose()).await?;
    answer.problem(403, "enrollment-token-paused", &[&paused.expose()])?;
    set(TokenStatus::Active).await?;
    env.api.enrolled(&paused).await?;

    // A caller with the id but not the secret does not learn that a token is paused.
    set(TokenStatus::Paused).await?;
    let impostor = EnrollmentToken::generate(env.project, paused.subject(), &mut UnwrapErr(SysRng));
    let answer = env.api.enroll(&impostor.expose()).await?;
    answer.problem(401, "invalid-enrollment-token", &[])?;
    ensure!(env.store.devices(env.project, None).await?.len() == 2);
    Ok(())
}

async fn device_tokens(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let good = device.device_token.as_str();
    let rng = &mut UnwrapErr(SysRng);
    let unknown = DeviceToken::generate(env.project, DeviceId::generate(rng), rng);
    let elsewhere =
        DeviceToken::generate(pki::names::ProjectId::generate(rng), device.device_id, rng);
    let refused = |answer: ApiResponse| answer.problem(401, "invalid-device-token", &[good]);

    let missing = env.api.send(Method::GET, "/identity", &[], "").await?;
    refused(missing.clone())?;
    ensure!(missing.header("www-authenticate") == r#"Bearer realm="birthcert""#);
    for authorization in [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        good.to_owned(),
        format!("Basic {good}"),
        format!("Token {good}"),
        format!("Bearer{good}"),
        format!("Bearer {good} {good}"),
        format!("Bearer {}", mistyped(good)),
        format!("Bearer {}", good.replace("dt_", "et_")),
        format!("Bearer {}", *env.token.expose()),
        format!("Bearer {}", *unknown.expose()),
        format!("Bearer {}", *elsewhere.expose()),
        format!("Bearer {good}, Bearer {good}"),
    ] {
        let headers = [("Authorization", authorization.as_str())];
        refused(env.api.send(Method::GET, "/identity", &headers, "").await?)
            .with_context(|| authorization.replace(good, "GOOD"))?;
    }
    let bearer = format!("Bearer {good}");
    let doubled = [("Authorization", bearer.as_str()), ("Authorization", bearer.as_str())];
    refused(env.api.send(Method::GET, "/identity", &doubled, "").await?)?;

    ensure!(env.store.device_certificates(device.device_id).await?.is_empty());
    ensure!(env.kms.take().is_empty(), "KMS was asked");
    env.verify_ledger(&[device]).await
}

async fn a_token_of_one_device_with_the_id_of_another(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let (mallory, alice) =
        (env.api.enrolled(&env.token).await?, env.api.enrolled(&env.token).await?);
    env.api.released(&alice).await?;
    // With a valid checksum: mallory's secret under alice's id.
    let secret = &mallory.device_token[47..90];
    let body = format!("{}{secret}", &alice.device_token[..47]);
    let forged = format!("{body}{}", checksum(&body));
    ensure!(DeviceToken::parse(&forged).is_ok_and(|it| it.subject() == alice.device_id));

    let answer = env.api.identity(&forged).await?;
    answer.problem(401, "invalid-device-token", &[&forged, secret])?;
    let entries = env.store.device_certificates(alice.device_id).await?;
    ensure!(entries.len() == 1 && entries[0].superseded_at.is_none(), "alice was harmed");
    env.verify_ledger(&[mallory, alice]).await
}

/// CRC-32 (ISO 3309) in six base62 characters, implemented independently of the product.
fn checksum(body: &str) -> String {
    let mut crc = u32::MAX;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    let mut number = !crc;
    let mut text = String::new();
    for _ in 0..6 {
        let digit = (number % 62) as u8;
        number /= 62;
        text.insert(
            0,
            char::from(match digit {
                0..=9 => b'0' + digit,
                10..=35 => b'A' + digit - 10,
                _ => b'a' + digit - 36,
            }),
        );
    }
    text
}

async fn forms(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    const URLENCODED: &str = "application/x-www-form-urlencoded";
    const MULTIPART: &str = "multipart/form-data; boundary=X";
    let env = Env::start(emulators, backend).await?;
    let token = env.token.expose();
    let part = |value: &[u8]| {
        [b"--X\r\nContent-Disposition: form-data; name=\"label\"\r\n\r\n", value, b"\r\n"].concat()
    };
    let end = b"--X--\r\n".to_vec();
    let long = format!("label={}", "x".repeat(129));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (URLENCODED, b"label=a&label=b".to_vec()),
        (URLENCODED, b"label=".to_vec()),
        (URLENCODED, b"label=+++".to_vec()),
        (URLENCODED, long.into_bytes()),
        (URLENCODED, b"label=a%00b".to_vec()),
        (URLENCODED, b"label=%1b%5b31m".to_vec()),
        (URLENCODED, b"label=%C2%85".to_vec()),
        (URLENCODED, b"label=%ff%fe".to_vec()),
        (URLENCODED, b"label=\xff\xfe".to_vec()),
        (URLENCODED, b"name=a".to_vec()),
        ("multipart/form-data", part(b"a")),
        (MULTIPART, part(b"a")),
        (MULTIPART, b"label=a".to_vec()),
        (MULTIPART, [part(b"a"), part(b"b"), end.clone()].concat()),
        (MULTIPART, [part(b"\xff"), end.clone()].concat()),
        (MULTIPART, [part(b"a\nb"), end.clone()].concat()),
        (MULTIPART, [part(b""), end].concat()),
    ];
    let send = |content_type: &'static str, body: Vec<u8>| {
        let (api, token) = (env.api.clone(), token.clone());
        async move {
            let headers = [(ENROLLMENT_TOKEN, token.as_str()), ("Content-Type", content_type)];
            api.send(Method::POST, "/enroll", &headers, body).await
        }
    };
    for (content_type, body) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = send(content_type, body).await?;
        answer.problem(400, "invalid-form", &[&token]).with_context(|| shown)?;
    }
    for content_type in ["application/json", "text/plain", "application/octet-stream", "x", ";"] {
        let answer = send(content_type, b"{\"label\":\"a\"}".to_vec()).await?;
        answer.problem(415, "unsupported-media-type", &[&token])?;
    }
    for content_type in [URLENCODED, MULTIPART, "application/json"] {
        let answer = send(content_type, vec![b'x'; 8193]).await?;
        answer.problem(413, "body-too-large", &[&token])?;
    }
    // A bad form with a bad token reveals only that the token is bad.
    let headers = [(ENROLLMENT_TOKEN, "et_x"), ("Content-Type", URLENCODED)];
    let answer = env.api.send(Method::POST, "/enroll", &headers, "x=y").await?;
    answer.problem(401, "invalid-enrollment-token", &[])?;

    ensure!(env.store.devices(env.project, None).await?.is_empty(), "a device got in");
    ensure!(env.store.tokens(env.project).await?[0].uses == 0, "a use was counted");
    Ok(())
}

async fn methods_and_paths(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let token = env.token.expose();
    let device = env.api.enrolled(&env.token).await?;
    let bearer = format!("Bearer {}", device.device_token);
    let headers = [(ENROLLMENT_TOKEN, token.as_str()), ("Authorization", bearer.as_str())];
    let secrets = [token.as_str(), device.device_token.as_str()];

    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = env.api.send(method, "/enroll", &headers, "").await?;
        answer.problem(405, "method-not-allowed", &secrets)?;
        ensure!(answer.header("allow") == "POST");
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = env.api.send(method, "/identity", &headers, "").await?;
        answer.problem(405, "method-not-allowed", &secrets)?;
        ensure!(answer.header("allow") == "GET, POST");
    }
    for path in ["/", "/enroll/", "/identity/", "//enroll", "/Enroll", "/enroll/x", "/a%2Fb", "/é"]
    {
        for method in [Method::GET, Method::POST] {
            let answer = env.api.send(method, path, &headers, "").await?;
            answer.problem(404, "not-found", &secrets).with_context(|| path)?;
        }
    }
    ensure!(env.store.devices(env.project, None).await?.len() == 1);
    ensure!(env.store.device_certificates(device.device_id).await?.is_empty());
    env.verify_ledger(&[device]).await
}
