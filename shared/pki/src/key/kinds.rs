//! The kinds of keys that devices may have.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// ECDSA on P-256 (RFC 5480).
    P256,
    /// ECDSA on P-384 (RFC 5480).
    P384,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// RSA of 2048 to 4096 bits (RFC 8017).
    Rsa,
}

impl KeyKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::P256, Self::P384, Self::Ed25519, Self::Rsa];

    /// Returns the name used in project policies and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The error for a text that does not name a kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid kind of key: use p256, p384, ed25519 or rsa")]
pub struct UnknownKeyKind;

impl FromStr for KeyKind {
    type Err = UnknownKeyKind;

    fn from_str(text: &str) -> Result<Self, UnknownKeyKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKeyKind)
    }
}

/// A non-empty set of key kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<KeyKind>")]
pub struct KeyKinds(BTreeSet<KeyKind>);

/// The error for an empty set of key kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kind of key is allowed: allow at least one")]
pub struct NoKeyKinds;

impl KeyKinds {
    /// Returns the set of every kind.
    #[must_use]
    pub fn all() -> Self {
        Self(KeyKind::ALL.into())
    }

    /// Returns the set of one kind.
    #[must_use]
    pub fn only(kind: KeyKind) -> Self {
        Self([kind].into())
    }

    /// Returns true if `kind` is in the set.
    #[must_use]
    pub fn contains(&self, kind: KeyKind) -> bool {
        self.0.contains(&kind)
    }

    /// Returns the kinds, in the order of [`KeyKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = KeyKind> {
        self.0.iter().copied()
    }
}

impl TryFrom<BTreeSet<KeyKind>> for KeyKinds {
    type Error = NoKeyKinds;

    fn try_from(kinds: BTreeSet<KeyKind>) -> Result<Self, NoKeyKinds> {
        if kinds.is_empty() { Err(NoKeyKinds) } else { Ok(Self(kinds)) }
    }
}

/// Writes the names separated by commas, as in `p256, rsa`.
impl fmt::Display for KeyKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(KeyKind::as_str).collect();
        f.pad(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_equal_the_stored_form() {
        for kind in KeyKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.as_str()));
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(kind.to_string(), kind.as_str());
            for other in KeyKind::ALL {
                assert_eq!(KeyKinds::only(kind).contains(other), kind == other);
            }
        }
        assert_eq!("P256".parse::<KeyKind>(), Err(UnknownKeyKind));
        let stored = r#"["p256","p384","ed25519","rsa"]"#;
        assert_eq!(serde_json::from_str::<KeyKinds>(stored).unwrap(), KeyKinds::all());
        assert_eq!(KeyKinds::all().to_string(), "p256, p384, ed25519, rsa");
        assert_eq!(KeyKinds::only(KeyKind::Rsa).to_string(), "rsa");
        assert!(serde_json::from_str::<KeyKinds>("[]").is_err());
        assert!(serde_json::from_str::<KeyKinds>(r#"["dsa"]"#).is_err());
    }
}
