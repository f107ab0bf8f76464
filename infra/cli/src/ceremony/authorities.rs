//! The CAs on record: a certified subordinate is recorded, activated and retired.
//!
//! Records never change, and each activation is conditional on the CA that it replaces. So checks against
//! the records still hold when the change is written.

use anyhow::anyhow;
use ledger::{
    kms::Signer,
    store::{ActivationOutcome, AuthorityState, Store},
};
use pki::{
    authority::{Authority, AuthorityName, AuthorityRecord, AuthorityStatus, RootFingerprint},
    clock::Timestamp,
    profile::Usage,
};

use crate::{error::CommandError, pinned_roots::root_of};

/// The CAs on record.
pub(crate) struct RecordedAuthorities(Vec<AuthorityState>);

impl RecordedAuthorities {
    /// Reads all CAs.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub(crate) async fn read(store: &Store) -> anyhow::Result<Self> {
        Ok(Self(store.authorities().await?))
    }

    /// Returns all CAs.
    pub(crate) fn all(&self) -> &[AuthorityState] {
        &self.0
    }

    /// Returns the CA of this name.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn named(&self, name: &AuthorityName) -> anyhow::Result<&AuthorityState> {
        let found = self.0.iter().find(|it| it.record.name == *name);
        found.ok_or_else(|| CommandError::Missing(format!("CA named {name}")).into())
    }

    /// Returns the active CA for `usage`.
    pub(crate) fn active(&self, usage: Usage) -> Option<&AuthorityState> {
        let is_active = |it: &&AuthorityState| it.status == AuthorityStatus::Active;
        self.0.iter().filter(is_active).find(|it| it.record.name.usage() == usage)
    }

    /// Returns the name under which this certificate is recorded, or else the next free name.
    pub(crate) fn name_for(&self, usage: Usage, certificate_pem: &str) -> AuthorityName {
        let recorded = self.0.iter().map(|it| &it.record).find(|record| {
            record.name.usage() == usage && record.certificate_pem == certificate_pem
        });
        match recorded {
            Some(record) => record.name.clone(),
            None => AuthorityName::next(usage, self.0.iter().map(|it| &it.record.name)),
        }
    }

    /// Returns the status of this CA, if it is recorded.
    ///
    /// # Errors
    /// If another CA is recorded under its name.
    pub(crate) fn recorded(
        &self,
        record: &AuthorityRecord,
    ) -> anyhow::Result<Option<AuthorityStatus>> {
        match self.0.iter().find(|it| it.record.name == record.name) {
            None => Ok(None),
            Some(it) if it.record.is_same_as(record) => Ok(Some(it.status)),
            Some(_) => {
                let name = &record.name;
                Err(CommandError::Refused(format!(
                    "there is a CA named {name}, with another certificate, key or CRL already"
                ))
                .into())
            }
        }
    }

    /// Checks that the CA of `record` could issue: its chain and validity hold, KMS has its key, it is
    /// distinct from every other CA, and its root is that of the active one or `accepted`.
    ///
    /// # Errors
    /// If a check fails, or KMS is unavailable.
    pub(crate) async fn check(
        &self,
        kms: &aws_sdk_kms::Client,
        record: AuthorityRecord,
        accepted: Option<RootFingerprint>,
        now: Timestamp,
    ) -> anyhow::Result<Authority> {
        let authority = Authority::try_from(record)?;
        let usage = authority.name().usage();
        authority.check(usage, now, now)?;
        let root = RootFingerprint::of(root_of(&authority)?.der());
        for other in self.0.iter().filter(|it| it.record.name != *authority.name()) {
            let other_one = Authority::try_from(other.record.clone())?;
            authority.check_distinct_from(&other_one)?;
            let is_active = other.status == AuthorityStatus::Active;
            if is_active && other_one.name().usage() == usage && accepted != Some(root) {
                authority.check_same_root_as(&other_one).map_err(|error| {
                    let active = root_of(&other_one).map(|it| RootFingerprint::of(it.der()));
                    anyhow!(
                        "{error}: it has {root}, not {}. To replace the root, give --accept-new-root",
                        active.map_or_else(|_| "none".into(), |it| it.to_string())
                    )
                })?;
            }
        }
        Signer::new(kms.clone(), authority.key_arn()).check(&authority).await?;
        Ok(authority)
    }
}

/// Records and activates the first CA of a usage. Repeating it completes an interrupted run.
///
/// # Errors
/// If the CA could not issue, another CA has its name or is active, or AWS is unavailable.
pub async fn activate_first(
    store: &Store,
    kms: &aws_sdk_kms::Client,
    record: AuthorityRecord,
    now: Timestamp,
) -> anyhow::Result<ActivationOutcome> {
    let known = RecordedAuthorities::read(store).await?;
    if known.recorded(&record)?.is_none() {
        let authority = known.check(kms, record.clone(), None, now).await?;
        store.prepare_authority(authority.record()).await?;
    }
    Ok(store.activate_authority(&record.name, None, now).await?)
}
