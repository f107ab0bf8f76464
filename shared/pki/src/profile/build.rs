//! Builds to-be-signed certificates from profiles.

use der::asn1::{Ia5String, OctetString};
use rand_core::CryptoRng;
use spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::{
    TbsCertificate,
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    ext::{
        Extension, ToExtension,
        pkix::{
            AuthorityKeyIdentifier, CrlDistributionPoints, ExtendedKeyUsage, SubjectKeyIdentifier,
            crl::dp::DistributionPoint,
            name::{DistributionPointName, GeneralName},
        },
    },
    name::Name,
    serial_number::SerialNumber,
    time::Validity,
};

use super::{contents::Profile, issued_by::IssuedBy};
use crate::clock::Timestamp;

/// The age of a new certificate by its `notBefore`, in seconds: one hour, for devices with slow clocks.
pub const BACKDATED_SECONDS: u64 = 60 * 60;

/// Computes the key identifier: SHA-1 of the subject public key's bits (RFC 5280, section 4.2.1.2,
/// method 1). It only names the key, so SHA-1 is safe here.
///
/// # Errors
/// If the key cannot be encoded.
pub fn key_identifier(key: SubjectPublicKeyInfoRef<'_>) -> der::Result<Vec<u8>> {
    Ok(SubjectKeyIdentifier::try_from(key)?.0.into_bytes().into_vec())
}

/// A built certificate, not yet checked. Only [`lint`](crate::lint::lint) accepts it.
pub struct Tbs<'a> {
    pub(crate) der: Vec<u8>,
    pub(crate) profile: &'a Profile,
    pub(crate) issued_by: IssuedBy<'a>,
}

/// Builds the to-be-signed certificate for `key`, valid until `not_after` and from an hour before `now`,
/// but not before its CA is.
///
/// # Errors
/// If a name exceeds the bounds of RFC 5280, appendix A.1, or a date is after the year 9999.
pub fn build<'a>(
    profile: &'a Profile,
    issued_by: IssuedBy<'a>,
    key: SubjectPublicKeyInfoOwned,
    now: Timestamp,
    not_after: Timestamp,
    rng: &mut (impl CryptoRng + ?Sized),
) -> der::Result<Tbs<'a>> {
    let not_before = now.minus(BACKDATED_SECONDS).max(issued_by.not_before);
    let validity = Validity::new(not_before.x509()?, not_after.x509()?);
    let extensions = Extensions { profile, issued_by, subject: profile.subject()? };
    let mut builder =
        CertificateBuilder::new(extensions, random_serial(rng)?, validity, key).map_err(asn1)?;
    let der = builder.finalize(issued_by.key).map_err(asn1)?;
    Ok(Tbs { der, profile, issued_by })
}

/// Generates a serial number of 16 octets, positive and without a leading zero, with 126 random bits.
/// RFC 5280, section 4.1.2.2, allows up to 20 octets; the CA/Browser Forum requires 64 random bits.
fn random_serial(rng: &mut (impl CryptoRng + ?Sized)) -> der::Result<SerialNumber> {
    let mut octets = [0u8; 16];
    rng.fill_bytes(&mut octets);
    octets[0] = octets[0] & 0x7f | 0x40;
    SerialNumber::new(&octets)
}

fn asn1(error: builder::Error) -> der::Error {
    match error {
        builder::Error::Asn1(error) => error,
        _ => der::ErrorKind::Failed.into(),
    }
}

struct Extensions<'a> {
    profile: &'a Profile,
    issued_by: IssuedBy<'a>,
    subject: Name,
}

impl BuilderProfile for Extensions<'_> {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issued_by.subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let mut extensions = Vec::with_capacity(8);
        let mut add = |extension: der::Result<Extension>| extension.map(|e| extensions.push(e));
        let subject = tbs.subject();

        add(self.profile.basic_constraints().to_extension(subject, &[]))?;
        add(self.profile.key_usage().to_extension(subject, &[]))?;
        if let Some(purposes) = self.profile.key_purposes() {
            add(ExtendedKeyUsage(purposes.to_vec()).to_extension(subject, &[]))?;
        }
        if let Some(names) = self.profile.alternative_names()? {
            add(names.to_extension(subject, &[]))?;
        }
        // RFC 5280, section 4.2.1.2.
        add(SubjectKeyIdentifier::try_from(key)?.to_extension(subject, &[]))?;
        if !self.profile.is_root() {
            // RFC 5280, section 4.2.1.1: the issuer's own subject key identifier. In an imported CA it
            // need not be the hash of the key.
            let issuer = AuthorityKeyIdentifier {
                key_identifier: Some(OctetString::new(self.issued_by.key_identifier)?),
                ..AuthorityKeyIdentifier::default()
            };
            add(issuer.to_extension(subject, &[]))?;
            if let Some(url) = self.issued_by.crl_url {
                add(distribution_points(url)?.to_extension(subject, &[]))?;
            }
        }
        Ok(extensions)
    }
}

/// Returns the extension for one full CRL at one URL (RFC 5280, section 4.2.1.13).
pub(crate) fn distribution_points(url: &str) -> der::Result<CrlDistributionPoints> {
    let address = GeneralName::UniformResourceIdentifier(Ia5String::new(url)?);
    Ok(CrlDistributionPoints(vec![DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(vec![address])),
        reasons: None,
        crl_issuer: None,
    }]))
}
