//! An external root: our CSR goes out; its certificate comes back with the CAs above it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use birthcert_tests::brokers::mosquitto::Mosquitto;
use birthcert_tests::mqtt::mosquitto_clients::{MosquittoClient, Outcome};
use birthcert_tests::operator::Operator;
use birthcert_tests::pki::corporate_ca::{CA, CorporateCa, KeyType, RSA_4096, SUBORDINATE};
use birthcert_tests::stack::Stack;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use pki::authority::{CaCertificate, ChainCertificate};
use tempfile::TempDir;

use super::setup::{TABLE, fleet, start_with_table};
use super::subordinate::identity_from;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        roots_of_every_kind_of_key,
        a_ca_between_the_root_and_ours,
        what_no_verifier_would_follow_is_refused,
        an_invalid_chain_is_refused,
    ]
}

const P384: KeyType = KeyType {
    key: &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    signature: &["-sha384"],
};
const P521: KeyType = KeyType {
    key: &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    signature: &["-sha512"],
};
const P256: KeyType = KeyType {
    key: &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    signature: &["-sha256"],
};
const RSA_2048: KeyType = KeyType {
    key: &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    signature: &["-sha256"],
};
const YEARS: u32 = 365 * 15;
const ACTIVATE: &str = "ca activate --usage device --certificate device.pem \
                        --root-certificate root.pem";

/// PSS with a salt as long as the hash.
macro_rules! pss {
    ($hash:literal, $salt:literal) => {
        &[$hash, "-sigopt", "rsa_padding_mode:pss", "-sigopt", concat!("rsa_pss_saltlen:", $salt)]
    };
}

/// Returns an operator with a CSR, and the stack that it is for.
async fn requested() -> anyhow::Result<(TempDir, Stack, Operator, String)> {
    let (scratch, stack, operator) = start_with_table().await?;
    operator.done("ca request --usage device --csr device.csr --yes").await?;
    let csr = operator.read("device.csr")?;
    Ok((scratch, stack, operator, csr))
}

async fn roots_of_every_kind_of_key() -> anyhow::Result<()> {
    let (_scratch, stack, operator, csr) = requested().await?;
    let rsa = |signature| KeyType { signature, ..RSA_2048 };
    let rsa_3072 = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];
    let kinds = [
        ("RSA 2048", rsa(&["-sha256"])),
        ("RSA 2048", rsa(&["-sha384"])),
        ("RSA 2048", rsa(&["-sha512"])),
        ("RSA 2048", rsa(pss!("-sha256", "32"))),
        ("RSA 3072", KeyType { key: rsa_3072, signature: pss!("-sha384", "48") }),
        ("RSA 4096", KeyType { signature: pss!("-sha512", "64"), ..RSA_4096 }),
        ("RSA 4096", RSA_4096),
        ("ECDSA P-256", P256),
        ("ECDSA P-256", KeyType { signature: &["-sha384"], ..P256 }),
        ("ECDSA P-384", P384),
        ("ECDSA P-384", KeyType { signature: &["-sha512"], ..P384 }),
        ("ECDSA P-521", P521),
        ("ECDSA P-521", KeyType { signature: &["-sha384"], ..P521 }),
        ("ECDSA P-521", KeyType { signature: &["-sha256"], ..P521 }),
    ];
    for (key, kind) in kinds {
        let root = CorporateCa::root("Corporate root", kind, CA).await?;
        let pem = root.certify(&csr, YEARS, SUBORDINATE).await?;
        fs::write(operator.path("device.pem"), &pem)?;
        fs::write(operator.path("root.pem"), root.pem()?)?;
        let plan = operator.json(ACTIVATE).await.with_context(|| format!("{kind:?}"))?;
        ensure!(plan["certificates"][1]["key"] == key, "{kind:?}: {plan}");
        // One bit of the signature is changed.
        let tampered = openssl::with_another_signature(&pem)?;
        fs::write(operator.path("device.pem"), tampered)?;
        operator.refused(ACTIVATE, 1, &["it was not issued by its root"]).await?;
    }
    ensure!(stack.store(TABLE)?.authority("device").await?.is_none(), "a dry run put it to use");
    stack.stop().await
}

async fn a_ca_between_the_root_and_ours() -> anyhow::Result<()> {
    let (_scratch, stack, operator, csr) = requested().await?;
    let root = CorporateCa::root("Corporate root", RSA_4096, CA).await?;
    let one = root.below("Corporate CA 1", P384, 40 * 365, CA).await?;
    let limited = CA.replace("CA:TRUE", "CA:TRUE, pathlen:1");
    let two = one.below("Corporate CA 2", RSA_2048, 40 * 365, &limited).await?;
    let subordinate = two.certify(&csr, 35 * 365, SUBORDINATE).await?;
    fs::write(operator.path("device.pem"), &subordinate)?;
    fs::write(operator.path("root.pem"), root.pem()?)?;
    // In the usual form of such files: from the root on, with text in between, and including the
    // CA's own certificate.
    let bundle = format!(
        "subject=Corporate root\n{}\nsubject=1\n{}subject=2\r\n{}{subordinate}",
        root.pem()?,
        one.pem()?,
        two.pem()?.replace('\n', "\r\n")
    );
    fs::write(operator.path("chain.pem"), bundle)?;
    let activate = format!("{ACTIVATE} --chain chain.pem");
    operator.refused(ACTIVATE, 1, &["it was not issued by its root"]).await?;
    let plan = operator.json(&activate).await?;
    let subjects: Vec<_> = plan["certificates"].as_array().context("a list")?.iter().collect();
    let subjects: Vec<_> = subjects.iter().filter_map(|it| it["subject"].as_str()).collect();
    let names = ["Corporate CA 2", "Corporate CA 1", "Corporate root"];
    ensure!(subjects.len() == 4, "{subjects:?}");
    for (subject, name) in subjects[1..].iter().zip(names) {
        ensure!(subject.contains(name), "{subjects:?}");
    }
    ensure!(plan["remarks"] == serde_json::json!([]), "{plan}");
    operator.done(&format!("{activate} --yes")).await?;

    let (_, token) = fleet(&operator).await?;
    let identity = identity_from(&stack, &token).await?;
    let between = format!("{}{}", two.pem()?, one.pem()?);
    let leaf = &identity.device_certificate_pem;
    let chain = format!("{leaf}{subordinate}{between}");
    ensure!(identity.certificate_chain_pem == chain, "{}", identity.certificate_chain_pem);
    ensure!(identity.ca_certificate_pem == root.pem()?);
    let above = format!("{subordinate}{between}");
    let verdict = openssl::verify(leaf, &above, &root.pem()?, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");

    // The same for servers, with a broker that trusts only the corporate root.
    operator.done("ca request --usage server --csr server.csr --yes").await?;
    let server = SUBORDINATE.replace("clientAuth", "serverAuth");
    let server = two.certify(&operator.read("server.csr")?, YEARS, &server).await?;
    fs::write(operator.path("server.pem"), server)?;
    let activate = "ca activate --usage server --certificate server.pem --chain chain.pem \
                    --root-certificate root.pem --yes";
    // The bundle also contains the other subordinate's certificate, which is not above this one.
    operator.refused(activate, 1, &["chain.pem: ", "is not between the CA and its root"]).await?;
    fs::write(operator.path("chain.pem"), &between)?;
    operator.done(activate).await?;
    let issue = "broker issue --ip 127.0.0.1 --directory broker --root-certificate root.pem";
    operator.done(issue).await?;
    let sent = operator.read("broker/broker-chain.pem")?;
    ensure!(sent.matches("BEGIN").count() == 4 && sent.ends_with(&between), "{sent}");
    let folder = TempDir::new()?;
    for file in ["broker-chain.pem", "broker-key.pem", "root.pem"] {
        fs::copy(operator.path(&format!("broker/{file}")), folder.path().join(file))?;
    }
    let mosquitto = Mosquitto::start(folder.path()).await?;
    let files = (operator.path("chain"), operator.path("key"));
    fs::write(&files.0, chain)?;
    fs::write(&files.1, &identity.device_private_key_pem)?;
    let cafile = operator.path("root.pem");
    let port = mosquitto.port();
    let client = MosquittoClient { port, cafile, identity: Some(files) };
    let topic = format!("devices/{}/telemetry", identity.device_id);
    ensure!(client.publish(&topic, "21.5").await? == Outcome::Published);
    let seen = client.subscribe_one(&topic, Duration::from_secs(2)).await?;
    ensure!(seen == Outcome::Received("21.5".into()), "{seen:?}");
    stack.stop().await
}

async fn what_no_verifier_would_follow_is_refused() -> anyhow::Result<()> {
    let (_scratch, stack, operator, csr) = requested().await?;
    let refuse = async |root: &str, between: &str, device: &str, words: &str| {
        for (file, pem) in [("root.pem", root), ("chain.pem", between), ("device.pem", device)] {
            fs::write(operator.path(file), pem)?;
        }
        let chain = if between.is_empty() { "" } else { "--chain chain.pem" };
        let faulty = format!("{ACTIVATE} {chain} --yes");
        operator.refused(&faulty, 1, &[words]).await.with_context(|| words.to_owned())
    };
    // Signatures and keys that are weak or unknown.
    let sha1 = KeyType { signature: &["-sha1"], ..RSA_2048 };
    let long_salt = KeyType { signature: pss!("-sha256", "64"), ..RSA_2048 };
    for kind in [sha1, long_salt] {
        let root = CorporateCa::root("Root", kind, CA).await?;
        let device = root.certify(&csr, YEARS, SUBORDINATE).await?;
        refuse(&root.pem()?, "", &device, "the root has an unsupported signature algorithm")
            .await?;
    }
    let weak =
        KeyType { key: &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], ..RSA_2048 };
    let edwards = KeyType { key: &["-algorithm", "ED25519"], signature: &[] };
    for (kind, words) in
        [(weak, "2048 to 4096 bits"), (edwards, "kind of its key is not supported")]
    {
        let root = CorporateCa::root("Root", kind, CA).await?;
        let device = root.certify(&csr, YEARS, SUBORDINATE).await?;
        refuse(&root.pem()?, "", &device, words).await?;
    }

    // Extensions of the subordinate itself.
    let root = CorporateCa::root("Root", RSA_2048, CA).await?;
    for (from, to, words) in [
        ("CA:TRUE, pathlen:0", "CA:FALSE", "not a CA certificate"),
        ("critical, CA:TRUE", "CA:TRUE", "not a CA certificate"),
        ("keyCertSign, cRLSign", "keyCertSign", "keyUsage lacks"),
        ("keyCertSign, cRLSign", "digitalSignature", "keyUsage lacks"),
        ("clientAuth", "clientAuth, serverAuth", "its extKeyUsage is not that of a device CA"),
        ("extendedKeyUsage = clientAuth\n", "", "its extKeyUsage is not that of a device CA"),
        ("subjectKeyIdentifier = hash", "subjectKeyIdentifier = none", "no subjectKeyIdentifier"),
        ("extendedKeyUsage", "1.2.3.4 = critical, DER:0500\nextendedKeyUsage", "1.2.3.4"),
        (
            "extendedKeyUsage",
            "nameConstraints = critical, permitted;DNS:example.com\nextendedKeyUsage",
            "nameConstraints",
        ),
    ] {
        ensure!(SUBORDINATE.contains(from), "{from}");
        let device = root.certify(&csr, YEARS, &SUBORDINATE.replace(from, to)).await?;
        refuse(&root.pem()?, "", &device, words).await?;
    }
    let expired = root.certify(&csr, 0, SUBORDINATE).await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    refuse(&root.pem()?, "", &expired, "expired").await?;

    // Extensions of the CAs above it.
    let purposes = format!("{CA}extendedKeyUsage = serverAuth\n");
    let names = format!("{CA}nameConstraints = critical, permitted;DNS:example.com\n");
    let policies = format!("{CA}policyConstraints = critical, requireExplicitPolicy:0\n");
    let leaf = CA.replace("CA:TRUE", "CA:FALSE");
    for (extensions, words) in [
        (CA.replace("CA:TRUE", "CA:TRUE, pathlen:0"), "pathLenConstraint is 0"),
        (purposes, "has purposes that its issuer's lacks"),
        (names, "nameConstraints"),
        (policies, "2.5.29.36"),
        (leaf, "not a CA certificate"),
    ] {
        let between = root.below("Between", P384, YEARS, &extensions).await?;
        let device = between.certify(&csr, YEARS - 1, SUBORDINATE).await?;
        refuse(&root.pem()?, &between.pem()?, &device, words).await?;
    }
    let short = CA.replace("CA:TRUE", "CA:TRUE, pathlen:1");
    let strict = CorporateCa::root("Root", RSA_2048, &short).await?;
    let between = strict.below("Between", P384, YEARS, CA).await?;
    let device = between.certify(&csr, YEARS - 1, SUBORDINATE).await?;
    let words = "allows fewer CAs below itself than 2: pathLenConstraint is 1";
    refuse(&strict.pem()?, &between.pem()?, &device, words).await?;
    ensure!(stack.store(TABLE)?.authority("device").await?.is_none(), "one was activated");

    // Accepted with a warning: a CA that may have CAs below it, has no CRL, and expires early.
    let between = root.below("Between", P384, 365, CA).await?;
    let loose = SUBORDINATE.replace(", pathlen:0", "");
    let loose =
        loose.replace("crlDistributionPoints = URI:http://pki.example.com/corporate.crl\n", "");
    fs::write(operator.path("root.pem"), root.pem()?)?;
    fs::write(operator.path("chain.pem"), between.pem()?)?;
    let subordinate = between.certify(&csr, YEARS, &loose).await?;
    fs::write(operator.path("device.pem"), &subordinate)?;
    let activate = format!("{ACTIVATE} --chain chain.pem");
    let said = operator.done(&activate).await?;
    for words in ["Note: ", "expires first", "days left", "CAs below itself", "no CRL"] {
        ensure!(said.contains(words), "no {words:?}: {said}");
    }
    // No leaf outlives any of them: the policy asks for thirty years.
    operator.done(&format!("{activate} --yes")).await?;
    let (_, token) = fleet(&operator).await?;
    let leaf = identity_from(&stack, &token).await?;
    let above = CaCertificate::from_pem(&subordinate).map_err(anyhow::Error::msg)?.not_after();
    let first =
        ChainCertificate::from_pem(&between.pem()?).map_err(anyhow::Error::msg)?.not_after();
    ensure!(first < above && leaf.not_after == first.to_string(), "{}", leaf.not_after);
    stack.stop().await
}

async fn an_invalid_chain_is_refused() -> anyhow::Result<()> {
    let (_scratch, stack, operator, csr) = requested().await?;
    let root = CorporateCa::root("Root", RSA_2048, CA).await?;
    let one = root.below("One", P384, YEARS, CA).await?;
    let two = one.below("Two", P256, YEARS, CA).await?;
    // With the same name as the intermediate, but another key.
    let other = root.below("Two", P256, YEARS, CA).await?;
    let device = two.certify(&csr, YEARS - 1, SUBORDINATE).await?;
    fs::write(operator.path("root.pem"), root.pem()?)?;
    fs::write(operator.path("device.pem"), device)?;
    let activate = format!("{ACTIVATE} --chain chain.pem --yes");
    for (chain, words) in [
        (String::new(), "neither the root nor in the bundle"),
        (two.pem()?, "CN=Two,O=Corporation was issued by CN=One,O=Corporation"),
        (one.pem()?, "was issued by CN=Two,O=Corporation"),
        (format!("{}{}", one.pem()?, other.pem()?), "was issued by CN=Two"),
        (
            format!("{}{}{}", one.pem()?, two.pem()?, other.pem()?),
            "is not between the CA and its root",
        ),
        (
            format!("{}{csr}", two.pem()?),
            "certificate 2 in the bundle: the PEM label is CERTIFICATE REQUEST",
        ),
        (two.pem()?.replace("END", "FIN"), "certificate 1 in the bundle: not PEM"),
    ] {
        fs::write(operator.path("chain.pem"), chain)?;
        operator.refused(&activate, 1, &["chain.pem: ", words]).await?;
    }
    operator.refused(&activate.replace("chain.pem", "absent"), 1, &["cannot read absent"]).await?;
    ensure!(stack.store(TABLE)?.authority("device").await?.is_none(), "one was activated");
    stack.stop().await
}
