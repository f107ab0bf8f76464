//! `birthcert ca root`.

use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::operator::{Operator, PASSPHRASE};
use birthcert_tests::process::metadata::mode;
use birthcert_tests::process::tool;
use birthcert_tests::verifiers::{openssl, pkilint};

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_root_needs_no_network_and_no_aws,
        a_root_is_never_overwritten,
        a_root_wants_a_passphrase,
        a_dry_run_shows_the_root_and_makes_none,
    ]
}

async fn a_root_needs_no_network_and_no_aws() -> anyhow::Result<()> {
    let operator = Operator::offline()?;
    let make = "ca root --directory new/root --organization Thistle --passphrase-file passphrase \
                --yes";
    let made = operator.json(make).await?;
    ensure!(made["key"] == "new/root/root-key.pem", "{made}");
    ensure!(made["certificate"] == "new/root/root.pem", "{made}");
    let files = operator.files()?;
    ensure!(files.len() == 5, "key, certificate, transcript, passphrase: {:?}", files.len());
    ensure!(mode(&operator.path("new/root/root-key.pem")) == 0o600);
    ensure!(mode(&operator.path("new/root")) == 0o700);

    let key = operator.path("new/root/root-key.pem");
    let right = tool::file(PASSPHRASE)?;
    let opened = openssl::public_key(&key, right.path()).await?;
    let certificate = operator.path("new/root/root.pem");
    let certificate_path = certificate.to_str().context("UTF-8")?;
    let certified =
        tool::run("openssl", ["x509", "-noout", "-pubkey", "-in", certificate_path]).await?;
    ensure!(opened == Some(certified.output), "another key than the certificate's");
    let wrong = tool::file("correct horse battery stable")?;
    ensure!(openssl::public_key(&key, wrong.path()).await?.is_none(), "any passphrase opens it");
    // The cost of a guess: scrypt with N, r and p (RFC 7914, section 7.1).
    let key_path = key.to_str().context("UTF-8")?;
    let fields = tool::run("openssl", ["asn1parse", "-in", key_path]).await?.output;
    let numbers = fields.lines().filter_map(|it| it.split_once("INTEGER")?.1.split_once(':'));
    let numbers: Vec<_> = numbers.map(|(_, number)| number).collect();
    ensure!(numbers == ["4000", "08", "10"], "{fields}");

    let root = fs::read_to_string(&certificate)?;
    pkilint::lint(&root).await?;
    let strictly = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile"];
    let args = strictly.into_iter().chain([certificate_path; 2]);
    let verified = tool::run("openssl", args).await?;
    ensure!(verified.status.success(), "{}", verified.output);
    let text = openssl::text(&root).await?;
    ensure!(text.contains("Subject: O = Thistle, CN = birthcert root"), "{text}");
    ensure!(text.contains("Not After : Dec 31 23:59:59 9999 GMT"), "{text}");
    Ok(())
}

async fn a_root_is_never_overwritten() -> anyhow::Result<()> {
    let operator = Operator::offline()?;
    operator.create_root().await?;
    let again = "ca root --directory root --passphrase-file passphrase --yes";
    operator.refused(again, 4, &["already exists and is never overwritten"]).await?;
    // A certificate that lost its key gets no other: the halves would not belong together.
    fs::create_dir(operator.path("half"))?;
    fs::copy(operator.path("root/root.pem"), operator.path("half/root.pem"))?;
    let again = "ca root --directory half --passphrase-file passphrase --yes";
    operator.refused(again, 4, &["root.pem", "never overwritten"]).await?;
    ensure!(!operator.path("half/root-key.pem").exists());
    Ok(())
}

async fn a_root_wants_a_passphrase() -> anyhow::Result<()> {
    const MAKE: &str = "ca root --directory root --yes";
    const VARIABLE: &str = "BIRTHCERT_ROOT_PASSPHRASE";
    let operator = Operator::offline()?;
    fs::write(operator.path("short"), "elevenchars\n")?;
    fs::write(operator.path("empty"), "\nsecond line, long enough\n")?;
    let from = |file: &str| format!("{MAKE} --passphrase-file {file}");
    operator.refused(&from("short"), 1, &["at least 12 characters"]).await?;
    operator.refused(&from("empty"), 1, &["empty is empty"]).await?;
    operator.refused(&from("absent"), 1, &["cannot read absent"]).await?;
    operator.refused(MAKE, 1, &["no passphrase", "--passphrase-file", VARIABLE]).await?;
    let operator = operator.with(VARIABLE, "");
    operator.refused(MAKE, 1, &["at least 12 characters"]).await?;
    let operator = operator.with(VARIABLE, "elevenchars");
    operator.refused(MAKE, 1, &["at least 12 characters"]).await?;
    ensure!(!operator.path("root").exists());

    // Characters, not bytes; and never on a command line.
    let operator = operator.with(VARIABLE, "zwölf Zeichen");
    operator.refused(&format!("{MAKE} --passphrase x"), 2, &["--passphrase"]).await?;
    operator.done(MAKE).await?;
    let passphrase = tool::file("zwölf Zeichen")?;
    let key = operator.path("root/root-key.pem");
    ensure!(openssl::public_key(&key, passphrase.path()).await?.is_some(), "another passphrase");

    // A file that is named takes precedence.
    operator.done("ca root --directory other --passphrase-file passphrase --yes").await?;
    let passphrase = tool::file(PASSPHRASE)?;
    let key = operator.path("other/root-key.pem");
    ensure!(openssl::public_key(&key, passphrase.path()).await?.is_some(), "another passphrase");
    Ok(())
}

async fn a_dry_run_shows_the_root_and_makes_none() -> anyhow::Result<()> {
    let operator = Operator::offline()?;
    let before = operator.files()?;
    let make = "ca root --directory root --organization Thistle";
    let said = operator.done(make).await?;
    for words in [
        "Dry run: nothing was created, written or signed.",
        "write it, encrypted, to root/root-key.pem",
        "Certificate of CN=birthcert root,O=Thistle",
        "not after          9999-12-31T23:59:59Z",
        "ECDSA P-256, to be made",
        "CA, any path length",
        "keyCertSign, cRLSign",
    ] {
        ensure!(said.contains(words), "no {words:?}: {said}");
    }
    let plan = operator.json(make).await?;
    ensure!(plan["dry_run"] == true && plan["steps"].as_array().map(Vec::len) == Some(2), "{plan}");
    ensure!(plan["certificates"][0]["subject"] == "CN=birthcert root,O=Thistle", "{plan}");
    ensure!(plan["certificates"][0].get("key_sha256").is_none(), "a key was made: {plan}");
    ensure!(operator.files()? == before && !operator.path("root").exists(), "it wrote");

    // A command that would fail also fails in the dry run.
    operator
        .run_with(&["ca", "root", "--directory", "root", "--common-name", ""])
        .await?
        .refused(1, &["1 to 64 characters"])?;
    operator.create_root().await?;
    operator.refused(make, 4, &["already exists and is never overwritten"]).await
}
