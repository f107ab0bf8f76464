//! KMS without HTTP: operations by name, on what is in one directory.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    address::{Address, Arns, KeyId},
    aliases::{self, Alias},
    disk::Directory,
    fault::{Code, Fault},
    journal::{self, Journal},
    key::Key,
};

pub(super) struct Service {
    pub(super) arns: Arns,
    pub(super) directory: Directory,
    pub(super) journal: Journal,
    holdings: RwLock<Holdings>,
}

/// Everything that is in the directory. A change is on the disk before it is here.
pub(super) struct Holdings {
    pub(super) keys: BTreeMap<KeyId, Key>,
    pub(super) aliases: BTreeMap<String, Alias>,
}

impl Service {
    /// Takes possession of `directory`.
    ///
    /// # Errors
    /// When another process has it, or what is in it is damaged.
    pub(super) fn open(directory: PathBuf, region: &str) -> anyhow::Result<Self> {
        let arns = Arns::new(region)?;
        let place = directory.display().to_string();
        let directory =
            Directory::open(directory).with_context(|| format!("cannot open {place}"))?;
        let journal = directory.path(journal::FILE);
        let journal = Journal::open(&journal)
            .with_context(|| format!("cannot open {}", journal.display()))?;
        // Only now, that the journal's lock is held: the leftovers might be another's work.
        directory.sweep()?;
        let holdings = load(&directory).with_context(|| format!("cannot load {place}"))?;
        Ok(Self { arns, directory, journal, holdings: RwLock::new(holdings) })
    }

    /// Performs an operation of the API. The answer to one that has nothing to say is empty.
    pub(super) fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, Fault> {
        match operation {
            "CancelKeyDeletion" => write(&self.cancel_key_deletion(read(request)?)?),
            "CreateAlias" => self.create_alias(read(request)?).map(|()| Vec::new()),
            "CreateKey" => write(&self.create_key(read(request)?)?),
            "DeleteAlias" => self.delete_alias(read(request)?).map(|()| Vec::new()),
            "DescribeKey" => write(&self.describe_key(read(request)?)?),
            "DisableKey" => self.disable_key(read(request)?).map(|()| Vec::new()),
            "EnableKey" => self.enable_key(read(request)?).map(|()| Vec::new()),
            "GetPublicKey" => write(&self.public_key(read(request)?)?),
            "ListAliases" => write(&self.list_aliases(read(request)?)?),
            "ListKeys" => write(&self.list_keys(read(request)?)?),
            "ScheduleKeyDeletion" => write(&self.schedule_key_deletion(read(request)?)?),
            "Sign" => write(&self.sign(read(request)?)?),
            "UpdateAlias" => self.update_alias(read(request)?).map(|()| Vec::new()),
            _ => {
                let message = format!("{operation} is not an operation of this stand-in for KMS");
                Err(Fault::new(Code::UnknownOperation, message))
            }
        }
    }

    pub(super) fn read(&self) -> Result<RwLockReadGuard<'_, Holdings>, Fault> {
        self.holdings.read().map_err(Fault::internal)
    }

    pub(super) fn write(&self) -> Result<RwLockWriteGuard<'_, Holdings>, Fault> {
        self.holdings.write().map_err(Fault::internal)
    }

    /// The key that `text` points at, directly or by an alias.
    pub(super) fn find<'a>(&self, holdings: &'a Holdings, text: &str) -> Result<&'a Key, Fault> {
        let id = match self.arns.address(text)? {
            Address::Key(id) => id,
            Address::Alias(name) => match holdings.aliases.get(&name) {
                Some(alias) => alias.target.clone(),
                None => return Err(self.no_alias(&name)),
            },
        };
        holdings.keys.get(&id).ok_or_else(|| self.no_key(&id))
    }

    pub(super) fn no_key(&self, id: &KeyId) -> Fault {
        let arn = self.arns.of_key(id);
        Fault::new(Code::NotFound, format!("Key '{arn}' does not exist"))
    }

    pub(super) fn no_alias(&self, name: &str) -> Fault {
        let arn = self.arns.of_alias(name);
        Fault::new(Code::NotFound, format!("Alias {arn} is not found."))
    }
}

/// The time, in seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn load(directory: &Directory) -> anyhow::Result<Holdings> {
    let mut keys = BTreeMap::new();
    // The other files ending in .json are not named by a key's id.
    for id in directory.stems("json")?.into_iter().filter_map(|stem| KeyId::try_from(stem).ok()) {
        keys.insert(id.clone(), Key::load(id, directory)?);
    }
    let aliases = aliases::load(directory)?;
    for (name, alias) in &aliases {
        let target = alias.target.as_str();
        anyhow::ensure!(
            keys.contains_key(&alias.target),
            "{name} is an alias of {target}, which is missing"
        );
    }
    Ok(Holdings { keys, aliases })
}

fn read<T: DeserializeOwned>(request: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(request)
        .map_err(|error| Fault::new(Code::Serialization, error.to_string()))
}

fn write(answer: &impl Serialize) -> Result<Vec<u8>, Fault> {
    Ok(serde_json::to_vec(answer)?)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use aws_sdk_kms::types::MessageType::Digest;

    use super::*;
    use crate::kms::testing::{Kms, journal};

    #[tokio::test]
    async fn a_restart_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        let (id, other) = (kms.create_key().await, kms.create_key().await);
        let create = kms.client.create_alias().alias_name("alias/device");
        create.target_key_id(&id).send().await.unwrap();
        kms.client.disable_key().key_id(&other).send().await.unwrap();
        let public = kms.public_key(&id).await;
        kms.sign(&id, Digest, &[1; 32]).await.unwrap();
        kms.stop().await;

        let kms = Kms::start(directory.path()).await;
        assert_eq!(kms.public_key("alias/device").await, public);
        assert_eq!(kms.sign(&other, Digest, &[2; 32]).await.unwrap_err(), "DisabledException");
        kms.sign("alias/device", Digest, &[3; 32]).await.unwrap();
        assert_eq!(journal(directory.path()).len(), 2);
    }

    #[tokio::test]
    async fn all_of_it_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("kms");
        let kms = Kms::start(&place).await;
        let id = kms.create_key().await;
        let create = kms.client.create_alias().alias_name("alias/device");
        create.target_key_id(&id).send().await.unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(place.clone()), 0o700);
        let mut names = Vec::new();
        for entry in fs::read_dir(&place).unwrap() {
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
    fn does_not_start_on_what_is_damaged() {
        let record = r#"{"created":0,"description":"","state":"Enabled","tags":[],"policy":null}"#;
        let id = KeyId::random();
        let alias =
            format!(r#"{{"alias/a":{{"target":"{}","created":0,"updated":0}}}}"#, id.as_str());
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
            let opened = Service::open(directory.path().to_owned(), "eu-west-1");
            assert!(opened.is_err(), "{files:?}");
        }
    }

    #[test]
    fn a_private_key_without_a_record_is_a_creation_that_did_not_happen() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(format!("{}.pem", KeyId::random().as_str())), "").unwrap();
        let service = Service::open(directory.path().to_owned(), "eu-west-1").unwrap();
        assert!(service.read().ok().unwrap().keys.is_empty());
    }
}
