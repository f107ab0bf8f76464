//! A broker's root changes only by an operator's hand, whatever the table says.

use std::fs;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_cli::root::{KeyFilePassphrase, NewRoot, Root, RootKey};
use birthcert_tests::env::{YEAR, subordinate};
use birthcert_tests::operator::Operator;
use birthcert_tests::process::tool;
use birthcert_tests::stack::Stack;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use pki::authority::AuthorityRecord;
use pki::clock::Timestamp;
use pki::profile::Usage;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_renewal_takes_no_root_from_the_table,
        an_accepted_root_joins_the_installed_one,
        a_renewal_keeps_every_installed_root,
        a_first_certificate_comes_under_the_pinned_root,
        a_device_ca_is_registered_under_the_pinned_root,
        a_successor_under_another_root_is_accepted_by_hand,
    ]
}

const RENEW: &str = "broker renew --directory b --within 400d";

struct Setup {
    _scratch: TempDir,
    stack: Stack,
    operator: Operator,
    /// SHA-256 of the stack's root, as openssl prints it, without colons and in lower case.
    root: String,
}

/// A root that is not the stack's, and CAs under it.
struct Other {
    root: Root,
    sha256: String,
}

impl Setup {
    async fn start() -> anyhow::Result<Self> {
        let scratch = TempDir::new()?;
        let stack = Stack::start(&scratch.path().join("stack")).await?;
        let operator = Operator::of(&stack)?;
        let root = sha256(&fs::read_to_string(&stack.state.root_certificate)?).await?;
        Ok(Self { _scratch: scratch, stack, operator, root })
    }

    async fn other(&self) -> anyhow::Result<Other> {
        let folder = self.operator.path("other-root");
        let key = RootKey::make_file(&folder, KeyFilePassphrase::Random("a passphrase"))?;
        let lasting = NewRoot::lasting("birthcert local root");
        let root = Root::create(&folder, key, &lasting, Timestamp::now().minus(60))?;
        let sha256 = sha256(root.certificate().pem()).await?;
        Ok(Other { root, sha256 })
    }

    /// Replaces the record of a CA by one under another root, as somebody can who may write the table and has
    /// no key of the stack.
    async fn replace(&self, name: &str, usage: Usage, other: &Other) -> anyhow::Result<()> {
        let config = self.stack.config("birthcert");
        let now = Timestamp::now();
        let record = subordinate(&config, &other.root, name, usage, now, 10 * YEAR).await?;
        let AuthorityRecord { key_arn, certificate_pem, root_pem, .. } = record;
        let text = AttributeValue::S;
        config
            .aws
            .dynamodb()?
            .update_item()
            .table_name("birthcert")
            .key("PK", text(format!("CA#{usage}")))
            .key("SK", text(format!("NAME#{name}")))
            .condition_expression("attribute_exists(PK)")
            .update_expression("SET root_pem = :root, certificate_pem = :ca, key_arn = :key")
            .expression_attribute_values(":root", text(root_pem))
            .expression_attribute_values(":ca", text(certificate_pem))
            .expression_attribute_values(":key", text(key_arn))
            .send()
            .await?;
        Ok(())
    }

    /// Checks that the broker's chain verifies under its root.pem.
    async fn verifies(&self) -> anyhow::Result<()> {
        let chain = self.operator.read("b/broker-chain.pem")?;
        let end = "-----END CERTIFICATE-----\n";
        let (leaf, above) = chain.split_once(end).context("two certificates")?;
        let root = self.operator.read("b/root.pem")?;
        let leaf = format!("{leaf}{end}");
        let verdict = openssl::verify(&leaf, above, &root, Purpose::Server).await?;
        ensure!(verdict == Verdict::Accepted, "{verdict:?}");
        Ok(())
    }
}

/// Returns the fingerprint of a certificate, by openssl.
async fn sha256(pem: &str) -> anyhow::Result<String> {
    let file = tool::file(pem)?;
    let path = file.path().to_str().context("UTF-8")?;
    let line = ["x509", "-noout", "-fingerprint", "-sha256", "-in", path];
    let ran = tool::run("openssl", line).await?;
    let (_, fingerprint) = ran.output.trim().split_once('=').context("a fingerprint")?;
    Ok(fingerprint.replace(':', "").to_lowercase())
}

async fn a_renewal_takes_no_root_from_the_table() -> anyhow::Result<()> {
    let setup = Setup::start().await?;
    // Only the installed root protects an operator who pinned none.
    let Setup { stack, operator, root, .. } = &setup;
    operator.done("broker issue --dns a.example --directory b").await?;
    let installed = operator.read("b/root.pem")?;
    let other = setup.other().await?;
    setup.replace("server", Usage::Server, &other).await?;
    let unpinned = Operator::of(stack)?.without("BIRTHCERT_ROOT_CERTIFICATE");
    let directory = operator.path("b").display().to_string();
    let before = (operator.files()?, fs::read_link(operator.path("b/current"))?);
    let signed = stack.signed_except_crls().await?;

    let renew = format!("broker renew --within 400d --directory {directory}");
    let said = [root, &*other.sha256, "root.pem", "nothing was changed", "--accept-new-root"];
    unpinned.refused(&renew, 4, &said).await?;
    operator.refused(RENEW, 4, &said).await?;
    // Another root than the table's is accepted.
    let accept = format!("{RENEW} --accept-new-root {}", "0".repeat(64));
    operator.refused(&accept, 4, &said).await?;
    operator.refused(&format!("{RENEW} --accept-new-root yes"), 2, &["64 hex digits"]).await?;
    // Accepting a root does not overrule a pin.
    let accept = format!("{RENEW} --accept-new-root {}", other.sha256);
    operator.refused(&accept, 4, &["BIRTHCERT_ROOT_CERTIFICATE", root, &other.sha256]).await?;

    let after = (operator.files()?, fs::read_link(operator.path("b/current"))?);
    ensure!(before == after, "files were changed");
    ensure!(stack.signed_except_crls().await? == signed, "something was signed");
    ensure!(operator.read("b/root.pem")? == installed);
    setup.stack.stop().await
}

async fn an_accepted_root_joins_the_installed_one() -> anyhow::Result<()> {
    let mut setup = Setup::start().await?;
    setup.operator.done("broker issue --dns a.example --directory b").await?;
    let installed = setup.operator.read("b/root.pem")?;
    let other = setup.other().await?;
    setup.replace("server", Usage::Server, &other).await?;
    setup.operator = setup.operator.without("BIRTHCERT_ROOT_CERTIFICATE");

    let operator = &setup.operator;
    let colons = other.sha256.to_uppercase();
    let colons: Vec<_> = colons.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
    let accept = format!("{RENEW} --accept-new-root {}", colons.join(":"));
    let renewed = operator.json(&accept).await?;
    ensure!(renewed["files"]["root_sha256"] == other.sha256, "{renewed}");
    let both = format!("{installed}{}", other.root.certificate().pem());
    // Devices with certificates under the old root still connect.
    ensure!(operator.read("b/root.pem")? == both, "{}", operator.read("b/root.pem")?);
    setup.verifies().await?;
    for again in [accept.as_str(), RENEW] {
        operator.done(again).await?;
        ensure!(operator.read("b/root.pem")? == both, "{again}");
    }
    // The operator removes the old root, and it stays away.
    fs::write(operator.path("b/root.pem"), other.root.certificate().pem())?;
    operator.done(RENEW).await?;
    ensure!(operator.read("b/root.pem")? == other.root.certificate().pem());
    setup.verifies().await?;
    setup.stack.stop().await
}

async fn a_renewal_keeps_every_installed_root() -> anyhow::Result<()> {
    let setup = Setup::start().await?;
    let operator = &setup.operator;
    operator.done("broker issue --dns a.example --directory b").await?;
    let installed = operator.read("b/root.pem")?;
    // A root of another kind, which no CA of this stack could have.
    let own = "req -x509 -newkey ed25519 -nodes -keyout own.key -out own.pem -subj /CN=own -days 9";
    let openssl = format!("cd {} && openssl {own}", operator.path(".").display());
    ensure!(tool::run("sh", ["-c", &openssl]).await?.status.success());
    let own = operator.read("own.pem")?;
    fs::write(operator.path("b/root.pem"), format!("# ours\n{own}\n# birthcert's\n{installed}"))?;
    operator.done(RENEW).await?;
    ensure!(operator.read("b/root.pem")? == format!("{own}{installed}"));
    setup.verifies().await?;

    let half = &installed[..installed.len() / 2];
    let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    for (damaged, word) in [
        ("", "no certificate"),
        (half, "not PEM"),
        (&format!("{installed}{half}"), "not PEM"),
        (&format!("{installed}{key}"), "PRIVATE KEY"),
        (own.as_str(), "is under the root"),
    ] {
        fs::write(operator.path("b/root.pem"), damaged)?;
        let code = if word == "is under the root" { 4 } else { 1 };
        operator.refused(RENEW, code, &["b/root.pem", word]).await?;
    }
    fs::remove_file(operator.path("b/root.pem"))?;
    operator.refused(RENEW, 1, &["restore b/root.pem", "cannot read"]).await?;
    fs::write(operator.path("b/root.pem"), &installed)?;
    operator.done(RENEW).await?;
    setup.stack.stop().await
}

async fn a_first_certificate_comes_under_the_pinned_root() -> anyhow::Result<()> {
    let setup = Setup::start().await?;
    let Setup { stack, root, .. } = &setup;
    let operator = Operator::of(stack)?;
    let other = setup.other().await?;
    fs::write(operator.path("other.pem"), other.root.certificate().pem())?;
    let issue = "broker issue --dns a.example --directory b";
    // An option counts instead of the variables.
    for option in
        ["--root-certificate other.pem".to_owned(), format!("--root-sha256 {}", other.sha256)]
    {
        let words = [&option[..option.find(' ').context("a value")?], root, &other.sha256];
        operator.refused(&format!("{issue} {option}"), 4, &words).await?;
    }
    setup.replace("server", Usage::Server, &other).await?;
    let signed = stack.signed_except_crls().await?;
    operator.refused(issue, 4, &["BIRTHCERT_ROOT_CERTIFICATE", root, &other.sha256]).await?;
    let operator = operator.without("BIRTHCERT_ROOT_CERTIFICATE");
    let operator = operator.with("BIRTHCERT_ROOT_SHA256", root);
    operator.refused(issue, 4, &["BIRTHCERT_ROOT_SHA256", root, &other.sha256]).await?;
    let wrong = format!("{issue} --root-sha256 none");
    operator.refused(&wrong, 2, &["64 hex digits"]).await?;
    ensure!(!operator.path("b").exists(), "a refusal left a directory");
    ensure!(stack.signed_except_crls().await? == signed, "something was signed");
    let listed = operator.run("ca list").await?;
    ensure!(listed.code() == Some(0) && listed.stderr().contains(&other.sha256));

    operator.done(&format!("{issue} --root-sha256 {root},{}", other.sha256)).await?;
    // Without a pin, the operator is told what was taken.
    let operator = operator.without("BIRTHCERT_ROOT_SHA256");
    let issued = operator.run("broker issue --dns a.example --directory c").await?;
    ensure!(issued.code() == Some(0), "{}", issued.stderr());
    for word in ["c/root.pem", &other.sha256, "BIRTHCERT_ROOT_SHA256", "CN=birthcert local root"] {
        ensure!(issued.stderr().contains(word), "no {word} in {}", issued.stderr());
    }
    setup.stack.stop().await
}

async fn a_device_ca_is_registered_under_the_pinned_root() -> anyhow::Result<()> {
    let setup = Setup::start().await?;
    let Setup { operator, root, .. } = &setup;
    let other = setup.other().await?;
    setup.replace("device", Usage::Device, &other).await?;
    let config = "broker config aws-iot --output-directory conf";
    operator.refused(config, 4, &["the CA device", root, &other.sha256]).await?;
    ensure!(!operator.path("conf").exists());
    let accepted = format!("{config} --root-sha256 {}", other.sha256);
    let ran = operator.run(&accepted).await?;
    ensure!(ran.code() == Some(0) && !ran.stderr().contains("no root is pinned"));
    setup.stack.stop().await
}

async fn a_successor_under_another_root_is_accepted_by_hand() -> anyhow::Result<()> {
    let setup = Setup::start().await?;
    let Setup { stack, operator, root, .. } = &setup;
    let other = setup.other().await?;
    operator.done("ca request --usage server --name server-2 --csr 2.csr --yes").await?;
    fs::write(operator.path("other-passphrase"), "a passphrase")?;
    let certify = "ca certify --usage server --name server-2 --root other-root --csr 2.csr \
                   --certificate 2.pem --passphrase-file other-passphrase --yes";
    operator.done(certify).await?;
    let prepare = format!(
        "ca prepare --usage server --certificate 2.pem --root-certificate other-root/root.pem \
         --crl-url {}/crl/server-2.crl --yes",
        stack.state.api_url
    );
    operator.refused(&prepare, 1, &[root, &other.sha256, "--accept-new-root"]).await?;
    let accept = format!("--accept-new-root {}", other.sha256);
    let pinned = ["BIRTHCERT_ROOT_CERTIFICATE", root, &other.sha256];
    operator.refused(&format!("{prepare} {accept}"), 4, &pinned).await?;

    // Both roots are pinned while one replaces the other.
    let both = Operator::of(stack)?.without("BIRTHCERT_ROOT_CERTIFICATE");
    let both = both.with("BIRTHCERT_ROOT_SHA256", format!("{root},{}", other.sha256));
    both.done("broker issue --dns a.example --directory b").await?;
    for file in ["2.pem", "other-root/root.pem"] {
        operator.copy_to(file, &both)?;
    }
    let prepare = prepare.replace("other-root/root.pem", "root.pem");
    both.done(&format!("{prepare} {accept}")).await?;
    // The stack's functions know only its own root, so they publish no CRL of this CA.
    let activate = "ca activate --name server-2 --without-crl --yes";
    both.refused(activate, 1, &[root, &other.sha256, "--accept-new-root"]).await?;
    both.done(&format!("{activate} {accept}")).await?;
    both.refused(RENEW, 4, &[root, &other.sha256]).await?;
    both.done(&format!("{RENEW} {accept}")).await?;
    let installed = both.read("b/root.pem")?;
    let old = fs::read_to_string(&stack.state.root_certificate)?;
    ensure!(installed == format!("{old}{}", other.root.certificate().pem()), "{installed}");
    setup.stack.stop().await
}
