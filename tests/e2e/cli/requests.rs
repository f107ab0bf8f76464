//! CSRs and addresses as operators pass them to `birthcert ca certify`.

use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::operator::Operator;
use birthcert_tests::process::tool;

use super::subordinate::other_request;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![a_request_may_be_der, a_crl_is_to_be_found_by_plain_http]
}

const CERTIFY: &str = "ca certify --usage device --certificate device.pem --root root --csr";

/// Returns an operator with a root and a CSR.
async fn start() -> anyhow::Result<Operator> {
    let operator = Operator::offline()?;
    operator.create_root().await?;
    other_request(&operator, "one", "prime256v1").await?;
    Ok(operator)
}

async fn a_request_may_be_der() -> anyhow::Result<()> {
    let operator = start().await?;
    let (pem, der) = (operator.path("one.csr"), operator.path("one.der"));
    let (pem, der) = (pem.to_str().context("UTF-8")?, der.to_str().context("UTF-8")?);
    let written = tool::run("openssl", ["req", "-in", pem, "-outform", "DER", "-out", der]).await?;
    ensure!(written.status.success(), "{}", written.output);

    let mut keys = Vec::new();
    for file in ["one.csr", "one.der"] {
        let plan = operator.json(&format!("{CERTIFY} {file}")).await?;
        keys.push(plan["certificates"][0]["key_sha256"].as_str().context("a hash")?.to_owned());
    }
    ensure!(keys[0] == keys[1], "{keys:?}");
    operator.done(&format!("{CERTIFY} one.der --passphrase-file passphrase --yes")).await?;

    let again = CERTIFY.replace("device.pem", "again.pem");
    fs::write(operator.path("junk"), [0xff, 0, 1])?;
    fs::write(operator.path("text"), "no request")?;
    let (pem, key) = (fs::read_to_string(pem)?, "-----BEGIN PRIVATE KEY-----\n");
    fs::write(operator.path("both"), format!("{key}{pem}"))?;
    fs::write(operator.path("several"), format!("{pem}{pem}"))?;
    for (file, words) in [
        ("junk", "PKCS#10"),
        ("text", "not PEM"),
        ("both", "generate a new key"),
        ("several", "not the only PEM block"),
    ] {
        operator.refused(&format!("{again} {file}"), 1, &[file, words]).await?;
    }
    Ok(())
}

async fn a_crl_is_to_be_found_by_plain_http() -> anyhow::Result<()> {
    let operator = start().await?;
    for (scheme, is_noted) in [("http", false), ("https", true)] {
        let url = format!("{scheme}://crl.example.com/root.crl");
        let plan = operator.done(&format!("{CERTIFY} one.csr --root-crl-url {url}")).await?;
        let note = format!("Note: {url} should use http");
        ensure!(plan.contains(&note) == is_noted, "{plan}");
    }
    Ok(())
}
