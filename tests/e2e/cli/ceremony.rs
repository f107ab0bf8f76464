//! `birthcert ca ceremony`, its transcripts, and recovery from an interruption.

use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::operator::{Operator, PASSPHRASE};
use birthcert_tests::process::tool;
use birthcert_tests::verifiers::openssl;
use serde_json::Value;

use super::subordinate::{CLIENTS, SERVERS, check_subordinate, other_request};

/// The example as it is in the repository.
const EXAMPLE: &str = include_str!("../../../infra/deploy/ceremony.yaml");
const HOLD: &str = "ca ceremony --input ceremony.yaml --passphrase-file passphrase --yes";
const REHEARSE: &str = "ca ceremony --input ceremony.yaml";

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        the_example_runs_unchanged,
        a_transcript_tells_all_but_secrets,
        an_interrupted_ceremony_goes_on,
        a_ceremony_finds_what_it_did_not_make,
        a_faulty_input_is_named_and_leaves_nothing,
        a_clock_that_cannot_be_right_is_pointed_out,
    ]
}

/// Returns an operator with an input and the two CSRs that it names.
async fn prepared(input: &str) -> anyhow::Result<Operator> {
    let operator = Operator::offline()?;
    fs::write(operator.path("ceremony.yaml"), input)?;
    for name in ["device", "server"] {
        other_request(&operator, name, "prime256v1").await?;
    }
    Ok(operator)
}

async fn the_example_runs_unchanged() -> anyhow::Result<()> {
    let operator = prepared(EXAMPLE).await?;
    let before = operator.files()?;
    let said = operator.done(REHEARSE).await?;
    for words in [
        "Dry run: nothing was created",
        "1. generate a key and write it, encrypted, to root/root-key.pem",
        "2. sign the root's certificate and write root/root.pem",
        "3. certify the key of device.csr and write device.pem",
        "4. certify the key of server.csr and write server.pem",
        "Certificate of CN=Example device CA,O=Example",
        "CRL                http://pki.example.com/crl/root.crl",
    ] {
        ensure!(said.contains(words), "no {words:?}: {said}");
    }
    ensure!(operator.files()? == before && !operator.path("root").exists(), "it wrote");

    let held = operator.json(HOLD).await?;
    ensure!(held["root"] == "root/root.pem", "{held}");
    ensure!(held["certificates"] == serde_json::json!(["device.pem", "server.pem"]), "{held}");
    let root = operator.read("root/root.pem")?;
    for (file, purpose) in [("device.pem", CLIENTS), ("server.pem", SERVERS)] {
        check_subordinate(&operator.read(file)?, &root, purpose).await?;
    }
    // The key, three certificates, and a transcript in two formats.
    ensure!(operator.files()?.len() == before.len() + 6, "{:?}", operator.files()?.len());

    let done = operator.files()?;
    let said = operator.done(HOLD).await?;
    ensure!(said.contains("Nothing to do: everything exists."), "{said}");
    ensure!(operator.files()? == done, "it did something again");
    Ok(())
}

async fn a_clock_that_cannot_be_right_is_pointed_out() -> anyhow::Result<()> {
    let operator = prepared(EXAMPLE).await?;
    for (offset, reason) in [
        ("-10y", "but this program was built 20"),
        ("+15y", "more than ten years before: check the date"),
        ("-3d", "but device.csr was written 20"),
    ] {
        let rehearsed = operator.run_at(offset, REHEARSE).await?.done()?;
        let named = rehearsed.contains("Note: the clock says 20") && rehearsed.contains(reason);
        ensure!(named, "{offset}: {rehearsed}");
    }
    let root = operator.run_at("+15y", "ca root --directory other").await?.done()?;
    ensure!(root.contains("more than ten years before"), "{root}");

    // Applied, it warns: the officer may have a reason.
    let held = operator.run_at("-3d", HOLD).await?;
    ensure!(held.code() == Some(0), "{}", held.stderr());
    for name in ["ceremony.yaml", "device.csr", "server.csr"] {
        let warning = format!("but {name} was written 20");
        ensure!(held.stderr().contains(&warning), "no {name}: {}", held.stderr());
    }
    // The root is not valid yet when the clock goes back further.
    let certify = "ca certify --usage device --csr device.csr --certificate again.pem --root root";
    let early = operator.run_at("-5d", certify).await?;
    ensure!(early.stdout().contains("but the root is not valid before 20"), "{}", early.stdout());
    let crl = operator.run_at("-5d", "ca root-crl --root root").await?;
    ensure!(crl.stdout().contains("but the root is not valid before 20"), "{}", crl.stdout());
    Ok(())
}

async fn a_transcript_tells_all_but_secrets() -> anyhow::Result<()> {
    let operator = prepared(EXAMPLE).await?;
    let held = operator.json(HOLD).await?;
    let path = held["transcript"].as_str().context("a path")?;
    ensure!(path.starts_with("root/transcript-20") && path.ends_with("Z.json"), "{path}");
    let json = operator.read(path)?;
    let text = operator.read(&path.replace(".json", ".txt"))?;
    for secret in [PASSPHRASE, "PRIVATE KEY"] {
        ensure!(!json.contains(secret) && !text.contains(secret), "{secret} is in it");
    }
    let transcript: Value = serde_json::from_str(&json)?;
    ensure!(transcript["outcome"] == "done" && transcript["command"] == "ca ceremony", "{json}");
    ensure!(transcript["present"] == serde_json::json!(["A. Officer", "W. Witness"]), "{json}");
    ensure!(transcript["steps"].as_array().map(Vec::len) == Some(4), "{json}");
    ensure!(transcript["started_at"].as_u64() <= transcript["ended_at"].as_u64(), "{json}");
    ensure!(transcript["started_at"].as_u64() > Some(1_700_000_000), "{json}");
    ensure!(transcript["machine"].as_str().is_some_and(|it| !it.is_empty()), "{json}");
    ensure!(transcript["user"].as_str().is_some_and(|it| it.contains("(uid ")), "{json}");

    // Every file by its hash, as coreutils and OpenSSL compute it.
    let mut sums = String::new();
    let mut named = Vec::new();
    for list in ["inputs", "outputs"] {
        for file in transcript[list].as_array().context("a list")? {
            let (path, sha256) = (file["path"].as_str(), file["sha256"].as_str());
            let (path, sha256) = (path.context("a path")?, sha256.context("a hash")?);
            ensure!(text.contains(&format!("{sha256}  {path}")), "not in the text: {path}");
            sums += &format!("{sha256}  {}\n", operator.path(path).display());
            named.push(path.to_owned());
        }
    }
    let expected = ["ceremony.yaml", "device.csr", "server.csr", "root/root-key.pem"];
    let expected = expected.into_iter().chain(["root/root.pem", "device.pem", "server.pem"]);
    ensure!(named == expected.collect::<Vec<_>>(), "{named:?}");
    let sums = tool::file(&sums)?;
    let sums = sums.path().to_str().context("UTF-8")?;
    let checked = tool::run("sha256sum", ["--check", "--strict", sums]).await?;
    ensure!(checked.status.success(), "{}", checked.output);

    let certificates = transcript["certificates"].as_array().context("a list")?;
    for (made, file) in certificates.iter().zip(["root/root.pem", "device.pem", "server.pem"]) {
        let pem = operator.path(file);
        let pem = pem.to_str().context("UTF-8")?;
        let args = ["x509", "-noout", "-serial", "-fingerprint", "-sha256", "-in", pem];
        let seen = tool::run("openssl", args).await?.output.replace(':', "").to_lowercase();
        for field in ["serial_number", "sha256"] {
            let value = made[field].as_str().context("text")?;
            ensure!(seen.contains(&format!("={value}")), "{file}: {field} {value}: {seen}");
        }
        ensure!(text.contains(made["key_sha256"].as_str().context("text")?), "{text}");
    }

    // A separate command has a transcript of its own, which continues the first.
    other_request(&operator, "third", "prime256v1").await?;
    let certify = "ca certify --usage service --csr third.csr --root root --certificate third.pem \
                   --passphrase-file passphrase --yes";
    let certified = operator.json(certify).await?;
    let second = certified["transcript"].as_str().context("a path")?;
    ensure!(second != path && operator.read(path)? == json, "the first was touched");
    ensure!(operator.read(second)?.contains("third.pem"));
    Ok(())
}

async fn an_interrupted_ceremony_goes_on() -> anyhow::Result<()> {
    // Interrupted between the two subordinates: the second one's folder does not exist.
    let input = EXAMPLE.replace("certificate: server.pem", "certificate: out/server.pem");
    let operator = prepared(&input).await?;
    operator.run(HOLD).await?.refused(1, &["cannot create out/server.pem"])?;
    let transcripts = || {
        let names = fs::read_dir(operator.path("root"))?
            .filter_map(|it| it.ok()?.file_name().into_string().ok());
        let names = names.filter(|it| it.starts_with("transcript-") && it.ends_with(".json"));
        anyhow::Ok(names.map(|it| format!("root/{it}")).collect::<Vec<_>>())
    };
    let failed = operator.read(&transcripts()?[0])?;
    ensure!(failed.contains("failed: cannot create out/server.pem"), "{failed}");
    ensure!(failed.contains("device.pem"), "what was done is not told: {failed}");
    let kept: Vec<_> = ["root/root.pem", "root/root-key.pem", "device.pem"]
        .into_iter()
        .map(|file| Ok((file, operator.read(file)?)))
        .collect::<anyhow::Result<_>>()?;

    fs::create_dir(operator.path("out"))?;
    let said = operator.done(REHEARSE).await?;
    ensure!(said.contains("1. open the existing root root/root.pem"), "{said}");
    ensure!(said.contains("2. certify the key of server.csr"), "{said}");
    ensure!(!said.contains("device.pem"), "it would certify anew: {said}");
    let held = operator.json(HOLD).await?;
    for (file, contents) in kept {
        ensure!(operator.read(file)? == contents, "{file} was changed");
    }
    let root = operator.read("root/root.pem")?;
    check_subordinate(&operator.read("out/server.pem")?, &root, SERVERS).await?;
    ensure!(transcripts()?.len() == 2, "{:?}", transcripts()?);
    ensure!(operator.read(held["transcript"].as_str().context("a path")?)?.contains("\"done\""));

    // Interrupted between the root's key and its certificate.
    let operator = prepared(EXAMPLE).await?;
    operator.create_root().await?;
    let key = operator.read("root/root-key.pem")?;
    fs::remove_file(operator.path("root/root.pem"))?;
    let said = operator.done(REHEARSE).await?;
    ensure!(said.contains("use the existing key root/root-key.pem"), "{said}");
    fs::write(operator.path("wrong"), "not the passphrase\n")?;
    let wrong = HOLD.replace("passphrase-file passphrase", "passphrase-file wrong");
    operator.refused(&wrong, 1, &["the passphrase is wrong"]).await?;
    operator.done(HOLD).await?;
    ensure!(operator.read("root/root-key.pem")? == key, "another key was made");
    let root = operator.read("root/root.pem")?;
    check_subordinate(&operator.read("device.pem")?, &root, CLIENTS).await?;
    let text = openssl::text(&root).await?;
    ensure!(text.contains("Subject: O = Example, CN = Example root"), "{text}");
    Ok(())
}

async fn a_ceremony_finds_what_it_did_not_make() -> anyhow::Result<()> {
    let operator = prepared(EXAMPLE).await?;
    operator.create_root().await?;
    for line in [HOLD, REHEARSE] {
        operator.refused(line, 1, &["root/root.pem exists, but its subject is"]).await?;
    }
    let operator = prepared(EXAMPLE).await?;
    operator.done(HOLD).await?;
    // A certificate of another root, then one for another key.
    let stranger = prepared(EXAMPLE).await?;
    stranger.done(HOLD).await?;
    let device = operator.read("device.pem")?;
    stranger.copy_to("device.pem", &operator)?;
    operator.refused(HOLD, 1, &["device.pem exists, but another root signed it"]).await?;
    fs::write(operator.path("device.pem"), &device)?;
    stranger.copy_to("device.csr", &operator)?;
    operator.refused(HOLD, 1, &["device.pem exists, but its name, key or usage differs"]).await?;
    // For another usage than the input asks for now.
    let operator = prepared(EXAMPLE).await?;
    operator.done(HOLD).await?;
    fs::write(operator.path("ceremony.yaml"), EXAMPLE.replace("usage: server", "usage: service"))?;
    operator.refused(HOLD, 1, &["server.pem exists, but its name, key or usage differs"]).await?;
    // With a life that the input does not ask for.
    let limited = EXAMPLE.replace("  # valid_years: 100", "  valid_years: 100");
    fs::write(operator.path("ceremony.yaml"), limited)?;
    operator.refused(HOLD, 1, &["root/root.pem exists, but is valid until 9999"]).await?;
    // A certificate without its root.
    let operator = prepared(EXAMPLE).await?;
    fs::write(operator.path("server.pem"), &device)?;
    operator.refused(HOLD, 4, &["server.pem already exists and is never overwritten"]).await
}

async fn a_faulty_input_is_named_and_leaves_nothing() -> anyhow::Result<()> {
    let operator = prepared(EXAMPLE).await?;
    let third = "\n  - usage: service\n    common_name: Third\n    valid_years: 1\n";
    let with = |more: &str| format!("{}{third}{more}", EXAMPLE.trim_end());
    for (from, to, words) in [
        ("  common_name: Example root", "  comon_name: Example root", "unknown field `comon_name`"),
        ("directory: root\n", "", "missing field `directory`"),
        ("  key: file\n", "", "missing field `key`"),
        ("key: file", "key: floppy", "unknown variant `floppy`, expected `file` or `pkcs11`"),
        ("key: file", "key: {pkcs11: {module: x, pin: 1234}}", "unknown field `pin`"),
        ("key: file", "key: file\npassphrase: x", "unknown field `passphrase`"),
        ("usage: server", "usage: mail", "unknown variant `mail`"),
        ("valid_years: 60", "valid_years: 0", "between 0.01 and 1000"),
        ("valid_years: 60", "valid_years: .nan", "between 0.01 and 1000"),
        ("valid_years: 60", "valid_years: long", "subordinates[0].valid_years"),
        ("http://pki.example.com", "pki.example.com", "http:// or https://"),
        ("# valid_years: 100", "valid_years: 40", "would outlive its root"),
        ("Example device CA", "\"\"", "1 to 64 characters"),
        (
            "common_name: Example device CA",
            "common_name: Example root",
            "must not have the name of its root",
        ),
        ("csr: server.csr", "csr: device.csr", "two subordinates have the same key"),
        ("csr: server.csr", "csr: absent.csr", "cannot read absent.csr"),
        ("csr: server.csr", "csr: ceremony.yaml", "ceremony.yaml: the CSR is not PEM"),
        (
            "certificate: server.pem",
            "certificate: device.pem",
            "two subordinates have the same certificate file device.pem",
        ),
        ("directory: root", "directory: root\ndirectory: other", "duplicate"),
        ("directory: root", "- directory", "ceremony.yaml"),
    ] {
        ensure!(EXAMPLE.contains(from), "the example has no {from:?}");
        fs::write(operator.path("ceremony.yaml"), EXAMPLE.replace(from, to))?;
        for line in [HOLD, REHEARSE] {
            operator.refused(line, 1, &[words]).await.with_context(|| to.to_owned())?;
        }
    }
    fs::write(operator.path("ceremony.yaml"), with(""))?;
    operator.refused(REHEARSE, 1, &["subordinates[2]", "missing field `csr`"]).await?;
    fs::write(operator.path("ceremony.yaml"), "")?;
    operator.refused(REHEARSE, 1, &["ceremony.yaml"]).await?;
    operator.refused("ca ceremony --input absent.yaml", 1, &["cannot read absent.yaml"]).await?;
    operator.refused("ca ceremony", 2, &["--input"]).await?;
    ensure!(!operator.path("root").exists());
    Ok(())
}
