//! A root whose key is in a PKCS#11 token.

use std::fs;

use anyhow::ensure;
use birthcert_tests::operator::Operator;
use birthcert_tests::pki::softhsm::{PIN, SoftHsm};
use birthcert_tests::verifiers::{openssl, pkilint};

use super::subordinate::{CLIENTS, check_subordinate, other_request};

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_root_whose_key_cannot_leave_its_token,
        a_ceremony_with_a_token,
        a_token_that_does_not_open,
        a_key_that_is_in_the_token_already,
    ]
}

/// Returns an operator with a token "Vault", and the arguments that name a key in it.
async fn start() -> anyhow::Result<(SoftHsm, Operator, String)> {
    let hsm = SoftHsm::new()?;
    hsm.token("Vault").await?;
    let operator = hsm.with(Operator::offline()?)?;
    fs::write(operator.path("pin"), format!("{PIN}\n"))?;
    let module = SoftHsm::module()?;
    let place =
        format!("--pkcs11-module {} --token-label Vault --key-label root", module.display());
    Ok((hsm, operator, place))
}

async fn a_root_whose_key_cannot_leave_its_token() -> anyhow::Result<()> {
    let (hsm, operator, place) = start().await?;
    let make = format!("ca root --directory root {place}");
    let before = operator.files()?;
    // A dry run needs no PIN.
    let said = operator.done(&make).await?;
    let step =
        "generate the key \"root\" in the PKCS#11 token \"Vault\", which cannot leave the token";
    ensure!(said.contains(step), "{said}");
    ensure!(operator.files()? == before && !operator.path("root").exists(), "it wrote");
    ensure!(!hsm.objects("Vault").await?.contains("Key Object"), "a dry run made a key");

    let made = operator.json(&format!("{make} --pin-file pin --yes")).await?;
    ensure!(made["key"] == "\"root\" in the PKCS#11 token \"Vault\"", "{made}");
    ensure!(!operator.path("root/root-key.pem").exists(), "there is a file with the key");
    let objects = hsm.objects("Vault").await?;
    let access = "sensitive, always sensitive, never extractable, local";
    ensure!(objects.contains(access), "{objects}");
    ensure!(objects.matches("Private Key Object").count() == 1, "{objects}");
    let root = operator.read("root/root.pem")?;
    pkilint::lint(&root).await?;
    let transcript = operator.read(made["transcript"].as_str().unwrap_or_default())?;
    ensure!(!transcript.contains(PIN), "the PIN is in the transcript");

    other_request(&operator, "device", "prime256v1").await?;
    let certify = format!(
        "ca certify --usage device --csr device.csr --certificate device.pem --root root {place}"
    );
    operator.done(&certify).await?;
    ensure!(!operator.path("device.pem").exists(), "a dry run certified");
    // The PIN comes from the environment.
    let operator = operator.with("BIRTHCERT_ROOT_PIN", PIN);
    operator.done(&format!("{certify} --yes")).await?;
    check_subordinate(&operator.read("device.pem")?, &root, CLIENTS).await
}

async fn a_ceremony_with_a_token() -> anyhow::Result<()> {
    let (hsm, operator, _) = start().await?;
    let module = SoftHsm::module()?;
    // Proves what the example's own comment says.
    let example = include_str!("../../../infra/deploy/ceremony.yaml");
    let commented = "  # key:\n  #   pkcs11:\n  #     module: /usr/lib/softhsm/libsofthsm2.so\n  \
                     #     token_label: Example\n  #     key_label: Example root\n";
    ensure!(example.contains(commented), "the example shows no token");
    let shown = commented.replace("  # ", "  ").replace("  #", "  ");
    let shown = shown.replace("/usr/lib/softhsm/libsofthsm2.so", &module.to_string_lossy());
    let input = example.replace("  key: file\n", "").replace(commented, &shown);
    fs::write(operator.path("ceremony.yaml"), input)?;
    hsm.token("Example").await?;
    for name in ["device", "server"] {
        other_request(&operator, name, "prime256v1").await?;
    }
    let hold = "ca ceremony --input ceremony.yaml --pin-file pin --yes";
    operator.done(hold).await?;
    let objects = hsm.objects("Example").await?;
    ensure!(objects.contains("label:      Example root"), "{objects}");
    let root = operator.read("root/root.pem")?;
    check_subordinate(&operator.read("device.pem")?, &root, CLIENTS).await?;

    // Continues with the key in the token, if told to.
    for file in ["root/root.pem", "device.pem", "server.pem"] {
        fs::remove_file(operator.path(file))?;
    }
    operator.refused(hold, 4, &["already", "--existing-key"]).await?;
    operator.done(&format!("{hold} --existing-key")).await?;
    let again = operator.read("root/root.pem")?;
    ensure!(openssl::text(&again).await?.contains("CN = Example root"));
    // Once the root exists, that permission is no longer needed.
    fs::remove_file(operator.path("device.pem"))?;
    operator.done(hold).await?;
    check_subordinate(&operator.read("device.pem")?, &again, CLIENTS).await
}

async fn a_token_that_does_not_open() -> anyhow::Result<()> {
    let (hsm, operator, place) = start().await?;
    let make = format!("ca root --directory root {place} --yes");
    fs::write(operator.path("wrong"), "0000000\n")?;
    operator.refused(&format!("{make} --pin-file wrong"), 1, &["the PIN is wrong"]).await?;
    operator.refused(&make, 1, &["no PIN", "--pin-file", "BIRTHCERT_ROOT_PIN"]).await?;
    operator.refused(&format!("{make} --pin-file absent"), 1, &["cannot read absent"]).await?;
    let other = make.replace("--token-label Vault", "--token-label Other");
    operator.refused(&other, 1, &["no token labelled \"Other\""]).await?;
    let module = SoftHsm::module()?;
    let module = module.to_string_lossy();
    for (file, words) in [("absent.so", "absent.so"), ("pin", "pin")] {
        let other = make.replace(&*module, file);
        operator.refused(&other, 1, &["cannot load the PKCS#11 module", words]).await?;
    }
    let half = format!("ca root --directory root --pkcs11-module {module} --yes");
    operator.refused(&half, 2, &["--token-label"]).await?;
    operator
        .refused("ca root --directory root --token-label Vault", 2, &["--pkcs11-module"])
        .await?;
    ensure!(!operator.path("root").exists());
    ensure!(!hsm.objects("Vault").await?.contains("Key Object"), "a key was made");

    // Two tokens with one name: the tool does not guess.
    hsm.token("Vault").await?;
    operator.refused(&format!("{make} --pin-file pin"), 1, &["2 tokens labelled"]).await
}

async fn a_key_that_is_in_the_token_already() -> anyhow::Result<()> {
    let (hsm, operator, place) = start().await?;
    let make = |directory: &str, more: &str| {
        format!("ca root --directory {directory} {place} --pin-file pin {more}")
    };
    operator.refused(&make("root", "--existing-key"), 3, &["there is no key \"root\""]).await?;
    operator.done(&make("root", "--yes")).await?;
    let objects = hsm.objects("Vault").await?;
    // Another root would share the key.
    let key = "the key \"root\" in the PKCS#11 token \"Vault\"";
    for line in [make("other", ""), make("other", "--yes")] {
        operator.refused(&line, 4, &[&format!("{key} already exists"), "--existing-key"]).await?;
    }
    operator
        .refused(&make("root", "--existing-key --yes"), 4, &["root.pem already exists"])
        .await?;

    // Interrupted between key and certificate.
    fs::remove_file(operator.path("root/root.pem"))?;
    let said = operator.done(&make("root", "--existing-key")).await?;
    ensure!(
        said.contains("use the existing key \"root\"") && said.contains("key, SHA-256"),
        "{said}"
    );
    operator.done(&make("root", "--existing-key --yes")).await?;
    ensure!(hsm.objects("Vault").await? == objects, "the token was changed");

    // A key that could leave the token is refused for a root.
    hsm.extractable_key("Vault", "loose").await?;
    let loose = make("loose", "--existing-key --yes").replace("key-label root", "key-label loose");
    operator.refused(&loose, 1, &["the key is extractable from the token"]).await?;

    // Not the key of this root.
    let second = make("second", "--yes").replace("key-label root", "key-label second");
    operator.done(&second).await?;
    other_request(&operator, "device", "prime256v1").await?;
    let mixed = format!(
        "ca certify --usage device --csr device.csr --certificate device.pem --root second {place} \
         --pin-file pin --yes"
    );
    let words = ["the root's key does not match the certificate second/root.pem"];
    operator.refused(&mixed, 1, &words).await
}
