//! Issuance of a certificate, from the subject's key to the released certificate.

use pki::{authority::Authority, certificate::Certificate, clock::Timestamp, lint::lint, profile};
use rand_core::CryptoRng;
use spki::SubjectPublicKeyInfoOwned;

use crate::{
    error::{Error, Result},
    kms::Signer,
    store::{IssuanceRequest, Store},
};

/// A CA that can issue: its certificate, its key and its ledger.
#[derive(Clone, Copy)]
pub struct Issuer<'a> {
    /// The CA.
    pub authority: &'a Authority,
    /// The CA's key in KMS.
    pub signer: &'a Signer,
    /// The ledger on which certificates are recorded.
    pub store: &'a Store,
}

/// Issues a certificate for `key` as `request` asks.
///
/// 1. **Build and lint** the to-be-signed certificate (TBS). No I/O.
/// 2. **Record** the TBS digest on the ledger, in the transaction that authenticates and authorizes
///    the request.
/// 3. **Sign** with one call to KMS, which consumes the record.
/// 4. **Verify** the signature under the CA's key, and that the signed bytes are the recorded ones.
///    The chain above was verified when the CA was loaded.
/// 5. **Release** the certificate, or withdraw its ledger entry and return the error.
///
/// A crash between two steps leaves a ledger entry without a certificate, which is visible and
/// harmless. A certificate without a ledger entry cannot exist.
///
/// # Errors
/// If any step fails. Then no certificate was released.
pub async fn issue(
    issuer: Issuer<'_>,
    request: IssuanceRequest<'_>,
    key: SubjectPublicKeyInfoOwned,
    now: Timestamp,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Certificate> {
    let Issuer { authority, signer, store } = issuer;

    // Step 1: build and lint.
    let not_after = request.not_after(authority, now)?;
    authority.check(request.usage(), now, not_after)?;
    let profile = request.profile();
    let tbs = profile::build(&profile, authority.issued_by(), key, now, not_after, rng)?;
    let linted = lint(tbs)?;

    // Step 2: record.
    let recorded = store.record(&request, linted, authority.name().as_str(), now).await?;
    let ledger_key = recorded.ledger_key();

    // Step 3: sign.
    let signed = signer.sign(recorded).await;

    // Step 4: verify.
    let verified = signed.and_then(|unverified| {
        unverified.verify(authority.certificate().key()).map_err(Error::from)
    });

    // Step 5: release, or withdraw.
    if verified.is_err() {
        // A failed signature must not count towards the device's issuance limit. If the withdrawal
        // fails too, the device loses one issuance; the first error is the one to report.
        let _ = store.withdraw(ledger_key, now).await;
    }
    verified
}
