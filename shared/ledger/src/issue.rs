//! Issuance of a certificate, from the subject's key to the released certificate.

use std::time::Duration;

use pki::{authority::Authority, certificate::Certificate, clock::Timestamp, lint::lint, profile};
use rand_core::CryptoRng;
use spki::SubjectPublicKeyInfoOwned;

use crate::{
    deadline::Deadline,
    error::{Error, Result},
    kms::Signer,
    store::{IssuanceRequest, LedgerEntryKey, Store, Withdrawal},
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

/// The time that an issuance needs at the least to be begun.
pub const TO_ISSUE: Duration = Duration::from_secs(9);
/// The time in which KMS signs, including retries.
const TO_SIGN: Duration = Duration::from_secs(3);
/// The time in which earlier certificates are superseded.
const TO_SUPERSEDE: Duration = Duration::from_secs(2);
/// The time in which a failed issuance is withdrawn.
const TO_WITHDRAW: Duration = Duration::from_secs(2);

/// Issues a certificate for `key` as `request` asks, before `deadline`.
///
/// 1. **Build and lint** the to-be-signed certificate (TBS). No I/O.
/// 2. **Record** the TBS digest on the ledger, in the transaction that authenticates and authorizes
///    the request. Not begun unless there is time for the steps that follow.
/// 3. **Sign** with one call to KMS, which consumes the record.
/// 4. **Verify** the signature under the CA's key, and that the signed bytes are the recorded ones.
///    The chain above was verified when the CA was loaded. Only then **supersede** the subject's earlier
///    certificates, if there are any.
/// 5. **Release** the certificate, or withdraw its ledger entry and return the error.
///
/// A crash between two steps leaves a ledger entry without a certificate, which is visible and
/// harmless. A certificate without a ledger entry cannot exist. Until step 4, and whatever fails, the
/// earlier certificates stay good.
///
/// # Errors
/// If any step fails or takes too long. Then no certificate was released.
pub async fn issue(
    issuer: Issuer<'_>,
    request: IssuanceRequest<'_>,
    key: SubjectPublicKeyInfoOwned,
    now: Timestamp,
    deadline: Deadline,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Certificate> {
    let Issuer { authority, signer, store } = issuer;

    // Step 1: build and lint.
    let not_after = request.not_after(authority, now)?;
    authority.check(request.usage(), now, not_after)?;
    let profile = request.profile();
    let tbs = profile::build(&profile, authority.issued_by(), key, now, not_after, rng)?;
    let linted = lint(tbs)?;

    let entry = LedgerEntryKey::new(&request, &linted);
    let withdraw = async || deadline.bound(store.withdraw(&entry, now)).await;

    // Step 2: record.
    let record = store.record(&request, entry.clone(), linted, authority.name().as_str(), now);
    let record_by = deadline.leaving(TO_SIGN + TO_SUPERSEDE + TO_WITHDRAW);
    let (recorded, tbs) = match record_by.bound(record).await {
        Ok(recorded) => recorded,
        Err(error) => {
            if error.is_transient() {
                let _ = withdraw().await;
            }
            return Err(error);
        }
    };

    // Step 3: sign.
    let signed = deadline.leaving(TO_SUPERSEDE + TO_WITHDRAW).bound(signer.sign(tbs)).await;

    // Step 4: verify, then supersede.
    let verified = signed.and_then(|unverified| {
        unverified.verify(authority.certificate().key()).map_err(Error::from)
    });
    let certificate = match verified {
        Ok(certificate) => certificate,
        Err(error) => {
            // If the withdrawal fails too, the first error is the one to report.
            let _ = withdraw().await;
            return Err(error);
        }
    };
    let supersede = store.supersede_earlier(&recorded, now);

    // Step 5: release, or withdraw.
    match deadline.leaving(TO_WITHDRAW).bound(supersede).await {
        Ok(()) => Ok(certificate),
        Err(error) => match withdraw().await {
            // Only the response to the supersession was lost.
            Ok(Withdrawal::Verified) => Ok(certificate),
            _ => Err(error),
        },
    }
}
