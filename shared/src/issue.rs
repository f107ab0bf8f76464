//! The life of a certificate, from key to release.

use rand_core::CryptoRng;
use spki::SubjectPublicKeyInfoOwned;

use crate::{
    authority::Authority,
    certificate::Certificate,
    clock::Timestamp,
    error::Result,
    kms::Signer,
    lint::lint,
    profile,
    store::{Holder, Store},
};

/// Who issues: a CA, its key, and the ledger it answers to.
#[derive(Clone, Copy)]
pub struct Issuer<'a> {
    /// The CA.
    pub authority: &'a Authority,
    /// Its key.
    pub signer: &'a Signer,
    /// Where what it issues is recorded.
    pub store: &'a Store,
}

/// Issues a certificate for `key` to `holder`.
///
/// The order is the promise: nothing is signed that is not on the ledger, and nothing is released
/// that was not checked. A crash between two steps leaves a ledger entry without a certificate,
/// which is visible and harmless; the reverse cannot happen.
///
/// # Errors
/// Whatever went wrong; then nothing was released.
pub async fn issue(
    issuer: Issuer<'_>,
    holder: Holder<'_>,
    key: SubjectPublicKeyInfoOwned,
    now: Timestamp,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Certificate> {
    let Issuer { authority, signer, store } = issuer;

    // 1. Build: serial number, dates, extensions; then read it back and check it. No I/O.
    let not_after = holder.not_after(authority, now)?;
    let profile = holder.profile();
    authority.check(holder.usage(), now, not_after)?;
    let tbs = profile::build(&profile, authority.issued_by(), key, now, not_after, rng)?;
    let tbs = lint(tbs)?;

    // 2. Record: one transaction that authenticates, authorises, and holds the digest to be signed.
    let recorded = store.record(&holder, tbs, authority.name().as_str(), now).await?;
    let entry = recorded.entry();

    // 3. Sign: one call to KMS, which consumes the record.
    // 4. Verify: the bytes and the signature; the chain above was verified with the authority.
    let outcome = match signer.sign(recorded).await {
        Ok(unverified) => unverified.verify(authority.certificate().key()),
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // A failed signer must not eat up the device's issuances. Where this fails too, it costs
        // the device one of them and nothing else: the first error is the one to report.
        let _ = store.withdraw(entry, now).await;
    }

    // 5. Release.
    outcome
}
