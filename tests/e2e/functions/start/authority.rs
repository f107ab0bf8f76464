//! Starts with a CA whose record, certificate, root or key is at fault.

use std::ffi::{OsStr, OsString};

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use birthcert_cli::root::{KeyFilePassphrase, NewRoot, Root, RootKey};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::{Env, YEAR, subordinate};
use pki::authority::AuthorityRecord;
use pki::clock::Timestamp;
use pki::hex;
use pki::profile::Usage;
use sha2::{Digest as _, Sha256};

use super::attempt::{FUNCTIONS, refuses, serves, warns};
use crate::items::{Item, get, put, text};

const DAY: u64 = 24 * 60 * 60;

/// Returns the item with the record of the CA for devices.
async fn ca(env: &Env) -> anyhow::Result<Item> {
    get(env, "CA#device", "NAME#device").await
}

pub(super) async fn the_record_of_the_ca(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let record = ca(&env).await?;
    let attributes = ["name", "key_arn", "certificate_pem", "root_pem", "created_at"];
    for attribute in attributes {
        let mut damaged = record.clone();
        damaged.remove(attribute);
        put(&env, damaged.clone()).await?;
        refuses(&env, "identity", &[], &["CA#device", "missing field", attribute]).await?;
        if attribute == "created_at" {
            // A key of the index, for which DynamoDB accepts only numbers.
            continue;
        }
        damaged.insert(attribute.into(), AttributeValue::Bool(true));
        put(&env, damaged).await?;
        refuses(&env, "identity", &[], &["damaged item: CA#device NAME#device"]).await?;
    }
    let root = text(&env.root_pem);
    let root_again = text(&other_root(&env)?);
    let subordinate = record["certificate_pem"].clone();
    let pem = subordinate.as_s().ok().context("text")?.clone();
    let device = env.api.enrolled(&env.token).await?;
    let leaf = text(&env.api.released(&device).await?.device_certificate_pem);
    for (attribute, value, words) in [
        ("certificate_pem", text(""), "not PEM"),
        ("certificate_pem", text("{}"), "not PEM"),
        ("certificate_pem", text(&pem[..pem.len() / 2]), "not PEM"),
        (
            "certificate_pem",
            text(&pem.replace(" CERTIFICATE", " X509 CRL")),
            "the PEM label is X509 CRL",
        ),
        ("certificate_pem", leaf, "not a CA certificate"),
        ("certificate_pem", root, "its subject is that of its root"),
        ("root_pem", text("x"), "the root: not PEM"),
        ("intermediates_pem", text("-----BEGIN X"), "an intermediate CA: not PEM"),
        ("intermediates_pem", root_again, "it was not issued by its issuer"),
        ("root_pem", subordinate, "the root is not self-signed"),
    ] {
        let mut damaged = record.clone();
        damaged.insert(attribute.into(), value);
        put(&env, damaged).await?;
        refuses(&env, "identity", &[], &["issuing CA device: unusable: ", words]).await?;
    }
    let delete = env.config.aws.dynamodb()?.delete_item().table_name(&env.config.table_name);
    delete.key("PK", text("CA#device")).key("SK", text("NAME#device")).send().await?;
    refuses(&env, "identity", &[], &["issuing CA device: not set up"]).await?;
    // This function does not use CAs.
    serves(&env, "enroll", &[]).await?;
    put(&env, record).await?;
    serves(&env, "identity", &[]).await.map(drop)
}

/// Returns a root unrelated to that of the environment.
fn other_root(env: &Env) -> anyhow::Result<String> {
    let folder = env.scratch.path().join("other");
    let key = RootKey::make_file(&folder, KeyFilePassphrase::Random("a passphrase"))?;
    let root = Root::create(&folder, key, &NewRoot::lasting("Other root"), Timestamp::now())?;
    Ok(root.certificate().pem().to_owned())
}

/// Replaces the record of a CA.
async fn replace(env: &Env, record: &AuthorityRecord) -> anyhow::Result<()> {
    let mut item: Item = ca(env).await?;
    item.insert("key_arn".into(), text(&record.key_arn));
    item.insert("certificate_pem".into(), text(&record.certificate_pem));
    item.insert("root_pem".into(), text(&record.root_pem));
    put(env, item).await
}

pub(super) async fn the_certificate_of_the_ca(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let now = Timestamp::now();
    // No CA is valid before its root.
    let folder = env.scratch.path().join("old");
    let key = RootKey::make_file(&folder, KeyFilePassphrase::Random("a passphrase"))?;
    let root = Root::create(&folder, key, &NewRoot::lasting("Test root"), now.minus(3 * DAY))?;
    let certified =
        |usage, now, seconds| subordinate(&env.config, &root, "device", usage, now, seconds);

    let expired = certified(Usage::Device, now.minus(2 * DAY), DAY).await?;
    replace(&env, &expired).await?;
    let end = now.minus(DAY).to_string();
    refuses(&env, "identity", &[], &["issuing CA device: its certificate expired at", &end])
        .await?;

    let future = certified(Usage::Device, now.plus(DAY), YEAR).await?;
    replace(&env, &future).await?;
    refuses(&env, "identity", &[], &["issuing CA device: its certificate is not valid before"])
        .await?;

    let server = certified(Usage::Server, now, YEAR).await?;
    replace(&env, &server).await?;
    refuses(&env, "identity", &[], &["issuing CA device: unusable: its extKeyUsage"]).await?;

    // Another root with the same name.
    let other = Env::start(emulators, backend).await?;
    let mut mixed = certified(Usage::Device, now, YEAR).await?;
    replace(&env, &mixed).await?;
    serves(&env, "identity", &[]).await?;
    mixed.root_pem.clone_from(&other.root_pem);
    replace(&env, &mixed).await?;
    refuses(&env, "identity", &[], &["issuing CA device: unusable: it was not issued by its root"])
        .await
}

/// An attacker who can write to the table, but has none of our keys, puts a root of their own above
/// the CA's key. The record is consistent: only the deployment's configuration contradicts it.
pub(super) async fn the_root_of_the_ca(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let folder = env.scratch.path().join("theirs");
    let key = RootKey::make_file(&folder, KeyFilePassphrase::Random("a passphrase"))?;
    let theirs = Root::create(&folder, key, &NewRoot::lasting("Test root"), Timestamp::now())?;
    let forged =
        subordinate(&env.config, &theirs, "device", Usage::Device, Timestamp::now(), YEAR).await?;
    let [ours, theirs] = [env.root()?, theirs].map(|root| {
        let digest = Sha256::digest(root.certificate().der());
        OsString::from(hex(&digest))
    });
    let known = |roots: &OsString| [("ROOT_SHA256", Some(roots.clone()))];
    let words = ["issuing CA device: unusable: its root is not one of those in ROOT_SHA256"];

    serves(&env, "identity", &known(&ours)).await?;
    refuses(&env, "identity", &known(&theirs), &words).await?;
    replace(&env, &forged).await?;
    refuses(&env, "identity", &known(&ours), &words).await?;
    // During a change of roots both are configured. Before the ceremony, none is.
    let both = [ours, theirs].join(OsStr::new(","));
    for (roots, is_warning) in [(both, false), ("none".into(), true), (OsString::new(), true)] {
        for function in FUNCTIONS {
            let warned = warns(&env, function, &known(&roots)).await?;
            ensure!(warned == is_warning, "{function} with {roots:?}");
        }
    }
    Ok(())
}

pub(super) async fn the_key_of_the_ca(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let kms = env.config.aws.kms()?;
    let right = env.store.authority("device").await?.context("it is there")?;
    let server = env.store.authority("server").await?.context("it is there")?;
    let with_key = |key_arn: &str| AuthorityRecord { key_arn: key_arn.into(), ..right.clone() };

    let parent = right.key_arn.rsplit_once('/').context("an ARN")?.0;
    let nobodys = format!("{parent}/00000000-0000-4000-8000-000000000000");
    for key_arn in ["device", "arn:aws:kms", &format!("{parent}/"), &nobodys] {
        replace(&env, &with_key(key_arn)).await?;
        let key =
            format!("issuing CA device: its key {key_arn} cannot be used: KMS refused the request");
        refuses(&env, "identity", &[], &[&key]).await?;
    }
    let other = "issuing CA device: its KMS key does not match its certificate";
    replace(&env, &with_key(&server.key_arn)).await?;
    refuses(&env, "identity", &[], &[other, &server.key_arn]).await?;
    for (spec, words) in [
        (KeySpec::EccNistP384, other),
        (KeySpec::Rsa2048, other),
        (KeySpec::SymmetricDefault, "cannot be used: KMS refused the request"),
    ] {
        let usage = match spec {
            KeySpec::SymmetricDefault => KeyUsageType::EncryptDecrypt,
            _ => KeyUsageType::SignVerify,
        };
        let made = kms.create_key().key_spec(spec).key_usage(usage).send().await;
        // Our KMS stand-in supports only P-256.
        ensure!(made.is_ok() == (backend == Backend::Ministack), "{made:?}");
        let Some(metadata) = made.ok().and_then(|made| made.key_metadata) else { continue };
        let key_arn = metadata.arn.context("an ARN")?;
        replace(&env, &with_key(&key_arn)).await?;
        refuses(&env, "identity", &[], &["issuing CA device: ", words, &key_arn]).await?;
    }

    replace(&env, &right).await?;
    let key = format!(
        "issuing CA device: its key {} cannot be used: KMS refused the request",
        right.key_arn
    );
    kms.disable_key().key_id(&right.key_arn).send().await?;
    refuses(&env, "identity", &[], &[&key, "is disabled"]).await?;
    kms.schedule_key_deletion().key_id(&right.key_arn).send().await?;
    refuses(&env, "identity", &[], &[&key, "is pending deletion"]).await?;
    kms.cancel_key_deletion().key_id(&right.key_arn).send().await?;
    kms.enable_key().key_id(&right.key_arn).send().await?;
    serves(&env, "identity", &[]).await.map(drop)
}
