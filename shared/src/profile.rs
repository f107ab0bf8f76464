//! What the certificates of this authority look like: RFC 5280, as narrow as it goes.
//!
//! [`build`] makes the to-be-signed part of one; `lint` then reads it back and holds it against the
//! same profile before anything may sign it.

use std::fmt;

use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use der::{
    asn1::{Ia5String, ObjectIdentifier, OctetString},
    flagset::FlagSet,
};
use p256::ecdsa::VerifyingKey;
use rand_core::CryptoRng;
use signature::Keypair;
use spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned,
    SubjectPublicKeyInfoRef,
};
use x509_cert::{
    TbsCertificate,
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    ext::{
        Extension, ToExtension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, ExtendedKeyUsage,
            KeyUsage, KeyUsages, SubjectAltName, SubjectKeyIdentifier,
            crl::dp::DistributionPoint,
            name::{DistributionPointName, GeneralName},
        },
    },
    name::Name,
    serial_number::SerialNumber,
    time::Validity,
};

use crate::{
    authority::CaCertificate,
    clock::Timestamp,
    error::Result,
    id::DeviceId,
    key::{KeyKind, KeyKinds},
    name,
    organization::Organization,
    registration::RegistrationCode,
    service::{LONGEST_VALIDITY_DAYS, Service},
    signed,
};

/// Device clocks may be slow: a certificate is valid from an hour before it was made.
pub const BACKDATED_SECONDS: u64 = 60 * 60;

/// What a subordinate CA may issue, through its extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Identities of devices: TLS clients.
    Device,
    /// Identities of brokers and services: TLS servers.
    Server,
    /// Identities of services that are TLS clients too, of brokers or of each other.
    Service,
}

impl Usage {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Device, Self::Server, Self::Service];

    /// Its name, which the names of its CAs begin with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Server => "server",
            Self::Service => "service",
        }
    }

    /// The extended key usage of the CA (RFC 5280, section 4.2.1.12), which limits its leaves'.
    #[must_use]
    pub fn key_purposes(self) -> &'static [ObjectIdentifier] {
        match self {
            Self::Device => &[ID_KP_CLIENT_AUTH],
            Self::Server => &[ID_KP_SERVER_AUTH],
            Self::Service => &[ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH],
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a certificate is for, and so everything in it that is not a number, a date or a key.
#[derive(Clone, Debug)]
pub enum Profile {
    /// The self-signed root.
    Root {
        /// Its name.
        subject: Name,
    },
    /// A CA below the root that issues leaves of one usage and no CA.
    Subordinate {
        /// Its name.
        subject: Name,
        /// Of what its leaves are.
        usage: Usage,
    },
    /// A device's birth certificate.
    Device(Device),
    /// The certificate of a broker or another service.
    Service(Service),
    /// A proof to AWS IoT that a CA is ours, with a key that nobody keeps.
    Registration(RegistrationCode),
}

/// What a device's certificate says of it, and what key it may have.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its common name.
    pub id: DeviceId,
    /// Whose device it is, if its project says so.
    pub organization: Option<Organization>,
    /// The kinds of which its key may be one.
    pub key_kinds: KeyKinds,
}

impl Profile {
    pub(crate) fn subject(&self) -> der::Result<Name> {
        match self {
            Self::Root { subject } | Self::Subordinate { subject, .. } => Ok(subject.clone()),
            Self::Device(device) => {
                let organization = device.organization.as_ref().map(Organization::as_str);
                name::distinguished(&device.id.to_string(), organization)
            }
            Self::Service(service) => name::distinguished(&service.common_name().to_string(), None),
            Self::Registration(code) => name::distinguished(code.as_str(), None),
        }
    }

    /// RFC 5280, section 4.2.1.9: a subordinate of ours has no CA below it.
    pub(crate) fn basic_constraints(&self) -> BasicConstraints {
        let (ca, path_len_constraint) = match self {
            Self::Root { .. } => (true, None),
            Self::Subordinate { .. } => (true, Some(0)),
            Self::Device(_) | Self::Service(_) | Self::Registration(_) => (false, None),
        };
        BasicConstraints { ca, path_len_constraint }
    }

    /// The kinds of which the key may be one.
    pub(crate) fn key_kinds(&self) -> KeyKinds {
        match self {
            Self::Device(device) => device.key_kinds.clone(),
            Self::Root { .. }
            | Self::Subordinate { .. }
            | Self::Service(_)
            | Self::Registration(_) => KeyKinds::only(KeyKind::P256),
        }
    }

    /// RFC 5280, section 4.2.1.3. A leaf's key only ever signs: so it is in TLS 1.3, and in TLS 1.2 with
    /// ephemeral Diffie-Hellman, for RSA keys too.
    pub(crate) fn key_usage(&self) -> KeyUsage {
        KeyUsage(match self {
            Self::Root { .. } | Self::Subordinate { .. } => {
                KeyUsages::KeyCertSign | KeyUsages::CRLSign
            }
            Self::Device(_) | Self::Service(_) | Self::Registration(_) => {
                FlagSet::from(KeyUsages::DigitalSignature)
            }
        })
    }

    /// RFC 5280, section 4.2.1.12. In a subordinate it constrains the leaves below: a broker that
    /// trusts only the root still refuses a "device" that the server CA made.
    pub(crate) fn key_purposes(&self) -> Option<&'static [ObjectIdentifier]> {
        match self {
            Self::Root { .. } => None,
            Self::Subordinate { usage, .. } => Some(usage.key_purposes()),
            Self::Device(_) | Self::Registration(_) => Some(Usage::Device.key_purposes()),
            Self::Service(service) => Some(service.role().key_purposes()),
        }
    }

    /// RFC 5280, section 4.2.1.6. Never in a device's certificate: with a DNS name it could pose as
    /// a broker to clients that do not check the extended key usage.
    pub(crate) fn alternative_names(&self) -> der::Result<Option<SubjectAltName>> {
        match self {
            Self::Service(service) => service.alternative_names(),
            Self::Root { .. }
            | Self::Subordinate { .. }
            | Self::Device(_)
            | Self::Registration(_) => Ok(None),
        }
    }

    /// In seconds, from when it is made; those of CAs and devices are for operators to choose.
    pub(crate) fn longest_validity(&self) -> Option<u64> {
        const DAY: u64 = 24 * 60 * 60;
        match self {
            Self::Root { .. } | Self::Subordinate { .. } | Self::Device(_) => None,
            Self::Service(_) => Some(u64::from(LONGEST_VALIDITY_DAYS) * DAY),
            Self::Registration(_) => Some(DAY),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        matches!(self, Self::Root { .. })
    }
}

/// What of the issuing CA gets into the certificates it issues.
#[derive(Clone, Copy)]
pub struct IssuedBy<'a> {
    pub(crate) subject: &'a Name,
    pub(crate) key: &'a VerifyingKey,
    pub(crate) key_identifier: &'a [u8],
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) crl_url: Option<&'a str>,
}

impl<'a> IssuedBy<'a> {
    /// The CA of `certificate`, whose CRL will be found at `crl_url`.
    #[must_use]
    pub fn ca(certificate: &'a CaCertificate, crl_url: Option<&'a str>) -> Self {
        Self {
            subject: certificate.subject(),
            key: certificate.key(),
            key_identifier: certificate.key_identifier(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            crl_url,
        }
    }

    /// A root, which issues itself.
    #[must_use]
    pub fn itself(subject: &'a Name, key: &'a VerifyingKey, key_identifier: &'a [u8]) -> Self {
        Self {
            subject,
            key,
            key_identifier,
            not_before: Timestamp::from_unix(0),
            not_after: Timestamp::NEVER,
            crl_url: None,
        }
    }

    /// The same, valid until `not_after`.
    #[must_use]
    pub fn until(self, not_after: Timestamp) -> Self {
        Self { not_after, ..self }
    }

    /// The same, with its CRL at `url`.
    #[must_use]
    pub fn with_crl(self, url: Option<&'a str>) -> Self {
        Self { crl_url: url, ..self }
    }

    /// The CA's name.
    #[must_use]
    pub fn subject(&self) -> &'a Name {
        self.subject
    }

    /// End of the CA's validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// RFC 5280, section 4.2.1.2, method 1: SHA-1 of the subject public key's bits. It names a key and
/// protects nothing.
///
/// # Errors
/// When the key cannot be encoded.
pub fn key_identifier(key: SubjectPublicKeyInfoRef<'_>) -> der::Result<Vec<u8>> {
    Ok(SubjectKeyIdentifier::try_from(key)?.0.into_bytes().into_vec())
}

/// A built certificate that nobody checked yet. Only `lint` takes it.
pub struct Tbs<'a> {
    pub(crate) der: Vec<u8>,
    pub(crate) profile: &'a Profile,
    pub(crate) issued_by: IssuedBy<'a>,
}

/// Builds the to-be-signed part of a certificate for `key`, valid from an hour before `now` (or from
/// when its CA is) until `not_after`.
///
/// # Errors
/// When a name does not fit RFC 5280's bounds or a date is beyond the year 9999.
pub fn build<'a>(
    profile: &'a Profile,
    issued_by: IssuedBy<'a>,
    key: SubjectPublicKeyInfoOwned,
    now: Timestamp,
    not_after: Timestamp,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Tbs<'a>> {
    let not_before = now.minus(BACKDATED_SECONDS).max(issued_by.not_before);
    let validity = Validity::new(not_before.x509()?, not_after.x509()?);
    let extensions = Extensions { profile, issued_by, subject: profile.subject()? };
    let mut builder =
        CertificateBuilder::new(extensions, random_serial(rng)?, validity, key).map_err(asn1)?;
    let der = builder.finalize(&PublicSigner(issued_by.key)).map_err(asn1)?;
    Ok(Tbs { der, profile, issued_by })
}

/// 16 octets, positive and without a leading zero: 126 random bits, where RFC 5280 (section
/// 4.1.2.2) takes up to 20 octets and the CA/Browser Forum asks for 64 random bits.
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
            // RFC 5280, section 4.2.1.1: the issuer's own subject key identifier, which in an
            // imported CA need not be the hash of its key.
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

/// RFC 5280, section 4.2.1.13: one full CRL, at one address.
pub(crate) fn distribution_points(url: &str) -> der::Result<CrlDistributionPoints> {
    let address = GeneralName::UniformResourceIdentifier(Ia5String::new(url)?);
    Ok(CrlDistributionPoints(vec![DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(vec![address])),
        reasons: None,
        crl_issuer: None,
    }]))
}

/// The builder wants a signer to name the algorithm and the key; signing itself happens in KMS.
struct PublicSigner<'a>(&'a VerifyingKey);

impl Keypair for PublicSigner<'_> {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self) -> VerifyingKey {
        *self.0
    }
}

impl DynSignatureAlgorithmIdentifier for PublicSigner<'_> {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(signed::ALGORITHM)
    }
}
