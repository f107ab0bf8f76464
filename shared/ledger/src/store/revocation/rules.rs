//! Rules that decide whether a revocation changes a device or an entry of the ledger.

use pki::{clock::Timestamp, crl::RevocationReason};

use crate::store::{
    certificate::entry::LedgerEntry, device::status::DeviceStatus, revocation::index::may_be_on_crl,
};

/// Returns the status of a device that is revoked for this reason.
pub(super) fn target(reason: RevocationReason) -> DeviceStatus {
    match reason {
        RevocationReason::CertificateHold => DeviceStatus::Held,
        _ => DeviceStatus::Revoked,
    }
}

/// Returns true if a revocation for this reason changes the entry: if it is not revoked yet, is superseded, or
/// is on hold and to be revoked for good. Certificates that are on no CRL any more are not changed.
///
/// `now` is an operator's clock, which may be fast. So it does not decide that a grace period has ended.
pub(super) fn needs_revocation(
    entry: &LedgerEntry,
    reason: RevocationReason,
    now: Timestamp,
) -> bool {
    let is_hold = reason == RevocationReason::CertificateHold;
    may_be_on_crl(entry, now)
        && match (entry.revoked_at, entry.revocation_reason) {
            (None, _) => true,
            (Some(then), Some(RevocationReason::Superseded)) => {
                reason != RevocationReason::Superseded || then > now
            }
            (Some(_), Some(RevocationReason::CertificateHold)) => !is_hold,
            (Some(_), _) => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000);
    const DAY: u64 = 24 * 60 * 60;

    fn entry(revoked: Option<(u64, RevocationReason)>) -> LedgerEntry {
        LedgerEntry {
            serial_number: "40".into(),
            ca: "device".into(),
            key_fingerprint: String::new(),
            tbs_digest: String::new(),
            not_before: NOW.minus(100),
            not_after: NOW.plus(100),
            requested_at: NOW.minus(100),
            verified_at: None,
            withdrawn_at: None,
            superseded_at: None,
            revoked_at: revoked.map(|(time, _)| Timestamp::from_unix(time)),
            revocation_reason: revoked.map(|(_, reason)| reason),
            revoked_at_before_hold: None,
        }
    }

    #[test]
    fn revoked_certificates_are_left_unchanged() {
        use RevocationReason::{CertificateHold, KeyCompromise, Superseded};
        for (revoked, for_good, on_hold) in [
            (None, true, true),
            (Some((1_001, Superseded)), true, true),
            // The grace period has ended, unless the clock is fast.
            (Some((900, Superseded)), true, true),
            (Some((900, KeyCompromise)), false, false),
            // The revocation was recorded by a fast clock, and counts all the same.
            (Some((1_001, KeyCompromise)), false, false),
            (Some((900, CertificateHold)), true, false),
            (Some((1_001, CertificateHold)), true, false),
        ] {
            let entry = entry(revoked);
            assert_eq!(needs_revocation(&entry, KeyCompromise, NOW), for_good, "{revoked:?}");
            assert_eq!(needs_revocation(&entry, CertificateHold, NOW), on_hold, "{revoked:?}");
        }
        for (revoked, again) in
            [(Some((1_001, Superseded)), true), (Some((900, Superseded)), false)]
        {
            assert_eq!(needs_revocation(&entry(revoked), Superseded, NOW), again, "{revoked:?}");
        }
        let expiry = NOW.plus(100);
        for (at, needed) in
            [(expiry, true), (expiry.plus(DAY - 1), true), (expiry.plus(DAY + 1), false)]
        {
            assert_eq!(needs_revocation(&entry(None), KeyCompromise, at), needed, "{at:?}");
        }
    }
}
