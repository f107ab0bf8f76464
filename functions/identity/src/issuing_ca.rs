//! The CA that issues to devices, with its key: cached for a minute and checked when it changes.

use std::sync::Arc;

use lambda::{Result, audit::Event, cache::Cache, runtime::Runtime};
use ledger::{
    IssuerFault,
    kms::Signer,
    store::{Policy, Store},
};
use pki::{
    authority::{Authority, AuthorityRecord, Roots},
    clock::Timestamp,
    profile::Usage,
};

/// A CA and its key, which are known to match.
pub(crate) struct IssuingCa {
    pub(crate) authority: Authority,
    pub(crate) signer: Signer,
}

impl IssuingCa {
    /// Returns the days for which the CA can still issue certificates of the lifetime that `policy` sets,
    /// of which `not_after` is the newest one's end.
    ///
    /// A CA that was made for a shorter time than that issues until its own end.
    pub(crate) fn days_left(&self, policy: &Policy, not_after: Timestamp, now: Timestamp) -> u64 {
        let (start, end) = (self.authority.certificate().not_before(), self.authority.not_after());
        let was_ever_enough = policy.not_after(start, end) < end;
        if was_ever_enough { not_after.days_until(end) } else { now.days_until(end) }
    }
}

/// A cache of the active device CA.
pub(crate) struct IssuingCaCache {
    store: Store,
    kms: aws_sdk_kms::Client,
    roots: Roots,
    runtime: Runtime,
    cache: Cache<(), Arc<IssuingCa>>,
}

impl IssuingCaCache {
    pub(crate) fn new(
        store: Store,
        kms: aws_sdk_kms::Client,
        roots: Roots,
        runtime: Runtime,
    ) -> Self {
        Self { store, kms, roots, runtime, cache: Cache::new() }
    }

    /// Returns the CA that was active within the last minute. Checks its chain and key when it differs
    /// from the last one, not every minute.
    ///
    /// # Errors
    /// If the CA cannot be used. The previous CA does not issue in its place: an operator retired it,
    /// for reasons unknown here.
    pub(crate) async fn active(&self, now: Timestamp) -> Result<Arc<IssuingCa>> {
        if let Some(ca) = self.cache.fresh(&(), now) {
            return Ok(ca);
        }
        let record = self.store.active_authority(Usage::Device).await?;
        let record = record.ok_or_else(|| ledger::Error::Issuer {
            name: Usage::Device.to_string(),
            fault: IssuerFault::Missing,
        })?;
        let previous = self.cache.last(&());
        let ca = match &previous {
            Some(previous) if *previous.authority.record() == record => previous.clone(),
            _ => Arc::new(self.check(record, now).await?),
        };
        if let Some(previous) = previous
            && previous.authority.name() != ca.authority.name()
        {
            let (from, to) = (previous.authority.name().as_str(), ca.authority.name().as_str());
            Event::Switched { from, to }.log(self.runtime, None);
        }
        self.cache.put((), ca.clone(), now);
        Ok(ca)
    }

    /// Verifies the CA's chain, and that KMS holds its key and allows signing with it.
    async fn check(&self, record: AuthorityRecord, now: Timestamp) -> Result<IssuingCa> {
        let authority = self.roots.admit(record)?;
        let signer = Signer::new(self.kms.clone(), authority.key_arn());
        authority.check(Usage::Device, now, now)?;
        signer.check(&authority).await?;
        signer.check_signing(&authority).await?;
        Ok(IssuingCa { authority, signer })
    }
}
