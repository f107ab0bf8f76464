//! Identifiers: a prefix that says of what, and 131 bits of randomness in base62.

use std::{fmt, marker::PhantomData, str::FromStr};

use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::base62;

/// Characters after the prefix: 22 · log2(62) = 131 bits.
pub(crate) const ID_LENGTH: usize = 22;

/// What an [`Id`] names.
pub trait IdKind: Copy {
    /// What its text form begins with, underscore included.
    const PREFIX: &'static str;
}

/// A device, also the common name of its certificates: `dev_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceKind {}
/// A project, which holds a fleet and its policy: `proj_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProjectKind {}
/// An enrollment token's public name, which is no secret: `tok_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {}

impl IdKind for DeviceKind {
    const PREFIX: &'static str = "dev_";
}
impl IdKind for ProjectKind {
    const PREFIX: &'static str = "proj_";
}
impl IdKind for TokenKind {
    const PREFIX: &'static str = "tok_";
}

/// A device's id.
pub type DeviceId = Id<DeviceKind>;
/// A project's id.
pub type ProjectId = Id<ProjectKind>;
/// An enrollment token's id.
pub type TokenId = Id<TokenKind>;

/// An identifier that nobody can guess and that says of what it is. In the order of their texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K> {
    random: [u8; ID_LENGTH],
    kind: PhantomData<K>,
}

/// The text is no id of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: it should be {prefix} and 22 letters or digits")]
pub struct InvalidId {
    prefix: &'static str,
}

impl<K: IdKind> Id<K> {
    /// A new one.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut random = [0; ID_LENGTH];
        base62::fill(&mut random, rng);
        Self { random, kind: PhantomData }
    }

    /// The part after the prefix.
    pub(crate) fn random_part(&self) -> &str {
        // Only base62 gets into `random`.
        str::from_utf8(&self.random).unwrap_or_default()
    }

    pub(crate) fn from_random_part(part: &[u8]) -> Result<Self, InvalidId> {
        match part.try_into() {
            Ok(random) if base62::is_text(part) => Ok(Self { random, kind: PhantomData }),
            _ => Err(InvalidId { prefix: K::PREFIX }),
        }
    }
}

impl<K: IdKind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let part = text.strip_prefix(K::PREFIX).ok_or(InvalidId { prefix: K::PREFIX })?;
        Self::from_random_part(part.as_bytes())
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", K::PREFIX, self.random_part())
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};

    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let id = DeviceId::generate(&mut UnwrapErr(SysRng));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), "dev_".len() + 22);
    }

    #[test]
    fn refuses_other_kinds_lengths_and_characters() {
        let id = DeviceId::generate(&mut UnwrapErr(SysRng)).to_string();
        assert!(id.parse::<ProjectId>().is_err());
        for bad in
            ["", "dev_", &id[..25], &format!("{id}0"), &id.replace("dev_", "dev_,").as_str()[..26]]
        {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
        assert!(format!("dev_{}é", &id[4..24]).parse::<DeviceId>().is_err());
    }
}
