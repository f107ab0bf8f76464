//! CAs that may not be recorded, activated or retired; the attempts change nothing.

use anyhow::{Context as _, ensure};
use birthcert_cli::ceremony;
use birthcert_cli::root::{KeyFilePassphrase, NewRoot, Root, RootKey, Subordinate};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::{Env, YEAR, subordinate};
use ledger::{OperatorError, store::PublishedCrl};
use pki::authority::AuthorityRecord;
use pki::clock::Timestamp;
use pki::csr::VerifiedCsr;
use pki::profile::Usage;

use super::setup::{expect, hand_in, prepared, start};

pub(super) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        cas_that_could_not_issue_are_refused,
        invalid_successors_are_refused,
        steps_that_a_status_does_not_allow_are_refused,
        a_switch_to_a_ca_without_a_crl,
    ]
}

const DAY: u64 = 24 * 60 * 60;
const AT_FIRST: [(&str, &str); 2] = [("device", "active"), ("server", "active")];

async fn cas_that_could_not_issue_are_refused(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let server = env.store.authority("server").await?.context("a CA")?;
    let good = env.certified("device-2", YEAR).await?;
    let now = Timestamp::now();
    let folder = env.scratch.path().join("old");
    // No CA is valid before its root.
    let key = RootKey::make_file(&folder, KeyFilePassphrase::Random("a passphrase"))?;
    let old_root = Root::create(&folder, key, &NewRoot::lasting("Test root"), now.minus(3 * DAY))?;
    let certified = async |name, usage, from, seconds| {
        subordinate(&env.config, &old_root, name, usage, from, seconds).await
    };
    let cases = [
        (
            AuthorityRecord { key_arn: server.key_arn.clone(), ..good.clone() },
            "its key is that of server",
        ),
        (
            AuthorityRecord {
                key_arn: env.certified("device-3", YEAR).await?.key_arn,
                ..good.clone()
            },
            "its KMS key does not match its certificate",
        ),
        (certified("device-2", Usage::Device, now.minus(2 * DAY), DAY).await?, "expired at"),
        (certified("device-2", Usage::Device, now.plus(DAY), YEAR).await?, "is not valid before"),
        (
            certified("device-2", Usage::Server, now, YEAR).await?,
            "its extKeyUsage is not that of a device CA",
        ),
        (certified("device-2", Usage::Device, now, YEAR).await?, "its root is not that of device"),
        (
            AuthorityRecord { root_pem: old_root.certificate().pem().to_owned(), ..good.clone() },
            "it was not issued by its root",
        ),
    ];
    for (record, words) in cases {
        let files = hand_in(&operator, &record)?;
        for more in ["", " --yes"] {
            let prepare = format!("ca prepare {files}{more}");
            operator.refused(&prepare, 1, &["CA device-2", words]).await.context(words)?;
        }
        // Nor by bypassing the command that records it.
        env.store.prepare_authority(&record).await?;
        let activate = "ca activate --name device-2 --yes";
        operator.refused(activate, 1, &["CA device-2", words]).await.context(words)?;
        forget(&env, "device-2").await?;
    }
    expect(&operator, &AT_FIRST).await
}

/// Removes a record, which the product never does.
async fn forget(env: &Env, name: &str) -> anyhow::Result<()> {
    let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
    let delete = env.config.aws.dynamodb()?.delete_item().table_name(&env.config.table_name);
    let delete = delete.key("PK", text("CA#device".into()));
    delete.key("SK", text(format!("NAME#{name}"))).send().await?;
    Ok(())
}

async fn invalid_successors_are_refused(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let first = env.store.authority("device").await?.context("a CA")?;

    // A new certificate for the old key.
    let renewed = env.certified("device", YEAR).await?;
    let files = hand_in(&operator, &renewed)?;
    let prepare = format!("ca prepare {files} --yes");
    operator.refused(&prepare, 1, &["device-2", "its key is that of device"]).await?;
    let under_the_same_name = format!("ca prepare {files} --name device --yes");
    let exists = "there is a CA named device, with another certificate, key or CRL already";
    operator.refused(&under_the_same_name, 4, &[exists]).await?;

    // Another key under the old subject.
    let second = env.certified("device-2", YEAR).await?;
    let kms = env.config.aws.kms()?;
    let key_arn = second.key_arn.clone();
    let csr = ceremony::request(&kms, key_arn, "any", None).await?.csr_pem;
    let csr = VerifiedCsr::from_pem(&csr).map_err(anyhow::Error::msg)?;
    let now = Timestamp::now();
    let namesake = Subordinate {
        common_name: "Test device CA",
        organization: None,
        usage: Usage::Device,
        not_after: now.plus(YEAR),
        root_crl_url: None,
    };
    let certificate_pem = env.root()?.certify(&csr, &namesake, now)?;
    let namesake = AuthorityRecord { certificate_pem, ..second };
    let prepare = format!("ca prepare {} --yes", hand_in(&operator, &namesake)?);
    operator.refused(&prepare, 1, &["its subject is that of device"]).await?;

    // Invalid names, and names for another usage.
    let files = hand_in(&operator, &first)?;
    for name in ["Device", "devices", "device-", "other"] {
        let prepare = format!("ca prepare {files} --name {name}");
        operator
            .refused(&prepare, 2, &["not a valid CA name: use device, server or service"])
            .await?;
    }
    let prepare = format!("ca prepare {files} --name server-2");
    operator.refused(&prepare, 2, &["not a valid name of a CA for --usage device"]).await?;
    expect(&operator, &AT_FIRST).await
}

async fn steps_that_a_status_does_not_allow_are_refused(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    for more in ["", " --yes"] {
        let retire = format!("ca retire device{more}");
        operator.refused(&retire, 4, &["device is active: activate another"]).await?;
        for command in ["ca retire device-7", "ca activate --name device-7", "ca show device-7"] {
            let more = if command.starts_with("ca show") { "" } else { more };
            let command = format!("{command}{more}");
            operator.refused(&command, 3, &["there is no CA named device-7"]).await?;
        }
    }
    // The write itself refuses, whatever was read before it.
    let retired = env.store.retire_authority(&"device".parse()?, Timestamp::now()).await;
    let error = retired.err().context("the active one was retired")?.to_string();
    ensure!(error == "the CA device is active", "{error}");
    let missing = env.store.retire_authority(&"device-7".parse()?, Timestamp::now()).await;
    ensure!(
        matches!(missing, Err(ledger::Error::Operator(OperatorError::Missing(_)))),
        "{missing:?}"
    );
    let (seventh, first) = ("device-7".parse()?, "device".parse()?);
    let activate = env.store.activate_authority(&seventh, Some(&first), Timestamp::now()).await;
    ensure!(
        matches!(activate, Err(ledger::Error::Operator(OperatorError::Missing(_)))),
        "{activate:?}"
    );

    // A certificate that is not recorded yet cannot be activated in one step.
    let second = env.certified("device-2", YEAR).await?;
    let activate = format!("ca activate {} --yes", hand_in(&operator, &second)?);
    operator.refused(&activate, 4, &["the CA device is active", "birthcert ca prepare"]).await?;
    expect(&operator, &AT_FIRST).await?;

    // There is nothing to do without a certificate or a name.
    for command in ["ca activate", "ca prepare", "ca prepare --name device-2"] {
        operator.refused(command, 2, &["--usage"]).await?;
    }
    operator.refused("ca activate --name device --key x", 2, &["--usage"]).await?;
    prepared(&env, &operator, "device-2").await.map(drop)
}

/// Brokers that require a CRL would refuse new devices.
async fn a_switch_to_a_ca_without_a_crl(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    prepared(&env, &operator, "device-2").await?;
    let asked = env.store.crl_requests().await?;
    ensure!(asked == [("device-2".to_owned(), 1)], "{asked:?}");
    // Without a publisher there is no CRL to wait for.
    let activate = "ca activate --name device-2";
    let rehearsed = operator.json(activate).await?;
    ensure!(
        !rehearsed["remarks"].to_string().contains("the CA device-2 has no valid CRL"),
        "{rehearsed}"
    );

    let now = Timestamp::now();
    let list =
        PublishedCrl { number: 1, at: now, next_update: now.plus(DAY), entries: 0, bytes: 1 };
    env.store.record_published_crl("device", &list).await?;
    let why = [
        "the CA device-2 has no valid CRL",
        "the active CA device has one",
        "crl publish --ca device-2",
        "--without-crl",
    ];
    for more in ["", " --yes"] {
        operator.refused(&format!("{activate}{more}"), 4, &why).await?;
    }
    let rehearsed = operator.done(&format!("{activate} --without-crl")).await?;
    ensure!(rehearsed.contains("Note: the CA device-2 has no valid CRL"), "{rehearsed}");
    expect(&operator, &[AT_FIRST[0], ("device-2", "prepared"), AT_FIRST[1]]).await?;
    operator.done(&format!("{activate} --without-crl --yes")).await?;
    // Back to a CA that has a CRL.
    operator.done("ca activate --name device --yes").await?;

    let past = PublishedCrl { next_update: now.minus(1), ..list };
    env.store.record_published_crl("device-2", &past).await?;
    operator.refused(activate, 4, &why).await?;
    env.store.record_published_crl("device-2", &PublishedCrl { number: 2, ..list }).await?;
    operator.done(&format!("{activate} --yes")).await?;

    // The completed part stays, and repeating the command asks the publisher again.
    env.dynamodb.fail("UpdateItem", Fault::Away);
    let late = ["the change is recorded", "within the hour", "birthcert crl publish"];
    operator.refused(&format!("{activate} --yes"), 1, &late).await?;
    env.dynamodb.mend();
    let asked = env.store.crl_requests().await?;
    operator.done(&format!("{activate} --yes")).await?;
    ensure!(env.store.crl_requests().await? != asked, "{asked:?}");
    Ok(())
}
