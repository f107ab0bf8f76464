//! Ledger entries, and the status of a certificate.

use pki::{clock::Timestamp, crl::RevocationReason};
use serde::{Deserialize, Serialize};

/// A certificate's entry on the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The serial number, in lower-case hex.
    pub serial_number: String,
    /// The name of the issuing CA.
    pub ca: String,
    /// SHA-256 of the subject public key info, in hex.
    pub key_fingerprint: String,
    /// SHA-256 of the to-be-signed certificate, in hex: the digest that KMS signs.
    pub tbs_digest: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// Time at which the entry was recorded, before signing.
    pub requested_at: Timestamp,
    /// Time at which the certificate was verified, if it superseded earlier ones of its device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// Time at which issuance failed, and no certificate was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
    /// Time at which a newer certificate superseded this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Timestamp>,
    /// Time from which the certificate counts as revoked. For a superseded certificate this is the end of
    /// its grace period, which may lie in the future.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Reason of the revocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<RevocationReason>,
    /// Value of `revoked_at` before a hold, restored on release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at_before_hold: Option<Timestamp>,
}

/// The status of a certificate at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateStatus {
    /// The certificate is valid.
    Good,
    /// A newer certificate superseded this one, whose grace period has not ended.
    Superseded,
    /// The certificate is suspended.
    OnHold,
    /// The certificate is revoked.
    Revoked,
    /// Issuance failed, and no certificate was released.
    Withdrawn,
    /// The certificate has expired.
    Expired,
}

impl CertificateStatus {
    /// Returns the status as the command line spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Superseded => "superseded",
            Self::OnHold => "on-hold",
            Self::Revoked => "revoked",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

impl LedgerEntry {
    /// Returns the status of the certificate at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> CertificateStatus {
        match self.revoked_at {
            _ if self.not_after < now => CertificateStatus::Expired,
            _ if self.revocation_reason == Some(RevocationReason::CertificateHold) => {
                CertificateStatus::OnHold
            }
            // Only the end of a grace period may lie in the future. Other times there are from a fast clock.
            Some(then)
                if then <= now || self.revocation_reason != Some(RevocationReason::Superseded) =>
            {
                CertificateStatus::Revoked
            }
            _ if self.withdrawn_at.is_some() => CertificateStatus::Withdrawn,
            Some(_) => CertificateStatus::Superseded,
            None => CertificateStatus::Good,
        }
    }
}
