//! `birthcert broker issue`.

use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::process::metadata::mode;
use birthcert_tests::process::tool;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use birthcert_tests::verifiers::pkilint;

use super::setup::start;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_broker_gets_its_certificate,
        a_broker_certificate_that_cannot_be_written_is_not_signed,
        brokers_have_proper_names,
    ]
}

async fn a_broker_gets_its_certificate() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let issue = "broker issue --dns broker.example.com --dns mqtt-2.example.com --ip 127.0.0.1 \
                 --ip ::1 --directory new/broker";
    let issued = operator.json(issue).await?;
    ensure!(issued["key"] == "new/broker/broker-key.pem", "{issued}");
    ensure!(issued["chain"] == "new/broker/broker-chain.pem", "{issued}");
    ensure!(issued["root"] == "new/broker/root.pem", "{issued}");
    ensure!(mode(&operator.path("new/broker/broker-key.pem")) == 0o600);
    let (chain, root) =
        (operator.read("new/broker/broker-chain.pem")?, operator.read("new/broker/root.pem")?);
    ensure!(root == fs::read_to_string(&stack.state.root_certificate)?);
    let subordinate = stack.store("birthcert")?.authority("server").await?.context("a CA")?;
    let leaf =
        chain.strip_suffix(&subordinate.certificate_pem).context("leaf, then subordinate")?;
    ensure!(leaf.matches("-----BEGIN ").count() == 1, "{chain}");

    pkilint::lint(leaf).await?;
    let text = openssl::text(leaf).await?;
    ensure!(text.contains("Subject: CN = broker.example.com"), "{text}");
    let names = "DNS:broker.example.com, DNS:mqtt-2.example.com, IP Address:127.0.0.1, \
                 IP Address:0:0:0:0:0:0:0:1";
    ensure!(text.lines().any(|line| line.trim() == names), "{text}");
    let verdict =
        openssl::verify(leaf, &subordinate.certificate_pem, &root, Purpose::Server).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");

    let leaf_file = tool::file(leaf)?;
    let leaf_path = leaf_file.path().to_str().context("UTF-8")?;
    let certified = tool::run("openssl", ["x509", "-noout", "-pubkey", "-in", leaf_path]).await?;
    let key = operator.path("new/broker/broker-key.pem");
    let key = key.to_str().context("UTF-8")?;
    let made = tool::run("openssl", ["pkey", "-pubout", "-in", key]).await?;
    ensure!(made.status.success() && made.output == certified.output, "{}", made.output);
    let serial = issued["serial_number"].as_str().context("a serial number")?;
    let said = tool::run("openssl", ["x509", "-noout", "-serial", "-in", leaf_path]).await?;
    ensure!(said.output.to_lowercase() == format!("serial={serial}"), "{}", said.output);

    // An address alone is a name too.
    operator.done("broker issue --ip 127.0.0.1 --directory second --days 1").await?;
    let leaf = operator.read("second/broker-chain.pem")?;
    let text = openssl::text(&leaf).await?;
    ensure!(text.contains("Subject: CN = 127.0.0.1"), "{text}");
    ensure!(text.lines().any(|line| line.trim() == "IP Address:127.0.0.1"), "{text}");
    let tomorrow = tool::file(&leaf)?;
    let tomorrow = tomorrow.path().to_str().context("UTF-8")?;
    for (seconds, expires) in [("86000", false), ("86800", true)] {
        let args = ["x509", "-noout", "-checkend", seconds, "-in", tomorrow];
        let checked = tool::run("openssl", args).await?;
        ensure!(checked.status.success() != expires, "{seconds}: {}", checked.output);
    }
    stack.stop().await
}

async fn a_broker_certificate_that_cannot_be_written_is_not_signed() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let before = (stack.signed_except_crls().await?, stack.ledger_digests().await?);
    let files = ["broker-key.pem", "broker-chain.pem", "root.pem"];
    for file in files {
        let folder = format!("has-{file}");
        fs::create_dir(operator.path(&folder))?;
        fs::write(operator.path(&format!("{folder}/{file}")), "precious")?;
        let issue = format!("broker issue --dns localhost --directory {folder}");
        operator.refused(&issue, 4, &[file, "never overwritten"]).await?;
    }
    fs::write(operator.path("file"), "no folder")?;
    let issue = "broker issue --dns localhost --directory file/broker";
    operator.refused(issue, 1, &["cannot create file/broker"]).await?;
    ensure!((stack.signed_except_crls().await?, stack.ledger_digests().await?) == before);

    operator.done("broker issue --dns localhost --directory new").await?;
    ensure!(
        stack.signed_except_crls().await?.len() == before.0.len() + 1,
        "this is how one would show"
    );
    stack.stop().await
}

async fn brokers_have_proper_names() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let before = stack.signed_except_crls().await?;
    let long = format!("{}.example.com", "a".repeat(64));
    for name in [
        "",
        ".",
        "a..b",
        "-a.example.com",
        "a_b.example.com",
        "*.example.com",
        "bröker.example.com",
        "a b",
        "broker.example.com.",
        "broker:8883",
        "mqtts://broker.example.com",
        "127.0.0.1",
        "broker.example.com\n",
        &long,
    ] {
        let dns = format!("--dns={name}");
        let ran = operator.run_with(&["broker", "issue", &dns, "--directory", "b"]).await?;
        ran.refused(2, &["--dns", "not a valid DNS name"])?;
    }
    let twice = "broker issue --dns a.example --ip ::1 --ip 0:0::1 --directory b";
    operator.run(twice).await?.refused(2, &["given twice"])?;
    for wrong in ["--ip localhost", "--ip 300.1.1.1", "--dns a --days 398", "--dns a --days 0", ""]
    {
        operator.refused(&format!("broker issue --directory b {wrong}"), 2, &[]).await?;
    }
    ensure!(!operator.path("b").exists());
    ensure!(stack.signed_except_crls().await? == before, "something was signed");
    stack.stop().await
}
