//! Identifiers: a prefix that says of what, and 131 bits of randomness in base62.

use std::{fmt, marker::PhantomData, str::FromStr};

use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters after the prefix: 22 · log2(62) = 131 bits.
pub(crate) const ID_LENGTH: usize = 22;

/// What an [`Id`] names.
pub trait Kind: Copy {
    /// What its text form begins with, underscore included.
    const PREFIX: &'static str;
}

/// A device, also the common name of its certificates: `dev_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {}
/// A project, which holds a fleet and its policy: `proj_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Project {}
/// An enrollment token's public name, which is no secret: `tok_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {}

impl Kind for Device {
    const PREFIX: &'static str = "dev_";
}
impl Kind for Project {
    const PREFIX: &'static str = "proj_";
}
impl Kind for Token {
    const PREFIX: &'static str = "tok_";
}

/// A device's id.
pub type DeviceId = Id<Device>;
/// A project's id.
pub type ProjectId = Id<Project>;
/// An enrollment token's id.
pub type TokenId = Id<Token>;

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

impl<K: Kind> Id<K> {
    /// A new one.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut random = [0; ID_LENGTH];
        fill_base62(&mut random, rng);
        Self { random, kind: PhantomData }
    }

    /// The part after the prefix.
    pub(crate) fn random_part(&self) -> &str {
        // Only base62 gets into `random`.
        str::from_utf8(&self.random).unwrap_or_default()
    }

    pub(crate) fn from_random_part(part: &[u8]) -> Result<Self, InvalidId> {
        match part.try_into() {
            Ok(random) if is_base62(part) => Ok(Self { random, kind: PhantomData }),
            _ => Err(InvalidId { prefix: K::PREFIX }),
        }
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let part = text.strip_prefix(K::PREFIX).ok_or(InvalidId { prefix: K::PREFIX })?;
        Self::from_random_part(part.as_bytes())
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", K::PREFIX, self.random_part())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Fills `target` with uniformly random base62 characters.
pub(crate) fn fill_base62(target: &mut [u8], rng: &mut (impl CryptoRng + ?Sized)) {
    let mut pool = zeroize::Zeroizing::new([0u8; 64]);
    let mut filled = 0;
    while filled < target.len() {
        rng.fill_bytes(pool.as_mut());
        // Six bits, and 62 and 63 thrown away: a remainder would favour the first characters.
        for index in pool.iter().map(|byte| usize::from(byte & 63)).filter(|&index| index < 62) {
            if filled == target.len() {
                break;
            }
            target[filled] = ALPHABET[index];
            filled += 1;
        }
    }
}

pub(crate) fn is_base62(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_alphanumeric)
}

/// Six base62 characters hold any 32-bit number.
pub(crate) fn base62_u32(mut number: u32) -> [u8; 6] {
    let mut text = [b'0'; 6];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

    #[test]
    fn uses_the_whole_alphabet_evenly() {
        let mut text = vec![0; 62_000];
        fill_base62(&mut text, &mut UnwrapErr(SysRng));
        let mut counts = [0u32; 256];
        for byte in &text {
            counts[usize::from(*byte)] += 1;
        }
        let used: BTreeSet<u8> = text.into_iter().collect();
        assert_eq!(used, ALPHABET.iter().copied().collect());
        // 1000 expected of each, standard deviation 31: beyond 8 of them is no accident.
        assert!(counts.iter().filter(|&&n| n > 0).all(|n| (750..1250).contains(n)));
    }
}
