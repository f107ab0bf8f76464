//! The names that a CSR requests.

use const_oid::{AssociatedOid, db::rfc5912::ID_EXTENSION_REQ};
use der::{Decode, Encode, SliceReader, Tag, TagNumber, asn1::ContextSpecific};
use x509_cert::{attr::Attributes, ext::pkix::SubjectAltName, request::ExtensionReq};

use crate::names::Host;

const UNREADABLE: &str = "the extensions that the CSR requests cannot be decoded";

/// Returns the alternative names in the attribute `extensionRequest` (RFC 2985, section 5.4.2).
pub(crate) fn hosts(attributes: &[u8]) -> Result<Vec<Host>, &'static str> {
    let attributes = decode(attributes).map_err(|_| UNREADABLE)?;
    let mut hosts = Vec::new();
    let requests = attributes.iter().filter(|attribute| attribute.oid == ID_EXTENSION_REQ);
    for value in requests.flat_map(|attribute| attribute.values.iter()) {
        let der = value.to_der().map_err(|_| UNREADABLE)?;
        let extensions = ExtensionReq::from_der(&der).map_err(|_| UNREADABLE)?;
        for extension in extensions.0.iter().filter(|it| it.extn_id == SubjectAltName::OID) {
            let names = SubjectAltName::from_der(extension.extn_value.as_bytes());
            for name in &names.map_err(|_| UNREADABLE)?.0 {
                let host = Host::try_from(name);
                hosts.push(host.map_err(
                    |_| "the CSR requests a name that is neither a DNS name nor an IP address",
                )?);
            }
        }
    }
    Ok(hosts)
}

/// Decodes the last field of a `CertificationRequestInfo`, which old software leaves out (RFC 2986, section
/// 4.1).
fn decode(attributes: &[u8]) -> der::Result<Attributes> {
    if attributes.is_empty() {
        return Ok(Attributes::default());
    }
    let mut reader = SliceReader::new(attributes)?;
    let field = ContextSpecific::decode_implicit(&mut reader, TagNumber(0))?;
    field.map(|it| it.value).ok_or_else(|| Tag::Set.value_error().into())
}
