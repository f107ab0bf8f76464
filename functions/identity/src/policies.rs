//! The policies of projects: cached for a minute, and enforced on requests.

use lambda::{Error, Result, audit::Event, cache::Cache, runtime::Runtime};
use ledger::{
    Rejection,
    store::{Policy, PolicyTerms, Store},
};
use pki::{clock::Timestamp, csr::VerifiedCsr, names::ProjectId};

/// The number of projects whose policies are loaded at start, a few kilobytes of the index. The policy of
/// any other project costs its first request a round trip.
const PRELOADED_PROJECTS: usize = 100;

/// A cache of policies.
pub(crate) struct PolicyCache {
    store: Store,
    runtime: Runtime,
    cache: Cache<ProjectId, Policy>,
}

impl PolicyCache {
    pub(crate) fn new(store: Store, runtime: Runtime) -> Self {
        Self { store, runtime, cache: Cache::new() }
    }

    /// Loads the policies of the first [`PRELOADED_PROJECTS`] projects.
    pub(crate) async fn preload(&self, now: Timestamp) -> Result<()> {
        match self.store.projects(Some(PRELOADED_PROJECTS)).await {
            Ok(projects) => {
                for project in projects {
                    self.cache.put(project.project_id, project.policy, now);
                }
                Ok(())
            }
            // A damaged project must not stop the others. Requests for it fail on their own.
            Err(error @ ledger::Error::Item(_)) => {
                Event::StartDegraded { cause: error.to_string() }.log(self.runtime, None);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the policy of `project`, at most a minute old.
    ///
    /// # Errors
    /// If the project does not exist: as for an unknown device token, because the caller is not
    /// authenticated yet.
    pub(crate) async fn of(&self, project: ProjectId, now: Timestamp) -> Result<Policy> {
        if let Some(policy) = self.cache.fresh(&project, now) {
            return Ok(policy);
        }
        let record = self.store.project(project).await?;
        let record = record.ok_or(ledger::Error::DeviceToken(Rejection::Unknown))?;
        self.cache.put(project, record.policy.clone(), now);
        Ok(record.policy)
    }
}

/// Checks that the project allows the kind of key in `csr`, or server-generated keys if there is no CSR.
pub(crate) fn check_key_policy(policy: &Policy, csr: Option<&VerifiedCsr>) -> Result<()> {
    let PolicyTerms { key_kinds, server_generated_keys, .. } = policy.terms();
    match csr {
        None if !server_generated_keys => Err(Error::GeneratedKeysNotAllowed),
        Some(csr) if !key_kinds.contains(csr.kind()) => {
            Err(Error::KeyKindNotAllowed { allowed: key_kinds.clone() })
        }
        _ => Ok(()),
    }
}
