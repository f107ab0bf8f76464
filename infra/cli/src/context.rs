//! The context that commands run in.

use ledger::store::{ProjectRecord, Store};
use pki::{clock::Timestamp, names::ProjectId};

use crate::{
    error::CommandError,
    options::root::RootOptions,
    output::format::Format,
    pinned_roots::{Pin, PinnedRoots},
};

/// AWS clients, the output format and the time at which the command started.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) output: Format,
    pub(crate) now: Timestamp,
    /// The roots in the stack's parameter `RootSha256`, if the command was given a stack.
    pub(crate) stack_pin: Option<Pin>,
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

    /// Returns the roots that the operator pinned with `options`, in the environment or in the stack.
    ///
    /// # Errors
    /// As [`PinnedRoots::read`].
    pub(crate) fn pinned_roots(&self, options: &RootOptions) -> anyhow::Result<PinnedRoots> {
        PinnedRoots::read(options, self.stack_pin.as_ref())
    }
}
