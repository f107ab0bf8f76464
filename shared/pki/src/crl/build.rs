//! Writes what is to be signed: in one pass, into one buffer that has its size from the start.

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

/// What a list says.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// Its number, higher than that of any list of this CA before (RFC 5280, section 5.2.3).
    pub number: u64,
    /// From when on it is valid.
    pub this_update: Timestamp,
    /// When it is superseded by the next one at the latest.
    pub next_update: Timestamp,
    /// The revoked certificates, by serial number, each once.
    pub revoked: &'a [Entry],
    /// The [`super::denied_digest`] of the list of denied devices that goes with it.
    pub denied_devices: Option<[u8; 32]>,
    /// Its own address, for those who compare it with the one in certificates (RFC 5280, section
    /// 5.2.5). The extension is critical, so that it is in a list of its own for them.
    pub distribution_point: Option<&'a str>,
}

/// A built list that nobody checked yet. Only [`super::lint`] takes it.
pub struct TbsCrl<'a> {
    pub(super) der: Vec<u8>,
    pub(super) ca: &'a CaCertificate,
    pub(super) contents: Contents<'a>,
}

/// Builds the to-be-signed list of `ca`.
///
/// # Errors
/// When a date is beyond the year 9999, the address is not ASCII, or the list has more octets than
/// DER can count here, some 80 million certificates.
pub fn build<'a>(ca: &'a CaCertificate, contents: Contents<'a>) -> Result<TbsCrl<'a>> {
    let list = TbsCertList {
        version: Version::V2,
        signature: signing::ALGORITHM,
        issuer: ca.subject(),
        this_update: contents.this_update.x509()?,
        next_update: contents.next_update.x509()?,
        revoked: (!contents.revoked.is_empty()).then_some(Revoked(contents.revoked)),
        extensions: extensions(ca, &contents)?,
    };
    let mut der = Vec::with_capacity(list.encoded_len()?.try_into()?);
    list.encode(&mut der)?;
    Ok(TbsCrl { der, ca, contents })
}

/// RFC 5280, section 5.1.2. Written by hand, because the crate's own has every entry in memory as
/// several allocations.
#[derive(EncodeValue)]
struct TbsCertList<'a> {
    version: Version,
    signature: AlgorithmIdentifierOwned,
    issuer: &'a Name,
    this_update: Time,
    next_update: Time,
    /// Absent when there are none (RFC 5280, section 5.1.2.6).
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

/// In the order in which they stand in the list.
pub(super) fn extensions(
    ca: &CaCertificate,
    contents: &Contents<'_>,
) -> der::Result<Vec<Extension>> {
    // RFC 5280, section 5.2.1: the key that signs. The crate's builder copies the CA's own authority
    // key identifier, which below a root is another key's.
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
