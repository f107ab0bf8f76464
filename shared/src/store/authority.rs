//! Authorities: the subordinate CAs that operators set up.

use super::{META, Store, item};
use crate::{authority::AuthorityRecord, error::Result};

fn partition(name: &str) -> String {
    format!("CA#{name}")
}

impl Store {
    /// The record of the CA `name`.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn authority(&self, name: &str) -> Result<Option<AuthorityRecord>> {
        self.get(partition(name), META.into()).await
    }

    /// Adds a CA; one that is there is never overwritten.
    ///
    /// # Errors
    /// When it exists, or the store is away.
    pub async fn create_authority(&self, record: &AuthorityRecord) -> Result<()> {
        let item = item(partition(&record.name), META.into(), record)?;
        self.create(item, format!("CA named {}", record.name)).await
    }
}
