//! The context that commands run in.

use ledger::{OperatorError, store::Store};
use pki::{clock::Timestamp, names::ProjectId};

use crate::output::format::Format;

/// AWS clients, the output format and the time at which the command started.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) output: Format,
    pub(crate) now: Timestamp,
}

impl Context {
    /// Checks that a project exists: an empty list would hide a mistyped id.
    pub(crate) async fn expect_project(&self, id: ProjectId) -> ledger::Result<()> {
        let project = self.store.project(id).await?;
        let missing = || OperatorError::Missing(format!("project {id}")).into();
        project.map(drop).ok_or_else(missing)
    }
}
