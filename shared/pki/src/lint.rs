//! The check before the signature: a built certificate is read back from its bytes and held, field
//! by field, against RFC 5280 and its profile.
//!
//! Only what passes becomes a [`LintedTbs`], and nothing else can be signed.

pub(crate) mod rule;
#[cfg(test)]
mod tests;

use const_oid::AssociatedOid;
use der::{Decode, Encode, asn1::ObjectIdentifier, referenced::OwnedToRef};
use x509_cert::{
    TbsCertificate,
    certificate::Version,
    ext::pkix::{
        AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, ExtendedKeyUsage,
        KeyUsage, SubjectAltName, SubjectKeyIdentifier,
    },
};

use crate::{
    certificate::Unverified,
    clock::Timestamp,
    hex,
    key::PublicKey,
    profile::{self, Tbs},
    signed,
    signing::{self, CaPublicKey, CaSignature, TbsDigest},
};
pub use rule::LintError;
use rule::{broken, ensure};

/// A certificate that was checked and may be signed, once: signing consumes it.
#[derive(Debug)]
pub struct LintedTbs {
    der: Vec<u8>,
    digest: TbsDigest,
    serial_number: String,
    key_fingerprint: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl LintedTbs {
    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of its bytes: what is signed.
    #[must_use]
    pub fn digest(&self) -> &TbsDigest {
        &self.digest
    }

    /// Lower-case hex.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// SHA-256 of the subject public key info, in hex.
    #[must_use]
    pub fn key_fingerprint(&self) -> &str {
        &self.key_fingerprint
    }

    /// Begin of validity.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The certificate with what claims to be its signature.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn with_signature(self, signature: &CaSignature) -> der::Result<Unverified> {
        let der = signed::assemble(&self.der, signature)?;
        Ok(Unverified {
            der,
            tbs: self.der,
            serial_number: self.serial_number,
            not_before: self.not_before,
            not_after: self.not_after,
        })
    }
}

/// Checks a built certificate against its profile.
///
/// # Errors
/// The first rule it breaks.
pub fn lint(tbs: Tbs<'_>) -> Result<LintedTbs, LintError> {
    let Tbs { der, profile, issued_by } = tbs;
    let read = TbsCertificate::from_der(&der).ok();
    let read = read.ok_or(broken("it decodes", "X.690"))?;
    ensure(
        read.to_der().is_ok_and(|again| again == der),
        "its encoding is DER",
        "X.690, clause 10",
    )?;

    ensure(read.version() == Version::V3, "version 3", "RFC 5280, 4.1.2.1")?;
    let serial = read.serial_number().as_bytes();
    ensure(
        serial.len() == 16 && serial[0] & 0xc0 == 0x40,
        "a positive serial number of 16 octets",
        "RFC 5280, 4.1.2.2",
    )?;
    ensure(*read.signature() == signing::ALGORITHM, "ecdsa-with-SHA256", "RFC 5758, 3.2")?;
    ensure(
        !read.issuer().is_empty() && read.issuer() == issued_by.subject,
        "the issuer is the CA's subject",
        "RFC 5280, 4.1.2.4",
    )?;
    ensure(
        read.issuer_unique_id().is_none() && read.subject_unique_id().is_none(),
        "no unique identifiers",
        "RFC 5280, 4.1.2.8",
    )?;

    let not_before = Timestamp::from(read.validity().not_before);
    let not_after = Timestamp::from(read.validity().not_after);
    ensure(not_before < not_after, "it is valid before it expires", "RFC 5280, 4.1.2.5")?;
    ensure(
        profile.longest_validity().is_none_or(|longest| {
            not_after <= not_before.plus(longest).plus(profile::BACKDATED_SECONDS)
        }),
        "it is valid no longer than the profile allows",
        "certificate profile",
    )?;
    ensure(
        issued_by.not_before <= not_before && not_after <= issued_by.not_after,
        "it is valid only while its CA is",
        "certificate profile",
    )?;
    ensure(
        profile.subject().is_ok_and(|subject| subject == *read.subject()),
        "the subject is the profile's",
        "certificate profile",
    )?;

    let key = read.subject_public_key_info();
    let checked = PublicKey::try_from(key.clone()).ok();
    let checked = checked.ok_or(broken("the key is sound", "RFC 5480, RFC 8410, RFC 8017"))?;
    ensure(
        profile.key_kinds().contains(checked.kind()),
        "the key is of a kind that the profile has",
        "certificate profile",
    )?;
    if profile.is_root() {
        ensure(
            CaPublicKey::try_from(key).is_ok_and(|key| key == *issued_by.key),
            "a root certifies its own key",
            "RFC 5280, 3.2",
        )?;
    }

    let mut expected: Vec<(ObjectIdentifier, bool)> = Vec::with_capacity(8);
    let mut expect = |oid, critical| expected.push((oid, critical));

    expect(BasicConstraints::OID, true);
    ensure(
        holds(&read, |it: &BasicConstraints| *it == profile.basic_constraints()),
        "basicConstraints are the profile's",
        "RFC 5280, 4.2.1.9",
    )?;
    expect(KeyUsage::OID, true);
    ensure(
        holds(&read, |it: &KeyUsage| *it == profile.key_usage()),
        "keyUsage is the profile's",
        "RFC 5280, 4.2.1.3",
    )?;
    if let Some(purposes) = profile.key_purposes() {
        expect(ExtendedKeyUsage::OID, false);
        ensure(
            holds(&read, |it: &ExtendedKeyUsage| it.0 == purposes),
            "extKeyUsage has the profile's purposes and no other",
            "RFC 5280, 4.2.1.12",
        )?;
    }
    let names = profile.alternative_names();
    let names = names.map_err(|_| broken("the names encode", "RFC 5280, 4.2.1.6"))?;
    if let Some(names) = names {
        expect(SubjectAltName::OID, false);
        ensure(
            !names.0.is_empty() && holds(&read, |it: &SubjectAltName| *it == names),
            "subjectAltName has the profile's names, one at least",
            "RFC 5280, 4.2.1.6",
        )?;
    }
    expect(SubjectKeyIdentifier::OID, false);
    ensure(
        profile::key_identifier(key.owned_to_ref())
            .is_ok_and(|id| holds(&read, |it: &SubjectKeyIdentifier| it.0.as_bytes() == id)),
        "subjectKeyIdentifier is the key's",
        "RFC 5280, 4.2.1.2",
    )?;
    if !profile.is_root() {
        expect(AuthorityKeyIdentifier::OID, false);
        ensure(
            holds(&read, |it: &AuthorityKeyIdentifier| {
                it.key_identifier.as_ref().map(|id| id.as_bytes()) == Some(issued_by.key_identifier)
                    && it.authority_cert_issuer.is_none()
                    && it.authority_cert_serial_number.is_none()
            }),
            "authorityKeyIdentifier is the CA's subjectKeyIdentifier",
            "RFC 5280, 4.2.1.1",
        )?;
        if let Some(url) = issued_by.crl_url {
            expect(CrlDistributionPoints::OID, false);
            ensure(
                profile::distribution_points(url)
                    .is_ok_and(|points| holds(&read, |it: &CrlDistributionPoints| *it == points)),
                "cRLDistributionPoints has the CA's one address",
                "RFC 5280, 4.2.1.13",
            )?;
        }
    }
    let found = read.extensions().map(|all| all.iter().map(|e| (e.extn_id, e.critical)).collect());
    ensure(
        found == Some(expected),
        "the profile's extensions, each once, each as critical as it should be, and no other",
        "RFC 5280, 4.2",
    )?;

    Ok(LintedTbs {
        digest: signing::digest(&der),
        serial_number: hex(serial),
        key_fingerprint: checked.fingerprint().to_owned(),
        not_before,
        not_after,
        der,
    })
}

/// Whether `check` likes the extension, whose own encoding must be DER too: the decoder would take a
/// bit string with needless zero bits.
fn holds<'a, E>(tbs: &'a TbsCertificate, check: impl FnOnce(&E) -> bool) -> bool
where
    E: Decode<'a> + Encode + AssociatedOid,
{
    let found = tbs.extensions().and_then(|all| all.iter().find(|e| e.extn_id == E::OID));
    found.is_some_and(|extension| {
        let bytes = extension.extn_value.as_bytes();
        let read = E::from_der(bytes).ok();
        read.is_some_and(|read| check(&read) && read.to_der().is_ok_and(|again| again == bytes))
    })
}
