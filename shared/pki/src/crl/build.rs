//! Encodes the to-be-signed CRL in one pass, into a buffer that is allocated once.

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CRL_NUMBER, ID_CE_ISSUING_DISTRIBUTION_POINT,
};
use der::{
    Encode, EncodeValue, FixedTag, Length, Tag, Writer,
    asn1::{Ia5String, ObjectIdentifier, OctetString},
};
use spki::AlgorithmIdentifierOwned;
use x509_cert::{
    certificate::Version,
    ext::{
        Extension,
        pkix::{
            AuthorityKeyIdentifier,
            crl::dp::IssuingDistributionPoint,
            name::{DistributionPointName, GeneralName},
        },
    },
    name::Name,
    time::Time,
};

use super::{denied::DENIED_DEVICES, entry::Entry};
use crate::{authority::CaCertificate, clock::Timestamp, error::Result, signing};

/// The contents of a CRL.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// The CRL number, higher than that of any earlier CRL of this CA (RFC 5280, section 5.2.3).
    pub number: u64,
    /// The start of validity.
    pub this_update: Timestamp,
    /// The end of validity: the latest time for the next CRL.
    pub next_update: Timestamp,
    /// The revoked certificates, ordered by serial number, without duplicates.
    pub revoked: &'a [Entry],
    /// The [`denied_digest`](super::denied_digest) of the deny list that the CRL covers.
    pub denied_devices: Option<[u8; 32]>,
    /// The URL of the CRL, for verifiers that compare it with the one in certificates (RFC 5280, section
    /// 5.2.5). That extension is critical, so the CRL for those verifiers is a separate document.
    pub distribution_point: Option<&'a str>,
}

/// A built CRL, not yet checked. Only [`lint`](super::lint) accepts it.
pub struct TbsCrl<'a> {
    pub(super) der: Vec<u8>,
    pub(super) ca: &'a CaCertificate,
    pub(super) contents: Contents<'a>,
}

/// Builds the to-be-signed CRL of `ca`.
///
/// # Errors
/// If a date is after the year 9999, the URL is not ASCII, or the CRL is too long to encode (more than
/// some 80 million certificates).
pub fn build<'a>(ca: &'a CaCertificate, contents: Contents<'a>) -> Result<TbsCrl<'a>> {
    let tbs = TbsCertList {
        version: Version::V2,
        signature: signing::ALGORITHM,
        issuer: ca.subject(),
        this_update: contents.this_update.x509()?,
        next_update: contents.next_update.x509()?,
        revoked: (!contents.revoked.is_empty()).then_some(Revoked(contents.revoked)),
        extensions: extensions(ca, &contents)?,
    };
    let mut der = Vec::with_capacity(tbs.encoded_len()?.try_into()?);
    tbs.encode(&mut der)?;
    Ok(TbsCrl { der, ca, contents })
}

/// The `TBSCertList` of RFC 5280, section 5.1.2. The type of `x509_cert` needs several allocations for
/// each entry.
#[derive(EncodeValue)]
struct TbsCertList<'a> {
    version: Version,
    signature: AlgorithmIdentifierOwned,
    issuer: &'a Name,
    this_update: Time,
    next_update: Time,
    /// Absent if no certificate is revoked (RFC 5280, section 5.1.2.6).
    revoked: Option<Revoked<'a>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

impl FixedTag for TbsCertList<'_> {
    const TAG: Tag = Tag::Sequence;
}

struct Revoked<'a>(&'a [Entry]);

impl FixedTag for Revoked<'_> {
    const TAG: Tag = Tag::Sequence;
}

impl EncodeValue for Revoked<'_> {
    fn value_len(&self) -> der::Result<Length> {
        self.0.value_len()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        self.0.encode_value(writer)
    }
}

/// Returns the extensions in the order of the CRL.
pub(super) fn extensions(
    ca: &CaCertificate,
    contents: &Contents<'_>,
) -> der::Result<Vec<Extension>> {
    // RFC 5280, section 5.2.1: the key that signs. The builder of `x509_cert` copies the CA's own
    // authority key identifier, which in a subordinate CA is that of the root's key.
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(ca.key_identifier())?),
        ..AuthorityKeyIdentifier::default()
    };
    let mut extensions = vec![
        extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &authority)?,
        extension(ID_CE_CRL_NUMBER, false, &contents.number)?,
    ];
    if let Some(url) = contents.distribution_point {
        let address = GeneralName::UniformResourceIdentifier(Ia5String::new(url)?);
        let point = IssuingDistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![address])),
            only_contains_user_certs: false,
            only_contains_ca_certs: false,
            only_some_reasons: None,
            indirect_crl: false,
            only_contains_attribute_certs: false,
        };
        extensions.push(extension(ID_CE_ISSUING_DISTRIBUTION_POINT, true, &point)?);
    }
    if let Some(digest) = &contents.denied_devices {
        extensions.push(extension(DENIED_DEVICES, false, &OctetString::new(*digest)?)?);
    }
    Ok(extensions)
}

fn extension<E: Encode>(
    oid: ObjectIdentifier,
    critical: bool,
    value: &E,
) -> der::Result<Extension> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value.to_der()?)? })
}
