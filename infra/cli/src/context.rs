//! The context that commands run in.

use ledger::store::{ProjectRecord, Store};
use pki::{clock::Timestamp, names::ProjectId};

use crate::{error::CommandError, output::format::Format};

/// AWS clients, the output format and the time at which the command started.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) output: Format,
    pub(crate) now: Timestamp,
}

impl Context {
    /// Returns a project.
    ///
    /// # Errors
    /// If it does not exist, or DynamoDB is unavailable.
    pub(crate) async fn project(&self, id: ProjectId) -> anyhow::Result<ProjectRecord> {
        let missing = || CommandError::Missing(format!("project {id}"));
        Ok(self.store.project(id).await?.ok_or_else(missing)?)
    }
}
