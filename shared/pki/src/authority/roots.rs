//! The roots that the configuration of a deployment pins.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use super::{
    chain_certificate::ChainCertificate, fault::AuthorityFault, issuing::Authority,
    record::AuthorityRecord,
};
use crate::{error::Result, hex};

/// The SHA-256 fingerprint of a root certificate, over its DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootFingerprint([u8; 32]);

impl RootFingerprint {
    /// Returns the fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for RootFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

/// Parses one fingerprint, as `openssl x509 -fingerprint -sha256` prints it or without colons.
impl FromStr for RootFingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        octets(text).map(Self)
    }
}

/// SHA-256 fingerprints of root certificates. An empty set admits every root; a deployment has one until its
/// root ceremony.
///
/// The record of a CA tells devices which root to trust. Without these fingerprints, an attacker who can
/// write the table, but has no key, could put another root above the key of the CA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots(Vec<RootFingerprint>);

/// The error for a text that is not a list of fingerprints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a list of SHA-256 fingerprints: use 64 hex digits each, with or without colons, or none"
)]
pub struct InvalidFingerprint;

impl Roots {
    /// Pins one root.
    #[must_use]
    pub fn only(root: &ChainCertificate) -> Self {
        Self(vec![RootFingerprint::of(root.der())])
    }

    /// Returns true if no root is pinned, so that every root is admitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if `root` is admitted.
    #[must_use]
    pub fn admits(&self, root: &ChainCertificate) -> bool {
        self.is_empty() || self.0.contains(&RootFingerprint::of(root.der()))
    }

    /// Returns the CA of a record if its chain verifies and ends at one of these roots.
    ///
    /// # Errors
    /// [`Error::Authority`](crate::Error::Authority) with the reason why the CA cannot be used.
    pub fn admit(&self, record: AuthorityRecord) -> Result<Authority> {
        let authority = Authority::try_from(record)?;
        if authority.above().last().is_some_and(|root| self.admits(root)) {
            return Ok(authority);
        }
        let fault = "its root is not one of those in ROOT_SHA256";
        Err(authority.fault(AuthorityFault::Unusable(fault.into())))
    }
}

/// Pins each of these fingerprints.
impl FromIterator<RootFingerprint> for Roots {
    fn from_iter<T: IntoIterator<Item = RootFingerprint>>(fingerprints: T) -> Self {
        Self(fingerprints.into_iter().collect())
    }
}

/// Lists the fingerprints, separated by commas; `none` if there are none.
impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.pad("none");
        }
        let texts: Vec<_> = self.0.iter().map(RootFingerprint::to_string).collect();
        f.pad(&texts.join(","))
    }
}

/// Parses a list that [`Display`](fmt::Display) writes; fingerprints may have colons.
impl FromStr for Roots {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        if text == "none" {
            return Ok(Self::default());
        }
        text.split(',').map(|one| one.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

fn octets(text: &str) -> Result<[u8; 32], InvalidFingerprint> {
    let digits = text.replace(':', "");
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(InvalidFingerprint);
    }
    let mut octets = [0; 32];
    for (place, octet) in octets.iter_mut().enumerate() {
        let pair = &digits[2 * place..2 * place + 2];
        *octet = u8::from_str_radix(pair, 16).map_err(|_| InvalidFingerprint)?;
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::{
        super::foreign::{Foreign, ca},
        *,
    };

    #[test]
    fn a_fingerprint_reads_as_openssl_prints_it() {
        let plain = "00ff".repeat(16);
        let colons = ["00:FF"; 16].join(":");
        let one: Roots = plain.parse().unwrap();
        assert_eq!(one.0[0].0.as_slice(), [[0, 0xff]; 16].concat());
        assert_eq!(one.to_string(), plain);
        assert_eq!(colons.parse(), Ok(one));
        let two: Roots = format!("{plain}, {colons}").parse().unwrap();
        assert_eq!(two.0.len(), 2);
        assert_eq!(two.0.iter().copied().collect::<Roots>(), two);
        assert_eq!(two.to_string().parse(), Ok(two));
        assert_eq!(Roots::default().to_string(), "none");
    }

    #[test]
    fn other_texts_are_refused() {
        let short = "0".repeat(63);
        assert_eq!("none".parse(), Ok(Roots::default()));
        let texts =
            ["", ",", "none,none", &short, &format!("{short}g"), &format!("{short}00"), "é"];
        for text in texts {
            assert_eq!(text.parse::<Roots>(), Err(InvalidFingerprint), "{text}");
            assert_eq!(text.parse::<RootFingerprint>(), Err(InvalidFingerprint), "{text}");
        }
        assert_eq!("none".parse::<RootFingerprint>(), Err(InvalidFingerprint));
        let trailing = format!("{short}0,");
        assert_eq!(trailing.parse::<Roots>(), Err(InvalidFingerprint));
    }

    #[test]
    fn only_a_ca_under_a_pinned_root_is_admitted() {
        let [root, other] = [(); 2].map(|()| Foreign::root("Root", ca(None, b"root")));
        let record = root.issue("Sub", ca(Some(0), b"sub")).record(&root);
        let pinned = |it: &Foreign| Roots::only(&it.certificate());
        let both = Roots([pinned(&other).0, pinned(&root).0].concat());
        for roots in [Roots::default(), pinned(&root), both] {
            assert_eq!(roots.admit(record.clone()).unwrap().root_pem(), root.pem);
        }
        let error = pinned(&other).admit(record).unwrap_err().to_string();
        assert!(error.contains("its root is not one of those in ROOT_SHA256"), "{error}");
    }
}
