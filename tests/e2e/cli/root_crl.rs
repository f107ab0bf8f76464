//! `birthcert ca root-crl`, and the verdicts of OpenSSL and pkilint on the CRL.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use birthcert_tests::operator::Operator;
use birthcert_tests::pki::softhsm::{PIN, SoftHsm};
use birthcert_tests::process::tool;
use birthcert_tests::verifiers::pkilint;

use super::subordinate::other_request;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_root_revokes_a_subordinate,
        crls_follow_one_another,
        an_invalid_crl_request_is_refused,
        a_token_signs_the_crl,
    ]
}

const MAKE: &str = "ca root-crl --root root --passphrase-file passphrase";

/// Returns an operator with a root and its subordinates `one.pem` and `two.pem`.
async fn start() -> anyhow::Result<Operator> {
    let operator = Operator::offline()?;
    operator.create_root().await?;
    for name in ["one", "two"] {
        certify(&operator, name, "root", "--passphrase-file passphrase").await?;
    }
    Ok(operator)
}

async fn certify(operator: &Operator, name: &str, root: &str, more: &str) -> anyhow::Result<()> {
    other_request(operator, name, "prime256v1").await?;
    let certify = format!(
        "ca certify --usage device --csr {name}.csr --root {root} --certificate {name}.pem {more} \
         --yes"
    );
    operator.done(&certify).await.map(drop)
}

/// Returns true if OpenSSL accepts a subordinate, given the root and its CRL.
async fn takes(operator: &Operator, certificate: &str, list: &str) -> anyhow::Result<bool> {
    let args = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-crl_check"].map(Path::new);
    let (root, list) = (operator.path("root/root.pem"), operator.path(list));
    let certificate = operator.path(certificate);
    let files = [Path::new("-CAfile"), &root, Path::new("-CRLfile"), &list, &certificate];
    let ran = tool::run("openssl", args.into_iter().chain(files)).await?;
    let is_revoked = ran.output.contains("certificate revoked");
    ensure!(ran.status.success() || is_revoked, "{}", ran.output);
    Ok(!is_revoked)
}

async fn text(operator: &Operator, list: &str) -> anyhow::Result<String> {
    let list = operator.path(list);
    let form = if list.extension().is_some_and(|it| it == "crl") { "DER" } else { "PEM" };
    let list = list.to_str().context("UTF-8")?;
    let args = ["crl", "-noout", "-text", "-inform", form, "-in", list];
    let ran = tool::run("openssl", args).await?;
    ensure!(ran.status.success(), "{}", ran.output);
    Ok(ran.output)
}

async fn a_root_revokes_a_subordinate() -> anyhow::Result<()> {
    let operator = start().await?;
    let before = operator.files()?;
    let said = operator.done("ca root-crl --root root").await?;
    ensure!(said.contains("sign CRL 1 with the root in root: 0 entries"), "{said}");
    ensure!(operator.files()? == before, "a dry run wrote");

    let first = operator.json(&format!("{MAKE} --yes")).await?;
    ensure!(first["der"] == "root/root-crl-1.crl" && first["pem"] == "root/root-crl-1.pem");
    ensure!(first["revoked"] == serde_json::json!([]), "{first}");
    for subordinate in ["one.pem", "two.pem"] {
        ensure!(takes(&operator, subordinate, "root/root-crl-1.pem").await?);
    }

    let revoke = format!("{MAKE} --revoke one.pem --reason cACompromise --valid-days 30");
    let said = operator.done(&revoke).await?;
    ensure!(said.contains("revoke permanently: CN=birthcert device CA, serial number"), "{said}");
    let second = operator.json(&format!("{revoke} --yes")).await?;
    ensure!(second["number"] == 2, "{second}");
    ensure!(!takes(&operator, "one.pem", "root/root-crl-2.pem").await?, "it is not revoked");
    ensure!(takes(&operator, "two.pem", "root/root-crl-2.pem").await?, "the other is revoked too");
    let pem = text(&operator, "root/root-crl-2.pem").await?;
    ensure!(pem == text(&operator, "root/root-crl-2.crl").await?, "two lists in two forms");
    for words in ["Version 2", "X509v3 CRL Number: \n                2", "CA Compromise"] {
        ensure!(pem.contains(words), "no {words:?}: {pem}");
    }
    let serial = second["revoked"][0].as_str().context("a serial number")?.to_uppercase();
    ensure!(pem.contains(&format!("Serial Number: {serial}")), "{pem}");
    for list in ["root/root-crl-1.pem", "root/root-crl-2.pem"] {
        pkilint::lint_crl(&operator.read(list)?).await?;
    }
    let transcript = operator.read(second["transcript"].as_str().context("a path")?)?;
    for words in ["one.pem", "root/root-crl-1.crl", "root/root-crl-2.crl", "revoked CN=birthcert"] {
        ensure!(transcript.contains(words), "no {words:?}: {transcript}");
    }
    Ok(())
}

async fn crls_follow_one_another() -> anyhow::Result<()> {
    let operator = start().await?;
    operator.done(&format!("{MAKE} --revoke one.pem --number 7 --yes")).await?;
    operator.done(&format!("{MAKE} --revoke two.pem --reason superseded --yes")).await?;
    let made = operator.json(&format!("{MAKE} --number 40 --yes")).await?;
    ensure!(made["revoked"].as_array().map(Vec::len) == Some(2), "{made}");
    for subordinate in ["one.pem", "two.pem"] {
        ensure!(!takes(&operator, subordinate, "root/root-crl-40.pem").await?, "{subordinate}");
    }
    let both = text(&operator, "root/root-crl-40.pem").await?;
    ensure!(both.matches("Superseded").count() == 1, "{both}");
    // Sorted as numbers: 40 comes after 8.
    ensure!(operator.path("root/root-crl-8.crl").exists());
    let next = operator.json(&format!("{MAKE} --yes")).await?;
    ensure!(next["number"] == 41, "{next}");

    // A copy of the directory without its CRLs continues from the last number.
    fs::create_dir(operator.path("copy"))?;
    for file in ["root.pem", "root-key.pem"] {
        fs::copy(operator.path(&format!("root/{file}")), operator.path(&format!("copy/{file}")))?;
    }
    let copy = MAKE.replace("--root root", "--root copy");
    let follow = |list: &str| format!("{copy} --previous root/{list} --yes");
    let made = operator.json(&follow("root-crl-41.pem")).await?;
    ensure!(made["number"] == 42 && made["revoked"].as_array().map(Vec::len) == Some(2), "{made}");
    operator.refused(&follow("root-crl-8.crl"), 1, &["copy/root-crl-42.crl exists"]).await
}

async fn an_invalid_crl_request_is_refused() -> anyhow::Result<()> {
    let operator = start().await?;
    operator.done(&format!("{MAKE} --revoke one.pem --yes")).await?;
    let stranger = start().await?;
    fs::write(operator.path("stranger.pem"), stranger.read("one.pem")?)?;
    fs::write(operator.path("wrong"), "not the passphrase\n")?;
    let with = |more: &str| format!("{MAKE} --yes {more}");
    for (line, code, words) in [
        (with("--revoke one.pem"), 4, "one.pem is already revoked"),
        (with("--revoke two.pem --revoke two.pem"), 4, "two.pem is already revoked"),
        (with("--revoke stranger.pem"), 1, "stranger.pem was not issued by this root"),
        (with("--revoke root/root.pem"), 1, "a root cannot revoke itself"),
        (with("--revoke one.csr"), 1, "the PEM label is CERTIFICATE REQUEST"),
        (with("--revoke absent.pem"), 1, "cannot read absent.pem"),
        (with("--number 1"), 1, "higher than the last one, 1"),
        (with("--number 0"), 1, "higher than the last one, 1"),
        (with("--number=-1"), 2, "--number"),
        (with("--valid-days 0"), 2, "--valid-days"),
        (with("--reason superseded"), 2, "--revoke"),
        (with("--revoke two.pem --reason certificateHold"), 2, "cACompromise"),
        (with("").replace("file passphrase", "file wrong"), 1, "the passphrase is wrong"),
        (with("").replace("--root root", "--root absent"), 1, "cannot read absent/root.pem"),
    ] {
        operator.refused(&line, code, &[words]).await?;
    }

    // A CRL that was modified, or that another root issued, is not accepted as the previous one.
    let path = operator.path("root/root-crl-1.crl");
    let good = fs::read(&path)?;
    let mut changed = good.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&path, changed)?;
    operator
        .refused(&with(""), 1, &["root/root-crl-1.crl is not a valid CRL of this root"])
        .await?;
    stranger.done(&format!("{MAKE} --yes")).await?;
    fs::write(&path, fs::read(stranger.path("root/root-crl-1.crl"))?)?;
    operator
        .refused(&with(""), 1, &["root/root-crl-1.crl is not a valid CRL of this root"])
        .await?;
    fs::write(&path, good)?;
    operator.done(&with("")).await?;

    // A root that expires before the CRL would.
    let short = "ca root --directory short --valid-years 0.5 --passphrase-file passphrase --yes";
    operator.done(short).await?;
    let list = MAKE.replace("--root root", "--root short");
    operator.refused(&list, 1, &["would outlive the root"]).await?;
    operator.done(&format!("{list} --valid-days 90")).await.map(drop)
}

async fn a_token_signs_the_crl() -> anyhow::Result<()> {
    let hsm = SoftHsm::new()?;
    hsm.token("Vault").await?;
    let operator = hsm.with(Operator::offline()?)?.with("BIRTHCERT_ROOT_PIN", PIN);
    let module = SoftHsm::module()?;
    let place =
        format!("--pkcs11-module {} --token-label Vault --key-label root", module.display());
    operator.done(&format!("ca root --directory root {place} --yes")).await?;
    certify(&operator, "one", "root", &place).await?;
    operator.done(&format!("ca root-crl --root root {place} --revoke one.pem --yes")).await?;
    ensure!(!takes(&operator, "one.pem", "root/root-crl-1.pem").await?, "it is not revoked");
    pkilint::lint_crl(&operator.read("root/root-crl-1.pem")?).await
}
