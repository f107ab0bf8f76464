use std::{fs, os::unix::fs::PermissionsExt};

use aws_sdk_kms::types::MessageType::Digest;

use super::*;
use crate::kms::testing::{TestKms, journal_lines};

#[tokio::test]
async fn a_restart_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let kms = TestKms::start(directory.path()).await;
    let (id, other) = (kms.create_key().await, kms.create_key().await);
    let create = kms.client.create_alias().alias_name("alias/device");
    create.target_key_id(&id).send().await.unwrap();
    kms.client.disable_key().key_id(&other).send().await.unwrap();
    let public = kms.public_key(&id).await;
    kms.sign(&id, Digest, &[1; 32]).await.unwrap();
    kms.stop().await;

    let kms = TestKms::start(directory.path()).await;
    assert_eq!(kms.public_key("alias/device").await, public);
    assert_eq!(kms.sign(&other, Digest, &[2; 32]).await.unwrap_err(), "DisabledException");
    kms.sign("alias/device", Digest, &[3; 32]).await.unwrap();
    assert_eq!(journal_lines(directory.path()).len(), 2);
}

#[tokio::test]
async fn every_file_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kms");
    let kms = TestKms::start(&path).await;
    let id = kms.create_key().await;
    let create = kms.client.create_alias().alias_name("alias/device");
    create.target_key_id(&id).send().await.unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        assert_eq!(mode(entry.path()), 0o600, "{names:?}");
    }
    names.sort();
    let mut expected = [
        format!("{id}.json"),
        format!("{id}.pem"),
        "aliases.json".to_owned(),
        "signatures.jsonl".to_owned(),
    ];
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn does_not_open_damaged_files() {
    let record = r#"{"created":0,"description":"","state":"Enabled","tags":[],"policy":null}"#;
    let id = KeyId::random();
    let alias = format!(r#"{{"alias/a":{{"target":"{}","created":0,"updated":0}}}}"#, id.as_str());
    for files in [
        vec![(format!("{}.json", id.as_str()), record)],
        vec![(format!("{}.json", id.as_str()), "{"), (format!("{}.pem", id.as_str()), "")],
        vec![(format!("{}.json", id.as_str()), record), (format!("{}.pem", id.as_str()), "")],
        vec![("aliases.json".to_owned(), "{")],
        vec![("aliases.json".to_owned(), alias.as_str())],
    ] {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in &files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let opened = KeyStore::open(directory.path().to_owned(), "eu-west-1");
        assert!(opened.is_err(), "{files:?}");
    }
}

#[test]
fn a_private_key_without_a_record_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(format!("{}.pem", KeyId::random().as_str())), "").unwrap();
    let store = KeyStore::open(directory.path().to_owned(), "eu-west-1").unwrap();
    assert!(store.read().ok().unwrap().keys.is_empty());
}
