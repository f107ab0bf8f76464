//! The life of a certificate, from key to release.

use rand_core::CryptoRng;
use spki::SubjectPublicKeyInfoOwned;

use crate::{
    error::{Error, Result},
    kms::Signer,
    store::{IssuanceRequest, Store},
};
use pki::{authority::Authority, certificate::Certificate, clock::Timestamp, lint::lint, profile};

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

/// Issues a certificate for `key` as `request` asks.
///
/// The order is the promise: nothing is signed that is not on the ledger, and nothing is released
/// that was not checked. A crash between two steps leaves a ledger entry without a certificate,
/// which is visible and harmless; the reverse cannot happen.
///
/// # Errors
/// Whatever went wrong; then nothing was released.
pub async fn issue(
    issuer: Issuer<'_>,
    request: IssuanceRequest<'_>,
    key: SubjectPublicKeyInfoOwned,
    now: Timestamp,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Certificate> {
    let Issuer { authority, signer, store } = issuer;

    // 1. Build: serial number, dates, extensions; then read it back and check it. No I/O.
    let not_after = request.not_after(authority, now)?;
    let profile = request.profile();
    authority.check(request.usage(), now, not_after)?;
    let tbs = profile::build(&profile, authority.issued_by(), key, now, not_after, rng)?;
    let tbs = lint(tbs)?;

    // 2. Record: one transaction that authenticates, authorises, and holds the digest to be signed.
    let recorded = store.record(&request, tbs, authority.name().as_str(), now).await?;
    let entry = recorded.entry();

    // 3. Sign: one call to KMS, which consumes the record.
    // 4. Verify: the bytes and the signature; the chain above was verified with the authority.
    let outcome = match signer.sign(recorded).await {
        Ok(unverified) => unverified.verify(authority.certificate().key()).map_err(Error::from),
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
