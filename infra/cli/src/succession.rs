//! One CA after another: a certified subordinate is recorded, made the one that issues, or retired.
//!
//! Records never change, and each switch is conditioned on the CA whose place is taken. So what was
//! checked here against what is recorded still holds when it is written.

use ledger::{
    OperatorError,
    kms::Signer,
    store::{Activation, KnownAuthority, Store},
};
use pki::{
    authority::{Authority, AuthorityName, AuthorityRecord, AuthorityStatus},
    clock::Timestamp,
    profile::Usage,
};

/// The CAs that are recorded.
pub(crate) struct Known(Vec<KnownAuthority>);

impl Known {
    /// All of them.
    ///
    /// # Errors
    /// When the store is away.
    pub(crate) async fn read(store: &Store) -> anyhow::Result<Self> {
        Ok(Self(store.authorities().await?))
    }

    pub(crate) fn all(&self) -> &[KnownAuthority] {
        &self.0
    }

    /// # Errors
    /// When there is none of this name.
    pub(crate) fn named(&self, name: &AuthorityName) -> anyhow::Result<&KnownAuthority> {
        let found = self.0.iter().find(|it| it.record.name == *name);
        found.ok_or_else(|| OperatorError::Missing(format!("CA named {name}")).into())
    }

    /// The one that issues.
    pub(crate) fn active(&self, usage: Usage) -> Option<&KnownAuthority> {
        let is_active = |it: &&KnownAuthority| it.status == AuthorityStatus::Active;
        self.0.iter().filter(is_active).find(|it| it.record.name.usage() == usage)
    }

    /// The name that this certificate is recorded under, or else the next one.
    pub(crate) fn name_for(&self, usage: Usage, certificate_pem: &str) -> AuthorityName {
        let recorded = self.0.iter().map(|it| &it.record).find(|record| {
            record.name.usage() == usage && record.certificate_pem == certificate_pem
        });
        match recorded {
            Some(record) => record.name.clone(),
            None => AuthorityName::next(usage, self.0.iter().map(|it| &it.record.name)),
        }
    }

    /// Whether this very CA is recorded; another one under its name is an error.
    ///
    /// # Errors
    /// When there is another of its name.
    pub(crate) fn recorded(
        &self,
        record: &AuthorityRecord,
    ) -> anyhow::Result<Option<AuthorityStatus>> {
        match self.0.iter().find(|it| it.record.name == record.name) {
            None => Ok(None),
            Some(it) if it.record.is_same_as(record) => Ok(Some(it.status)),
            Some(_) => {
                let what =
                    format!("CA named {}, with another certificate, key or CRL", record.name);
                Err(OperatorError::Exists(what).into())
            }
        }
    }

    /// The CA of `record`, once it is known that it could issue: its chain and its dates hold, KMS has
    /// its key, nobody takes it for another, and who trusts the active one's root trusts it too.
    ///
    /// # Errors
    /// When one of these is not so, or KMS is away.
    pub(crate) async fn check(
        &self,
        kms: &aws_sdk_kms::Client,
        record: AuthorityRecord,
        now: Timestamp,
    ) -> anyhow::Result<Authority> {
        let authority = Authority::try_from(record)?;
        let usage = authority.name().usage();
        authority.check(usage, now, now)?;
        for other in self.0.iter().filter(|it| it.record.name != *authority.name()) {
            let other_one = Authority::try_from(other.record.clone())?;
            authority.check_apart_from(&other_one)?;
            if other.status == AuthorityStatus::Active && other_one.name().usage() == usage {
                authority.check_anchored_as(&other_one)?;
            }
        }
        Signer::new(kms.clone(), authority.key_arn()).check(&authority).await?;
        Ok(authority)
    }
}

/// Puts the first CA of a usage to use. Where a run of this was interrupted, another finishes it.
///
/// # Errors
/// When it could not issue, when there is another of its name or another active, or AWS is away.
pub async fn put_to_use(
    store: &Store,
    kms: &aws_sdk_kms::Client,
    record: AuthorityRecord,
    now: Timestamp,
) -> anyhow::Result<Activation> {
    let known = Known::read(store).await?;
    if known.recorded(&record)?.is_none() {
        let authority = known.check(kms, record.clone(), now).await?;
        store.prepare_authority(authority.record()).await?;
    }
    Ok(store.activate_authority(&record.name, None, now).await?)
}
