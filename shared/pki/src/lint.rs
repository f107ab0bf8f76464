//! The check before signing: a built certificate is decoded and compared, field by field, with RFC 5280
//! and its profile.
//!
//! Only a certificate that passes becomes a [`LintedTbs`], and nothing else can be signed.

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
    certificate::UnverifiedCertificate,
    clock::Timestamp,
    hex,
    key::PublicKey,
    profile::{self, Tbs},
    signed,
    signing::{self, CaPublicKey, CaSignature, TbsDigest},
};
pub use rule::LintError;
use rule::{broken, ensure};

/// A to-be-signed certificate that passed the lint and may be signed once: adding the signature consumes
/// it.
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
    /// Returns the DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the SHA-256 digest to sign.
    #[must_use]
    pub fn digest(&self) -> &TbsDigest {
        &self.digest
    }

    /// Returns the serial number in lower-case hex.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// Returns the SHA-256 of the subject public key info in lower-case hex.
    #[must_use]
    pub fn key_fingerprint(&self) -> &str {
        &self.key_fingerprint
    }

    /// Returns `notBefore`.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Returns `notAfter`.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Adds the signature, which is not verified here.
    ///
    /// # Errors
    /// If the certificate cannot be encoded.
    pub fn with_signature(self, signature: &CaSignature) -> der::Result<UnverifiedCertificate> {
        let der = signed::assemble(&self.der, signature)?;
        Ok(UnverifiedCertificate {
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
/// The first rule that the certificate violates.
pub fn lint(tbs: Tbs<'_>) -> Result<LintedTbs, LintError> {
    let Tbs { der, profile, issued_by } = tbs;
    let read = TbsCertificate::from_der(&der).ok();
    let read = read.ok_or(broken("the certificate decodes", "X.690"))?;
    ensure(
        read.to_der().is_ok_and(|again| again == der),
        "the encoding is DER",
        "X.690, clause 10",
    )?;

    ensure(read.version() == Version::V3, "the version is 3", "RFC 5280, 4.1.2.1")?;
    let serial = read.serial_number().as_bytes();
    ensure(
        serial.len() == 16 && serial[0] & 0xc0 == 0x40,
        "the serial number is positive and has 16 octets",
        "RFC 5280, 4.1.2.2",
    )?;
    ensure(
        *read.signature() == signing::ALGORITHM,
        "the algorithm is ecdsa-with-SHA256",
        "RFC 5758, 3.2",
    )?;
    ensure(
        !read.issuer().is_empty() && read.issuer() == issued_by.subject,
        "the issuer is the CA's subject",
        "RFC 5280, 4.1.2.4",
    )?;
    ensure(
        read.issuer_unique_id().is_none() && read.subject_unique_id().is_none(),
        "there are no unique identifiers",
        "RFC 5280, 4.1.2.8",
    )?;

    let not_before = Timestamp::from(read.validity().not_before);
    let not_after = Timestamp::from(read.validity().not_after);
    ensure(not_before < not_after, "notBefore is earlier than notAfter", "RFC 5280, 4.1.2.5")?;
    ensure(
        profile.max_validity().is_none_or(|longest| {
            not_after <= not_before.plus(longest).plus(profile::BACKDATED_SECONDS)
        }),
        "the validity is no longer than the profile allows",
        "certificate profile",
    )?;
    ensure(
        issued_by.not_before <= not_before && not_after <= issued_by.not_after,
        "the validity is within that of the CA",
        "certificate profile",
    )?;
    ensure(
        profile.subject().is_ok_and(|subject| subject == *read.subject()),
        "the subject is the profile's",
        "certificate profile",
    )?;

    let key = read.subject_public_key_info();
    let checked = PublicKey::try_from(key.clone()).ok();
    let checked = checked.ok_or(broken("the key is acceptable", "RFC 5480, RFC 8410, RFC 8017"))?;
    ensure(
        profile.key_kinds().contains(checked.kind()),
        "the profile allows the kind of the key",
        "certificate profile",
    )?;
    if profile.is_root() {
        ensure(
            CaPublicKey::try_from(key).is_ok_and(|key| key == *issued_by.key),
            "the root certifies its own key",
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
            "extKeyUsage is the profile's",
            "RFC 5280, 4.2.1.12",
        )?;
    }
    let names = profile.alternative_names();
    let names = names.map_err(|_| broken("the alternative names encode", "RFC 5280, 4.2.1.6"))?;
    if let Some(names) = names {
        expect(SubjectAltName::OID, false);
        ensure(
            !names.0.is_empty() && holds(&read, |it: &SubjectAltName| *it == names),
            "subjectAltName is the profile's and not empty",
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
                "cRLDistributionPoints is the URL of the CA's CRL",
                "RFC 5280, 4.2.1.13",
            )?;
        }
    }
    let found = read.extensions().map(|all| all.iter().map(|e| (e.extn_id, e.critical)).collect());
    ensure(
        found == Some(expected),
        "the extensions are those of the profile, in number, order and criticality",
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

/// Returns true if the extension is present, its encoding is DER and it passes `check`. The decoder alone
/// would accept a bit string with needless trailing zero bits.
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
