//! The keys and aliases of one region, stored in one directory.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;

use super::{
    alias::{self, Alias},
    error::{ErrorCode, KmsError},
    identifier::{Arns, KeyId, KeyIdentifier},
    journal::{self, Journal},
    key::Key,
    private_directory::PrivateDirectory,
};

/// The state of the stand-in.
pub(super) struct KeyStore {
    pub(super) arns: Arns,
    pub(super) directory: PrivateDirectory,
    pub(super) journal: Journal,
    contents: RwLock<Contents>,
}

/// The keys and aliases in memory. Changes are written to disk first.
pub(super) struct Contents {
    pub(super) keys: BTreeMap<KeyId, Key>,
    pub(super) aliases: BTreeMap<String, Alias>,
}

impl KeyStore {
    /// Opens `directory` for exclusive use.
    ///
    /// # Errors
    /// If another process uses the directory, or a file in it is damaged.
    pub(super) fn open(directory: PathBuf, region: &str) -> anyhow::Result<Self> {
        let arns = Arns::new(region)?;
        let path = directory.display().to_string();
        let directory =
            PrivateDirectory::open(directory).with_context(|| format!("cannot open {path}"))?;
        let journal = directory.path(journal::FILE);
        let journal = Journal::open(&journal)
            .with_context(|| format!("cannot open {}", journal.display()))?;
        // Safe only under the lock of the journal: the files could be writes of another process.
        directory.sweep()?;
        let contents = load(&directory).with_context(|| format!("cannot load {path}"))?;
        Ok(Self { arns, directory, journal, contents: RwLock::new(contents) })
    }

    /// Locks the contents for reading.
    pub(super) fn read(&self) -> Result<RwLockReadGuard<'_, Contents>, KmsError> {
        self.contents.read().map_err(KmsError::internal)
    }

    /// Locks the contents for writing.
    pub(super) fn write(&self) -> Result<RwLockWriteGuard<'_, Contents>, KmsError> {
        self.contents.write().map_err(KmsError::internal)
    }

    /// Returns the key that `text` identifies, directly or by an alias.
    pub(super) fn find<'a>(&self, contents: &'a Contents, text: &str) -> Result<&'a Key, KmsError> {
        let id = match self.arns.parse(text)? {
            KeyIdentifier::Id(id) => id,
            KeyIdentifier::Alias(name) => match contents.aliases.get(&name) {
                Some(alias) => alias.target.clone(),
                None => return Err(self.alias_not_found(&name)),
            },
        };
        contents.keys.get(&id).ok_or_else(|| self.key_not_found(&id))
    }

    /// Creates the error for an unknown key.
    pub(super) fn key_not_found(&self, id: &KeyId) -> KmsError {
        let arn = self.arns.of_key(id);
        KmsError::new(ErrorCode::NotFound, format!("Key '{arn}' does not exist"))
    }

    /// Creates the error for an unknown alias.
    pub(super) fn alias_not_found(&self, name: &str) -> KmsError {
        let arn = self.arns.of_alias(name);
        KmsError::new(ErrorCode::NotFound, format!("Alias {arn} is not found."))
    }
}

/// Returns the current time in seconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn load(directory: &PrivateDirectory) -> anyhow::Result<Contents> {
    let mut keys = BTreeMap::new();
    // Other files that end in .json are not named after a key ID.
    for id in directory.stems("json")?.into_iter().filter_map(|stem| KeyId::try_from(stem).ok()) {
        keys.insert(id.clone(), Key::load(id, directory)?);
    }
    let aliases = alias::load(directory)?;
    for (name, alias) in &aliases {
        let target = alias.target.as_str();
        anyhow::ensure!(
            keys.contains_key(&alias.target),
            "{name} is an alias of {target}, which is missing"
        );
    }
    Ok(Contents { keys, aliases })
}

#[cfg(test)]
mod tests;
