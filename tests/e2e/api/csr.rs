//! `POST /identity`: certificates for keys that devices generated, and refused requests.

use std::path::Path;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthcert_tests::api::Certified;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use birthcert_tests::verifiers::pkilint;
use der::{Decode as _, DecodePem as _};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use pki::token::DeviceToken;
use serde_json::json;
use x509_cert::Certificate;
use x509_cert::request::CertReq;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        each_kind_of_key_is_certified,
        a_request_comes_in_every_kind_of_body,
        nothing_but_the_key_is_taken,
        other_keys_are_refused,
        broken_requests_are_refused,
        bodies_have_bounds,
        a_request_needs_a_token,
    ]
}

const PKCS10: &str = "application/pkcs10";
const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

/// Kinds of keys, and how to sign a request with each.
const KINDS: [(&str, &str); 11] = [
    (P256, "-sha256"),
    (P256, "-sha384"),
    (P256, "-sha512"),
    ("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "-sha256"),
    ("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "-sha384"),
    ("-algorithm ED25519", ""),
    ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "-sha256"),
    ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "-sha384"),
    ("-algorithm RSA -pkeyopt rsa_keygen_bits:4096", "-sha512"),
    (
        "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
    ),
    (
        "-algorithm RSA -pkeyopt rsa_keygen_bits:3072",
        "-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
    ),
];

/// Returns a CSR that openssl creates with a new key.
async fn new_request(folder: &Path, kind: &str, options: &str) -> anyhow::Result<String> {
    let key = folder.join("request-key.pem");
    openssl::new_key(&key, kind).await?;
    openssl::request(&key, options).await
}

fn der(pem: &str) -> anyhow::Result<Vec<u8>> {
    Ok(STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>())?)
}

async fn verify(env: &Env, certified: &Certified) -> anyhow::Result<()> {
    let leaf = &certified.device_certificate_pem;
    let chain = &certified.certificate_chain_pem;
    let subordinate = chain.strip_prefix(leaf.as_str()).context("the leaf comes first")?;
    ensure!(certified.ca_certificate_pem == env.root_pem);
    let root = &env.root_pem;
    let verdict = openssl::verify(leaf, subordinate, root, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    let verdict = openssl::verify(leaf, subordinate, root, Purpose::Server).await?;
    ensure!(verdict.is_another_purpose(), "accepted as a server: {verdict:?}");
    pkilint::lint(leaf).await
}

async fn each_kind_of_key_is_certified(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let mut devices = Vec::new();
    for (kind, options) in KINDS {
        let key = env.scratch.path().join("key.pem");
        openssl::new_key(&key, kind).await?;
        let csr = openssl::request(&key, options).await?;
        let device = env.api.enrolled(&env.token).await?;
        let certified = env.api.certified(&device, &csr).await;
        let certified = certified.with_context(|| format!("{kind} {options}"))?;
        ensure!(certified.device_id == device.device_id);
        let leaf = &certified.device_certificate_pem;
        let public = openssl::public_half(&key).await?;
        ensure!(openssl::certified_key(leaf).await? == public, "{kind}: another key");
        verify(&env, &certified).await.with_context(|| format!("{kind} {options}"))?;

        let entries = env.store.device_certificates(device.device_id).await?;
        ensure!(entries.len() == 1 && entries[0].serial_number == certified.serial_number);
        let record = env.store.device_key(&entries[0].key_fingerprint).await?.context("the key")?;
        ensure!(record.device_id == device.device_id && record.compromised_at.is_none());
        devices.push(device);
    }
    env.verify_ledger(&devices).await
}

async fn a_request_comes_in_every_kind_of_body(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let pem = new_request(env.scratch.path(), P256, "").await?;
    let der = der(&pem)?;
    let lines = pem.lines().filter(|line| !line.starts_with('-')).collect::<Vec<_>>();
    let bodies: [(&str, Vec<u8>); 10] = [
        (PKCS10, der.clone()),
        ("Application/PKCS10; charset=binary", der),
        (PKCS10, lines.concat().into()),
        (PKCS10, lines.join("\r\n").into()),
        (PKCS10, format!("\n{}\n", lines.join("\n")).into()),
        (PKCS10, pem.clone().into()),
        (PKCS10, pem.replace('\n', "\r\n").into()),
        (PKCS10, format!("\u{feff}Certificate Request:\n{pem}").into()),
        ("application/json", json!({ "csr_pem": pem }).to_string().into()),
        ("application/json; charset=utf-8", json!({ "csr_pem": pem.trim() }).to_string().into()),
    ];
    for (content_type, body) in bodies {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = env.api.request(&device.device_token, content_type, body).await?;
        answer.success::<Certified>().with_context(|| format!("{content_type}: {shown}"))?;
    }
    env.verify_ledger(&[device]).await
}

async fn nothing_but_the_key_is_taken(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let options = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign \
                   -addext extendedKeyUsage=serverAuth -addext subjectAltName=DNS:localhost";
    let csr = new_request(env.scratch.path(), P256, options).await?;
    let certified = env.api.certified(&device, &csr).await?;
    let leaf = Certificate::from_pem(&certified.device_certificate_pem)?;
    let subject = leaf.tbs_certificate().subject().to_string();
    ensure!(subject == format!("CN={}", device.device_id), "{subject}");
    let text = openssl::text(&certified.device_certificate_pem).await?;
    for expected in ["CA:FALSE", "Digital Signature\n", "TLS Web Client Authentication\n"] {
        ensure!(text.contains(expected), "{expected} is not in\n{text}");
    }
    for other in ["localhost", "Somebody", "Alternative Name", "Server", "Certificate Sign"] {
        ensure!(!text.contains(other), "{other} is in\n{text}");
    }
    verify(&env, &certified).await
}

async fn other_keys_are_refused(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let folder = env.scratch.path();
    let (kind, encoding) = ("kind is not supported", "not encoded");
    let mut requests = Vec::new();
    for (key, options, word) in [
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-224", "", kind),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "", kind),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", "", kind),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1", "", kind),
        ("-algorithm ED448", "", kind),
        ("-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048", "", kind),
        (
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
            "",
            encoding,
        ),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", "", "2048 to 4096 bits"),
        (
            "-algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3",
            "",
            "must be 65537",
        ),
    ] {
        requests.push((new_request(folder, key, options).await?, word));
    }
    let parameters = folder.join("dsa.pem");
    let dsa = "-genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024";
    openssl::new_key(&parameters, dsa).await?;
    let dsa = format!("-paramfile {}", parameters.display());
    requests.push((new_request(folder, &dsa, "").await?, kind));
    for (file, word) in [
        ("rsa-8192", "2048 to 4096 bits"),
        ("roca", "CVE-2017-15361"),
        ("rfc9500-rsa-2048", "an example from an RFC"),
        ("small-order", "small order"),
    ] {
        requests.push((fixture(file)?, word));
    }
    for (csr, word) in requests {
        let answer = env.api.certify(&device, &csr).await?;
        answer.problem(400, "key-not-accepted", &[&device.device_token])?;
        ensure!(
            answer.json["detail"].as_str().is_some_and(|it| it.contains(word)),
            "{}",
            answer.text
        );
    }
    ensure!(env.store.device_certificates(device.device_id).await?.is_empty());
    ensure!(env.kms.take().is_empty(), "KMS was asked");
    env.verify_ledger(&[device]).await
}

fn fixture(name: &str) -> anyhow::Result<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/csr");
    Ok(std::fs::read_to_string(format!("{folder}/{name}.pem"))?)
}

async fn broken_requests_are_refused(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let token = device.device_token.as_str();
    let pem = new_request(env.scratch.path(), P256, "").await?;
    let good = der(&pem)?;
    let (last, signed_part) = (good.len() - 1, 30);
    let flipped = |place: usize| {
        let mut changed = good.clone();
        changed[place] ^= 1;
        changed
    };
    let sha1 = new_request(env.scratch.path(), P256, "-sha1").await?;
    let salted = "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20";
    let rsa = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    let salted = new_request(env.scratch.path(), rsa, salted).await?;
    // The salt that openssl 3.0 uses unless told otherwise.
    let longest = "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:max";
    let longest = new_request(env.scratch.path(), rsa, longest).await?;
    let key = std::fs::read_to_string(env.scratch.path().join("request-key.pem"))?;
    let (exposed, several) = ("generate a new key", "not the only PEM block");
    // A valid signature by another key over the same names.
    let other = new_request(env.scratch.path(), P256, "").await?;
    let (info, other) = (CertReq::from_der(&good)?, CertReq::from_der(&der(&other)?)?);
    let mixed = CertReq { signature: other.signature, ..info };
    let mixed = der::Encode::to_der(&mixed)?;

    let pkcs10: Vec<(Vec<u8>, &str)> = vec![
        (flipped(last), "does not verify"),
        (flipped(signed_part), "does not verify"),
        (mixed, "does not verify"),
        (sha1.into(), "signature algorithm"),
        (salted.into(), "rsa_pss_saltlen:digest"),
        (longest.into(), "rsa_pss_saltlen:digest"),
        (good[..last].to_vec(), "not PKCS#10 in DER"),
        ([&good[..], b"\0"].concat(), "not PKCS#10 in DER"),
        (vec![], "empty"),
        (b"  \n".to_vec(), "empty"),
        (b"0".to_vec(), "not PKCS#10 in DER"),
        (b"hello, world".to_vec(), "not base64"),
        (b"\xff\xfe".to_vec(), "neither DER nor base64 nor PEM"),
        (STANDARD.encode("not a request").into(), "not PKCS#10 in DER"),
        (pem.replace("REQUEST", "REQUESTS").into(), "label is not CERTIFICATE REQUEST"),
        (format!("{pem}garbage").into(), "after the END line"),
        (format!("{pem}{pem}").into(), several),
        (format!("{}{pem}", env.root_pem).into(), several),
        (format!("{key}{pem}").into(), exposed),
        (format!("{pem}{key}").into(), exposed),
        (key.clone().into(), exposed),
        (der(&key)?, exposed),
        (STANDARD.encode(der(&key)?).into(), exposed),
        ([&good[..], key.as_bytes()].concat(), exposed),
        (pem.replace("-----END", "-----FIN").into(), "no END line"),
        (env.root_pem.clone().into(), "label is not CERTIFICATE REQUEST"),
    ];
    let both = json!({ "csr_pem": format!("{key}{pem}") }).to_string();
    let beside = json!({ "csr_pem": pem, "key": key }).to_string();
    let twice = json!({ "csr_pem": format!("{pem}{pem}") }).to_string();
    let json = [
        (both.as_str(), exposed),
        (beside.as_str(), exposed),
        (twice.as_str(), several),
        ("{}", "one field, csr_pem"),
        ("", "one field, csr_pem"),
        ("[]", "one field, csr_pem"),
        (r#"{"csr_pem":7}"#, "one field, csr_pem"),
        (r#"{"csr_pem":"x","subject":"y"}"#, "one field, csr_pem"),
        (r#"{"csr_pem":""}"#, "not PEM"),
        (r#"{"csr_pem":"garbage"}"#, "not PEM"),
    ];
    let json = json.map(|(text, word)| ("application/json", text.as_bytes().to_vec(), word));
    let pkcs10 = pkcs10.into_iter().map(|(body, word)| (PKCS10, body, word));
    for (content_type, body, word) in pkcs10.chain(json) {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = env.api.request(token, content_type, body).await?;
        answer.problem(400, "invalid-csr", &[token]).with_context(|| shown)?;
        ensure!(
            answer.json["detail"].as_str().is_some_and(|it| it.contains(word)),
            "{}",
            answer.text
        );
    }
    ensure!(env.store.device_certificates(device.device_id).await?.is_empty());
    ensure!(env.kms.take().is_empty(), "KMS was asked");
    env.api.certified(&device, &pem).await?;
    env.verify_ledger(&[device]).await
}

async fn bodies_have_bounds(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let token = device.device_token.as_str();
    let pem = fixture("p256")?;
    for content_type in [PKCS10, "application/json", "text/plain"] {
        let answer = env.api.request(token, content_type, vec![b'0'; 8193]).await?;
        answer.problem(413, "body-too-large", &[token])?;
    }
    for content_type in ["text/plain", "application/x-pem-file", "multipart/form-data", "x", ";"] {
        let answer = env.api.request(token, content_type, pem.clone()).await?;
        answer.problem(415, "unsupported-media-type", &[token])?;
    }
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let answer = env.api.send(http::Method::POST, "/identity", &headers, pem).await?;
    answer.problem(415, "unsupported-media-type", &[token])?;
    // The largest request allowed.
    let wide = format!("{}{}", " ".repeat(8192 - fixture("p256")?.len()), fixture("p256")?);
    env.api.request(token, PKCS10, wide).await?.success::<Certified>()?;
    Ok(())
}

async fn a_request_needs_a_token(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let rng = &mut UnwrapErr(SysRng);
    let pem = fixture("p256")?;
    let impostor = DeviceToken::generate(env.project, device.device_id, rng).expose();
    for token in ["", "dt_x", impostor.as_str()] {
        let answer = env.api.request(token, PKCS10, pem.clone()).await?;
        answer.problem(401, "invalid-device-token", &[&device.device_token])?;
    }
    // None of these requests recorded a key.
    ensure!(env.store.device_certificates(device.device_id).await?.is_empty());
    let other = env.api.enrolled(&env.token).await?;
    env.api.certified(&other, &pem).await?;
    env.verify_ledger(&[device, other]).await
}
