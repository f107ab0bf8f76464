//! Enrollment tokens and device tokens.
//!
//! A token is a prefix followed by the ids that locate its item, a 256-bit secret and a checksum, all in
//! base62:
//!
//! ```text
//! dt_ <project: 22> <device: 22> <secret: 43> <CRC-32: 6>
//! et_ <project: 22> <token id: 22> <secret: 43> <CRC-32: 6>
//! ```
//!
//! The ids make authentication one keyed write, without an index. They count only if that write's
//! condition on the secret's hash holds. The checksum detects a typing error, and lets a scanner for
//! leaked secrets decide, offline. Only the secret's SHA-256 is ever stored.

use std::marker::PhantomData;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    base62, hex,
    names::{DeviceKind, ID_LENGTH, Id, IdKind, ProjectId, TokenKind},
};

/// 43 · log2(62) = 256 bits.
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;

/// The purpose of a [`Token`].
pub trait Purpose {
    /// The prefix of the text form, including the underscore.
    const PREFIX: &'static str;
    /// The kind of the id that follows the project's id.
    type Subject: IdKind;
}

/// Enrolls devices in a project: `et_…`.
pub enum Enrollment {}
/// Authenticates one device: `dt_…`.
pub enum Device {}

impl Purpose for Enrollment {
    const PREFIX: &'static str = "et_";
    type Subject = TokenKind;
}
impl Purpose for Device {
    const PREFIX: &'static str = "dt_";
    type Subject = DeviceKind;
}

/// A token that a factory puts on devices, to enroll them.
pub type EnrollmentToken = Token<Enrollment>;
/// A token that one device received when it enrolled.
pub type DeviceToken = Token<Device>;

/// A bearer token. It implements none of `Debug`, `Display` and `Clone`, and its secret is wiped on drop.
pub struct Token<P: Purpose> {
    project: ProjectId,
    subject: Id<P::Subject>,
    secret: Secret,
    purpose: PhantomData<P>,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Secret([u8; SECRET_LENGTH]);

/// The error for a text with the wrong prefix, length, alphabet or checksum. It does not say which, so
/// that no part of a secret gets into an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid token: its format or its checksum is wrong")]
pub struct MalformedToken;

impl<P: Purpose> Token<P> {
    /// The length of the text form, in characters.
    const LENGTH: usize = P::PREFIX.len() + 2 * ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH;

    /// Generates a token with a new secret.
    pub fn generate(
        project: ProjectId,
        subject: Id<P::Subject>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        let mut secret = Secret([0; SECRET_LENGTH]);
        base62::fill(&mut secret.0, rng);
        Self { project, subject, secret, purpose: PhantomData }
    }

    /// Parses the text form of a token.
    ///
    /// # Errors
    /// If the prefix, length, alphabet or checksum is wrong.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let text = text.as_bytes();
        if text.len() != Self::LENGTH || !text.starts_with(P::PREFIX.as_bytes()) {
            return Err(MalformedToken);
        }
        let (checked, checksum) = text.split_at(Self::LENGTH - CHECKSUM_LENGTH);
        if base62::encode_u32(crc32fast::hash(checked)) != checksum {
            return Err(MalformedToken);
        }
        let (ids, secret) = checked[P::PREFIX.len()..].split_at(2 * ID_LENGTH);
        let (project, subject) = ids.split_at(ID_LENGTH);
        if !base62::is_base62(secret) {
            return Err(MalformedToken);
        }
        Ok(Self {
            project: Id::from_random_part(project).map_err(|_| MalformedToken)?,
            subject: Id::from_random_part(subject).map_err(|_| MalformedToken)?,
            secret: Secret(secret.try_into().map_err(|_| MalformedToken)?),
            purpose: PhantomData,
        })
    }

    /// Returns the project that the token claims to belong to.
    #[must_use]
    pub fn project(&self) -> ProjectId {
        self.project
    }

    /// Returns the id that the token claims to authenticate.
    #[must_use]
    pub fn subject(&self) -> Id<P::Subject> {
        self.subject
    }

    /// Returns the hash that is stored instead of the token.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(hex(&Sha256::digest(self.secret.0)))
    }

    /// Returns the text form, including the secret.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(Self::LENGTH));
        text.push_str(P::PREFIX);
        text.push_str(self.project.random_part());
        text.push_str(self.subject.random_part());
        text.extend(self.secret.0.iter().copied().map(char::from));
        let checksum = base62::encode_u32(crc32fast::hash(text.as_bytes()));
        text.extend(checksum.into_iter().map(char::from));
        text
    }
}

/// SHA-256 of a token's secret, in hex. No salt is needed: the secret is 256 random bits. Comparison
/// takes constant time.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(String);

impl SecretHash {
    /// Returns the lower-case hex.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};

    use super::*;
    use crate::names::{DeviceId, TokenId};

    fn device_token() -> DeviceToken {
        let rng = &mut UnwrapErr(SysRng);
        DeviceToken::generate(ProjectId::generate(rng), DeviceId::generate(rng), rng)
    }

    #[test]
    fn reads_what_it_writes() {
        let token = device_token();
        let read = DeviceToken::parse(&token.expose()).unwrap();
        assert_eq!((read.project(), read.subject()), (token.project(), token.subject()));
        assert!(read.hash() == token.hash());
        assert_eq!(token.hash().as_str(), hex(&Sha256::digest(token.secret.0)));
        assert_eq!(token.expose().len(), 96);
    }

    #[test]
    fn a_changed_character_is_caught() {
        let text = device_token().expose();
        for place in 0..text.len() {
            let mut other = text.clone();
            let wrong = if text.as_bytes()[place] == b'x' { "y" } else { "x" };
            other.replace_range(place..=place, wrong);
            assert!(DeviceToken::parse(&other).is_err(), "character {place}");
        }
    }

    #[test]
    fn refuses_other_prefixes_lengths_and_alphabets() {
        let text = device_token().expose();
        let rng = &mut UnwrapErr(SysRng);
        let other =
            EnrollmentToken::generate(ProjectId::generate(rng), TokenId::generate(rng), rng);
        assert!(DeviceToken::parse(&other.expose()).is_err());
        assert!(DeviceToken::parse(&text[..95]).is_err());
        assert!(DeviceToken::parse(&format!("{}0", *text)).is_err());
        assert!(DeviceToken::parse("").is_err());
        // A valid checksum does not excuse a character outside the alphabet.
        let body = format!("{}-", &text[..89]);
        let checksum = base62::encode_u32(crc32fast::hash(body.as_bytes()));
        assert!(DeviceToken::parse(&(body + str::from_utf8(&checksum).unwrap())).is_err());
    }

    #[test]
    fn the_secret_stays_the_same_under_another_id() {
        let (one, two) = (device_token(), device_token());
        let mixed = DeviceToken {
            project: one.project,
            subject: two.subject,
            secret: Secret(one.secret.0),
            purpose: PhantomData,
        };
        let read = DeviceToken::parse(&mixed.expose()).unwrap();
        assert_eq!(read.subject(), two.subject());
        assert!(read.hash() != two.hash());
    }
}
