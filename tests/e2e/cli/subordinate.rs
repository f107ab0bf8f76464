//! `birthcert ca request`, `certify`, `activate`, and `subordinate`, which combines them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use birthcert_local::gateway::{self, Functions};
use birthcert_tests::api::{Api, Enrolled, Released};
use birthcert_tests::operator::Operator;
use birthcert_tests::process::tool;
use birthcert_tests::stack::Stack;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use birthcert_tests::verifiers::pkilint;
use der::pem::{self, LineEnding};
use enroll::Enroll;
use identity::Identity;
use lambda::runtime::Runtime;
use tokio::net::TcpListener;

use super::setup::{TABLE, fleet, start_with_table};

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_subordinate_in_three_steps_on_three_machines,
        a_subordinate_in_one_go,
        a_root_certifies_only_what_a_key_signed,
        only_a_ca_that_can_issue_is_activated,
        dry_runs_leave_nothing_behind,
    ]
}

const QUIET: Runtime = Runtime { log: |_| {}, ..Runtime::LAMBDA };

/// Checks a subordinate's certificate against RFC 5280 and this product's profile.
pub(super) async fn check_subordinate(
    certificate: &str,
    root: &str,
    purpose: &str,
) -> anyhow::Result<()> {
    pkilint::lint(certificate).await?;
    let text = openssl::text(certificate).await?;
    let after = |title: &str| {
        let mut lines = text.lines().map(str::trim).skip_while(move |line| *line != title);
        lines.nth(1).unwrap_or_default().to_owned()
    };
    ensure!(after("X509v3 Basic Constraints: critical") == "CA:TRUE, pathlen:0", "{text}");
    ensure!(after("X509v3 Key Usage: critical") == "Certificate Sign, CRL Sign", "{text}");
    ensure!(after("X509v3 Extended Key Usage:") == purpose, "{text}");
    let (certificate, root) = (tool::file(certificate)?, tool::file(root)?);
    let verify = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile"].map(Path::new);
    let args = verify.into_iter().chain([root.path(), certificate.path()]);
    let verified = tool::run("openssl", args).await?;
    ensure!(verified.status.success(), "{}", verified.output);
    Ok(())
}

pub(super) const CLIENTS: &str = "TLS Web Client Authentication";
pub(super) const SERVERS: &str = "TLS Web Server Authentication";

async fn a_subordinate_in_three_steps_on_three_machines() -> anyhow::Result<()> {
    let (_scratch, stack, requester) = start_with_table().await?;
    let ceremony = Operator::offline()?;
    let activator = Operator::of(&stack)?.with("BIRTHCERT_TABLE", TABLE);
    let activator = activator.without("BIRTHCERT_ROOT_CERTIFICATE");
    ceremony.create_root().await?;

    let requested = requester.json("ca request --usage device --csr device.csr --yes").await?;
    let key_arn = requested["key_arn"].as_str().context("an ARN")?;
    ensure!(key_arn.starts_with("arn:aws:kms:us-east-1:"), "{requested}");
    let again = "ca request --usage device --csr device.csr --yes";
    requester.refused(again, 4, &["device.csr already exists"]).await?;
    // It goes on with the key it has.
    let again = requester.json("ca request --usage device --csr again.csr --yes").await?;
    ensure!(again["key_arn"] == key_arn, "{again} instead of {key_arn}");
    let csr = requester.path("device.csr");
    let csr = csr.to_str().context("UTF-8")?;
    let verified = tool::run("openssl", ["req", "-verify", "-noout", "-in", csr]).await?;
    ensure!(verified.status.success(), "{}", verified.output);

    requester.copy_to("device.csr", &ceremony)?;
    let certify = "ca certify --usage device --csr device.csr --certificate device.pem --root root \
                   --passphrase-file passphrase --organization Thistle --valid-years 40 \
                   --root-crl-url http://crl.example.com/root.crl --yes";
    ceremony.done(certify).await?;
    ceremony.refused(certify, 4, &["device.pem already exists"]).await?;
    let (certificate, root) = (ceremony.read("device.pem")?, ceremony.read("root/root.pem")?);
    check_subordinate(&certificate, &root, CLIENTS).await?;
    let text = openssl::text(&certificate).await?;
    ensure!(text.contains("Subject: O = Thistle, CN = birthcert device CA"), "{text}");
    ensure!(text.contains("URI:http://crl.example.com/root.crl"), "{text}");

    ceremony.copy_to("device.pem", &activator)?;
    ceremony.copy_to("root/root.pem", &activator)?;
    let activate = "ca activate --usage device --certificate device.pem \
                    --root-certificate root.pem --crl-url http://crl.example.com/device.crl --yes";
    let active = activator.json(activate).await?;
    ensure!(active["name"] == "device" && active["key_arn"] == key_arn, "{active}");
    // Repeating the command changes nothing, even within the same second; another certificate is
    // another CA.
    let again = activator.json(activate).await?;
    ensure!(active["changed"] == true && again["changed"] == false, "{active} {again}");
    ensure!(again["subject"] == active["subject"] && again["key_arn"] == key_arn, "{again}");
    let other_crl = activate.replace("device.crl", "other.crl");
    activator.refused(&other_crl, 4, &["there is a CA named device, with another"]).await?;
    let record = stack.store(TABLE)?.authority("device").await?.context("it is there")?;
    ensure!(record.certificate_pem == certificate && record.root_pem == root);

    let (project, token) = fleet(&activator).await?;
    let identity = identity_from(&stack, &token).await?;
    let leaf = &identity.device_certificate_pem;
    let verdict = openssl::verify(leaf, &certificate, &root, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    let text = openssl::text(leaf).await?;
    ensure!(text.contains("URI:http://crl.example.com/device.crl"), "{text}");
    let devices = activator.json(&format!("device list --project {project}")).await?;
    ensure!(devices[0]["device_id"] == identity.device_id.to_string(), "{devices}");
    stack.stop().await
}

/// Returns a device's identity from functions that serve the second table.
pub(super) async fn identity_from(stack: &Stack, token: &str) -> anyhow::Result<Released> {
    let config = stack.config(TABLE);
    let enroll = Enroll::start(&config, QUIET).await?;
    let identity = Identity::start(&config, QUIET).await?;
    let functions = Arc::new(Functions { runtime: QUIET, enroll, identity, published: None });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let api = Api::new(format!("http://{}", listener.local_addr()?));
    let gateway = tokio::spawn(gateway::serve(listener, functions, std::future::pending()));
    let device: Enrolled = api.enroll(token).await?.success()?;
    let identity = api.released(&device).await;
    gateway.abort();
    identity
}

async fn a_subordinate_in_one_go() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start_with_table().await?;
    operator.create_root().await?;
    let root = operator.read("root/root.pem")?;
    let wrong = operator.path("wrong");
    fs::write(wrong, "not the passphrase")?;
    for (usage, purpose) in [("device", CLIENTS), ("server", SERVERS)] {
        let subordinate =
            format!("ca subordinate --usage {usage} --root root --yes --passphrase-file");
        let faulty = format!("{subordinate} wrong");
        operator.refused(&faulty, 1, &["the passphrase is wrong"]).await?;
        ensure!(stack.store(TABLE)?.authority(usage).await?.is_none());

        let right = format!("{subordinate} passphrase");
        let said = operator.done(&right).await?;
        ensure!(said.contains(&format!("The CA \"{usage}\" is active.")), "{said}");
        let record = stack.store(TABLE)?.authority(usage).await?.context("it is there")?;
        check_subordinate(&record.certificate_pem, &root, purpose).await?;
        operator.refused(&right, 4, &[&format!("there is a CA named {usage} already")]).await?;
        ensure!(stack.store(TABLE)?.authority(usage).await? == Some(record));
    }

    let (_, token) = fleet(&operator).await?;
    let identity = identity_from(&stack, &token).await?;
    ensure!(identity.ca_certificate_pem == root);
    let issue = "broker issue --dns localhost --directory broker";
    operator.done(&format!("{issue} --root-certificate root/root.pem")).await?;
    ensure!(operator.read("broker/root.pem")? == root);
    stack.stop().await
}

async fn a_root_certifies_only_what_a_key_signed() -> anyhow::Result<()> {
    let (_scratch, stack, requester) = start_with_table().await?;
    let ceremony = Operator::offline()?;
    ceremony.create_root().await?;
    requester.done("ca request --usage device --csr good.csr --yes").await?;
    requester.copy_to("good.csr", &ceremony)?;
    let certify = |csr: &str, more: &str| {
        format!(
            "ca certify --usage device --csr {csr} --certificate new.pem --root root --yes {more}"
        )
    };
    let right = "--passphrase-file passphrase";

    let good = ceremony.read("good.csr")?;
    let (label, request) = pem::decode_vec(good.as_bytes()).map_err(anyhow::Error::msg)?;
    let name = request.windows(6).position(|bytes| bytes == b"device").context("its name")?;
    for (place, file) in [(request.len() - 1, "signature.csr"), (name, "subject.csr")] {
        let mut tampered = request.clone();
        tampered[place] ^= 1;
        let tampered = pem::encode_string(label, LineEnding::LF, &tampered);
        fs::write(ceremony.path(file), tampered.map_err(anyhow::Error::msg)?)?;
        ceremony.refused(&certify(file, right), 1, &["not signed with its own key"]).await?;
    }
    fs::write(ceremony.path("half.csr"), &good[..good.len() / 2])?;
    ceremony.refused(&certify("half.csr", right), 1, &["it has no END line"]).await?;
    ceremony.refused(&certify("root/root.pem", right), 1, &["CERTIFICATE REQUEST"]).await?;
    ceremony.refused(&certify("absent.csr", right), 1, &["cannot read absent.csr"]).await?;
    other_request(&ceremony, "p384", "secp384r1").await?;
    ceremony.refused(&certify("p384.csr", right), 1, &["not on P-256"]).await?;

    fs::write(ceremony.path("wrong"), "not the passphrase")?;
    let wrong = certify("good.csr", "--passphrase-file wrong");
    ceremony.refused(&wrong, 1, &["the passphrase is wrong"]).await?;
    ceremony.refused(&certify("good.csr", ""), 1, &["no passphrase"]).await?;
    for years in ["0", "NaN", "inf", "1001"] {
        let faulty = certify("good.csr", &format!("{right} --valid-years {years}"));
        ceremony.refused(&faulty, 2, &["--valid-years", "between 0.01 and 1000"]).await?;
    }
    let namesake = ["--common-name", "birthcert root"];
    let namesake: Vec<_> = certify("good.csr", right)
        .split_whitespace()
        .map(str::to_owned)
        .chain(namesake.map(str::to_owned))
        .collect();
    let namesake: Vec<_> = namesake.iter().map(String::as_str).collect();
    ceremony.run_with(&namesake).await?.refused(1, &["must not have the name of its root"])?;
    for url in ["crl.example.com/root.crl", "http://crl.example.com/é"] {
        let faulty = certify("good.csr", &format!("{right} --root-crl-url {url}"));
        ceremony.refused(&faulty, 2, &["--root-crl-url"]).await?;
    }
    ensure!(!ceremony.path("new.pem").exists());

    // Another root's key with this certificate.
    ceremony.done("ca root --directory second --passphrase-file passphrase --yes").await?;
    fs::copy(ceremony.path("second/root.pem"), ceremony.path("root/root.pem"))?;
    let mixed = certify("good.csr", right);
    ceremony
        .refused(&mixed, 1, &["the root's key does not match the certificate root/root.pem"])
        .await?;
    stack.stop().await
}

/// Creates a CSR with a key of OpenSSL's, in `{name}.csr`.
pub(crate) async fn other_request(
    operator: &Operator,
    name: &str,
    curve: &str,
) -> anyhow::Result<()> {
    let key = operator.path(&format!("{name}-key.pem"));
    let csr = operator.path(&format!("{name}.csr"));
    let curve = format!("ec_paramgen_curve:{curve}");
    let request = ["req", "-new", "-newkey", "ec", "-pkeyopt", &curve, "-nodes", "-subj", "/CN=x"];
    let (key, csr) = (key.to_str().context("UTF-8")?, csr.to_str().context("UTF-8")?);
    let made = tool::run("openssl", request.into_iter().chain(["-keyout", key, "-out", csr]));
    let made = made.await?;
    ensure!(made.status.success(), "{}", made.output);
    Ok(())
}

async fn only_a_ca_that_can_issue_is_activated() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start_with_table().await?;
    operator.create_root().await?;
    // The second root has the same name as the first.
    operator.done("ca root --directory second --passphrase-file passphrase --yes").await?;
    let certify = |usage: &str, csr: &str, root: &str, certificate: &str| {
        format!(
            "ca certify --usage {usage} --csr {csr} --root {root} --certificate {certificate} \
             --passphrase-file passphrase --yes"
        )
    };
    let activate = |certificate: &str, root: &str| {
        format!(
            "ca activate --usage device --certificate {certificate} --root-certificate {root} --yes"
        )
    };
    operator.done("ca request --usage device --csr good.csr --yes").await?;
    operator.done(&certify("device", "good.csr", "root", "good.pem")).await?;

    other_request(&operator, "other", "prime256v1").await?;
    operator.done(&certify("device", "other.csr", "root", "other.pem")).await?;
    let other_key = "its KMS key does not match its certificate";
    operator.refused(&activate("other.pem", "root/root.pem"), 1, &[other_key]).await?;
    operator.done("ca request --usage server --csr server.csr --yes").await?;
    let key =
        format!("{} --key alias/birthcert-{TABLE}-server", activate("good.pem", "root/root.pem"));
    operator.refused(&key, 1, &[other_key]).await?;
    let key = format!("{} --key alias/nothing", activate("good.pem", "root/root.pem"));
    operator.refused(&key, 3, &["there is no key alias/nothing in KMS"]).await?;

    let wrong_root = activate("good.pem", "second/root.pem");
    operator.refused(&wrong_root, 1, &["not issued by its root"]).await?;
    let not_a_root = activate("good.pem", "good.pem");
    operator.refused(&not_a_root, 1, &["the root is not self-signed"]).await?;
    let not_a_subordinate = activate("good.csr", "root/root.pem");
    operator.refused(&not_a_subordinate, 1, &["the PEM label is CERTIFICATE REQUEST"]).await?;
    let root_itself = activate("root/root.pem", "root/root.pem");
    operator.refused(&root_itself, 1, &["its subject is that of its root"]).await?;

    // Valid except for its usage: once active, it would block the right one for good.
    operator.done(&certify("server", "good.csr", "root", "for-servers.pem")).await?;
    let wrong_usage = activate("for-servers.pem", "root/root.pem");
    operator.refused(&wrong_usage, 1, &["its extKeyUsage is not that of a device CA"]).await?;
    let crl = format!("{} --crl-url crl.example.com", activate("good.pem", "root/root.pem"));
    operator.refused(&crl, 2, &["--crl-url"]).await?;

    ensure!(stack.store(TABLE)?.authority("device").await?.is_none(), "one was activated");
    operator.done(&activate("good.pem", "root/root.pem")).await?;
    stack.stop().await
}

async fn dry_runs_leave_nothing_behind() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start_with_table().await?;
    operator.create_root().await?;
    let store = stack.store(TABLE)?;
    let key = format!("alias/birthcert-{TABLE}-device");
    let no_key = [format!("there is no key {key} in KMS")];
    let no_key = [no_key[0].as_str()];
    let nothing_left = async |operator: &Operator, line: &str, words: &[&str]| {
        let before = operator.files()?;
        let said = operator.done(line).await?;
        ensure!(said.starts_with("Dry run: nothing was created"), "{line}: {said}");
        for word in words {
            ensure!(said.contains(word), "{line}: no {word:?} in {said}");
        }
        ensure!(operator.files()? == before, "{line}: it changed files");
        ensure!(store.authority("device").await?.is_none(), "{line}: it is active");
        Ok(())
    };
    let request = "ca request --usage device --csr device.csr";
    let certify = "ca certify --usage device --csr device.csr --root root --certificate device.pem \
                   --valid-years 40";
    let activate =
        "ca activate --usage device --certificate device.pem --root-certificate root/root.pem";
    let subordinate = "ca subordinate --usage device --root root";
    let pass = "--passphrase-file passphrase --yes";

    let to_be_made = format!("create a key in KMS with the alias {key}");
    nothing_left(&operator, request, &[&to_be_made, "CN=birthcert device CA"]).await?;
    let all = [&to_be_made, "CN=birthcert root", "ECDSA P-256, to be made", "clientAuth"];
    nothing_left(&operator, subordinate, &all).await?;
    // If one of them had created the key, the error would be about the certificate.
    let no_subordinate = activate.replace("device.pem", "root/root.pem");
    operator.refused(&no_subordinate, 3, &no_key).await?;

    let requested = operator.json(&format!("{request} --yes")).await?;
    let arn = requested["key_arn"].as_str().context("an ARN")?;
    nothing_left(&operator, subordinate, &[arn, "key, SHA-256"]).await?;
    nothing_left(&operator, certify, &["write device.pem", "CA, path length 0"]).await?;
    let draft = operator.json(certify).await?;
    operator.done(&format!("{certify} {pass}")).await?;
    nothing_left(&operator, activate, &["activate the CA \"device\" in the table", TABLE]).await?;
    let final_one = operator.json(activate).await?;

    // The preview equals the result, except for the time in between.
    let (draft, final_one) = (&draft["certificates"][0], &final_one["certificates"][0]);
    for field in ["subject", "issuer", "key", "key_sha256", "basic_constraints", "key_usage"] {
        ensure!(draft[field] == final_one[field], "{field}: {draft} {final_one}");
    }
    for field in ["serial_number", "sha256"] {
        ensure!(draft.get(field).is_none() && final_one[field].is_string(), "{field}: {draft}");
    }
    // What would fail fails in the dry run.
    operator.refused(certify, 4, &["device.pem already exists"]).await?;
    operator.refused(request, 4, &["device.csr already exists"]).await?;
    operator.done(&format!("{activate} --yes")).await?;
    operator.refused(subordinate, 4, &["there is a CA named device already"]).await?;
    let said = operator.done(activate).await?;
    ensure!(said.starts_with("The CA \"device\" is already active."), "{said}");
    stack.stop().await
}
