//! Aliases and the file that stores them.

use std::{collections::BTreeMap, io};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{error::KmsError, identifier::KeyId, private_directory::PrivateDirectory};

const FILE: &str = "aliases.json";

/// An alias of a key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Alias {
    pub(super) target: KeyId,
    pub(super) created: u64,
    pub(super) updated: u64,
}

/// Loads all aliases, by name.
pub(super) fn load(directory: &PrivateDirectory) -> anyhow::Result<BTreeMap<String, Alias>> {
    match directory.read(FILE) {
        Ok(json) => serde_json::from_str(&json).with_context(|| format!("{FILE} is damaged")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {FILE}")),
    }
}

/// Stores all aliases, by name.
pub(super) fn store(
    directory: &PrivateDirectory,
    aliases: &BTreeMap<String, Alias>,
) -> Result<(), KmsError> {
    Ok(directory.write(FILE, &serde_json::to_vec_pretty(aliases)?)?)
}
