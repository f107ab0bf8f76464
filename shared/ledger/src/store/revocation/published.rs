//! Checks of published revocations against the ledger.
//!
//! The index `revocations` lags behind the table, so it may not have a revocation that an earlier CRL has.
//! These reads are strongly consistent, so they tell a lag from a release.

use pki::{
    clock::Timestamp,
    crl::{CrlReason, Entry, KEEP_EXPIRED_SECONDS, RevocationReason},
};

use crate::{
    error::Result,
    store::{
        client::Store,
        item::{Item, attribute, required},
    },
};

/// The ledger's answer to the question if a published CRL entry still stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationCheck {
    /// The certificate is revoked on the ledger.
    Revoked,
    /// The certificate was released from its hold.
    Released,
    /// The certificate expired so long ago that no CRL lists it any more.
    Expired,
    /// The ledger does not tell, for this reason. The entry must stay.
    Unknown(String),
}

impl Store {
    /// Checks the CRL entry `published` of the CA `ca` against the ledger, strongly consistent.
    ///
    /// Only a hold can be released. An entry for another reason that the ledger does not confirm is
    /// [`RevocationCheck::Unknown`], as is one whose item is missing or damaged.
    ///
    /// # Errors
    /// If DynamoDB is unavailable for the moment.
    pub async fn check_revocation(
        &self,
        ca: &str,
        published: &Entry,
        now: Timestamp,
    ) -> Result<RevocationCheck> {
        let answer = match self.ledger_item(&published.serial.to_string()).await {
            Ok(Some(item)) => check(&item, ca, published, now),
            Ok(None) => Ok(RevocationCheck::Unknown("not on the ledger".into())),
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if !error.is_transient() => Ok(RevocationCheck::Unknown(error.to_string())),
            answer => answer,
        }
    }
}

fn check(item: &Item, ca: &str, published: &Entry, now: Timestamp) -> Result<RevocationCheck> {
    let issuer = required::<String>(item, "ca")?;
    if issuer != ca {
        return Ok(RevocationCheck::Unknown(format!("the ledger has it as issued by {issuer}")));
    }
    if required::<Timestamp>(item, "not_after")? < now.minus(KEEP_EXPIRED_SECONDS) {
        return Ok(RevocationCheck::Expired);
    }
    let revoked_at = attribute::<Timestamp>(item, "revoked_at")?;
    let reason = attribute::<RevocationReason>(item, "revocation_reason")?;
    let is_released = match (revoked_at, reason) {
        (None, _) => true,
        // Back in its grace period.
        (Some(then), Some(RevocationReason::Superseded)) => then > now,
        (Some(_), _) => false,
    };
    Ok(match is_released {
        false => RevocationCheck::Revoked,
        true if published.reason == CrlReason::CertificateHold => RevocationCheck::Released,
        true => RevocationCheck::Unknown("not revoked on the ledger".into()),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::store::item::{key, number, string};

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn answer(reason: CrlReason, attributes: &[(&str, AttributeValue)]) -> Result<RevocationCheck> {
        let mut item = key("LEDGER#x".into(), "CERT#40".into());
        let good = [("ca", string("device")), ("not_after", number(NOW.unix()))];
        let all = good.iter().chain(attributes).cloned();
        item.extend(all.map(|(name, value)| (name.to_owned(), value)));
        let serial = "40".parse().unwrap();
        check(&item, "device", &Entry { serial, revoked_at: NOW, reason }, NOW)
    }

    #[test]
    fn only_a_hold_can_be_released() {
        use RevocationCheck::{Expired, Released, Revoked};
        let at = |time: Timestamp| ("revoked_at", number(time.unix()));
        let reason = |reason: &str| ("revocation_reason", string(reason));
        let hold = |attributes: &[_]| answer(CrlReason::CertificateHold, attributes).unwrap();
        assert_eq!(hold(&[]), Released);
        assert_eq!(hold(&[at(NOW.plus(1)), reason("superseded")]), Released);
        assert_eq!(hold(&[at(NOW), reason("superseded")]), Revoked);
        assert_eq!(hold(&[at(NOW.plus(1)), reason("certificateHold")]), Revoked);
        assert_eq!(hold(&[at(NOW.plus(1)), reason("keyCompromise")]), Revoked);
        let old = NOW.minus(KEEP_EXPIRED_SECONDS + 1);
        assert_eq!(hold(&[("not_after", number(old.unix()))]), Expired);
        for kept in [CrlReason::Unspecified, CrlReason::KeyCompromise, CrlReason::Superseded] {
            let check = answer(kept, &[]).unwrap();
            assert_eq!(check, RevocationCheck::Unknown("not revoked on the ledger".into()));
            assert_eq!(answer(kept, &[at(NOW), reason("keyCompromise")]).unwrap(), Revoked);
        }
    }

    #[test]
    fn a_damaged_item_does_not_release_a_hold() {
        for (attribute, value) in [
            ("ca", number(1)),
            ("not_after", string("soon")),
            ("revoked_at", string("never")),
            ("revocation_reason", string("whim")),
        ] {
            let answer = answer(CrlReason::CertificateHold, &[(attribute, value)]);
            assert!(answer.unwrap_err().to_string().contains(attribute), "{attribute}");
        }
        let other = answer(CrlReason::CertificateHold, &[("ca", string("device-2"))]).unwrap();
        assert!(matches!(other, RevocationCheck::Unknown(why) if why.contains("device-2")));
    }
}
