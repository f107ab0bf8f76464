//! A certificate's entry on the ledger.

use pki::{clock::Timestamp, crl::RevocationReason};
use serde::{Deserialize, Serialize};

/// A certificate's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Lower-case hex.
    pub serial_number: String,
    /// The name of the CA that was asked to sign.
    pub ca: String,
    /// SHA-256 of the subject public key info, in hex.
    pub key_fingerprint: String,
    /// SHA-256 of the to-be-signed certificate, in hex: the very digest that is signed.
    pub tbs_digest: String,
    /// Begin of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it turned out that nothing was signed or released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
    /// When a newer one took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Timestamp>,
    /// From when on it counts as revoked: for a superseded one the end of its grace, which may lie
    /// ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<RevocationReason>,
    /// What `revoked_at` was when the certificate was put on hold, for when it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at_before_hold: Option<Timestamp>,
}

/// How a certificate stands at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateStatus {
    /// Nothing speaks against it.
    Good,
    /// A newer one took its place; it is good until its grace is over.
    Superseded,
    /// It is suspended.
    OnHold,
    /// It is revoked.
    Revoked,
    /// Nothing was signed, as far as is known.
    Withdrawn,
    /// Its validity is over.
    Expired,
}

impl CertificateStatus {
    /// Its name.
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
    /// How the certificate stands at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> CertificateStatus {
        match self.revoked_at {
            _ if self.not_after < now => CertificateStatus::Expired,
            _ if self.revocation_reason == Some(RevocationReason::CertificateHold) => {
                CertificateStatus::OnHold
            }
            Some(then) if then <= now => CertificateStatus::Revoked,
            _ if self.withdrawn_at.is_some() => CertificateStatus::Withdrawn,
            Some(_) => CertificateStatus::Superseded,
            None => CertificateStatus::Good,
        }
    }
}
