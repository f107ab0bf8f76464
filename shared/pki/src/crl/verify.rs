//! Parses and verifies CRLs before anything acts on them.

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CRL_NUMBER, ID_CE_DELTA_CRL_INDICATOR,
    ID_CE_ISSUING_DISTRIBUTION_POINT,
};
use der::{
    Decode, Encode,
    asn1::{ObjectIdentifier, OctetStringRef},
    pem::{self, LineEnding},
};
use x509_cert::{
    certificate::Version,
    ext::pkix::{AuthorityKeyIdentifier, crl::dp::IssuingDistributionPoint},
};

use super::{denied::DENIED_DEVICES, entry::Entry, parse::Parsed};
use crate::{
    authority::CaCertificate,
    clock::Timestamp,
    pem::only_block,
    signed::Signed,
    signing::{self, TbsDigest},
};

/// The reason why a CRL must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// The input is not a CRL, is truncated or is damaged.
    #[error("not a CRL: {0}")]
    Damaged(#[from] der::Error),
    /// The signature does not verify with the CA's key.
    #[error("the CRL's signature is not the CA's")]
    WrongSignature,
    /// The issuer is not the CA.
    #[error("the CRL's issuer is not the CA")]
    WrongIssuer,
    /// The authority key identifier is absent or not the CA's.
    #[error("the CRL's authority key identifier is not the CA's")]
    WrongKey,
    /// The version is not 2.
    #[error("the CRL's version is not 2")]
    Version,
    /// The CRL number is absent or exceeds 64 bits.
    #[error("the CRL has no CRL number below 2^64")]
    Number,
    /// The CRL has no `nextUpdate`.
    #[error("the CRL has no nextUpdate")]
    NoNextUpdate,
    /// The CRL is a delta CRL, covers only some certificates, or covers those of other CAs.
    #[error("the CRL is a delta, partial or indirect CRL")]
    NotFull,
    /// The digest of the deny list is damaged.
    #[error("the CRL's digest of denied devices is damaged")]
    DeniedDevices,
    /// An extension occurs twice.
    #[error("the CRL has the extension {0} twice")]
    DuplicateExtension(ObjectIdentifier),
    /// A critical extension is unknown (RFC 5280, section 5.2).
    #[error("the CRL has the unknown critical extension {0}")]
    UnknownCritical(ObjectIdentifier),
}

/// The state of a CRL at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The CRL is valid.
    Fresh,
    /// The CRL is not valid yet, because the local clock is slow or the CA's is fast.
    NotYetValid,
    /// The CRL has expired.
    Expired,
}

/// Returns the `nextUpdate` of a CRL without verifying the CRL.
///
/// # Errors
/// If the input is not a CRL or has no `nextUpdate`.
pub fn claimed_next_update(der: &[u8]) -> Result<Timestamp, CrlError> {
    let read = Parsed::from_tbs(Signed::parse(der)?.tbs)?;
    read.next_update.ok_or(CrlError::NoNextUpdate)
}

/// Returns the issuer's name in DER without verifying the CRL.
///
/// # Errors
/// If the input is not a CRL.
pub fn claimed_issuer(der: &[u8]) -> Result<Vec<u8>, CrlError> {
    Ok(Parsed::from_tbs(Signed::parse(der)?.tbs)?.issuer.to_vec())
}

/// A full CRL that its CA signed, and whose critical extensions are all understood.
#[derive(Clone)]
pub struct VerifiedCrl {
    der: Vec<u8>,
    tbs_digest: TbsDigest,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    denied_devices: Option<[u8; 32]>,
    length: usize,
}

impl VerifiedCrl {
    /// Parses and verifies a CRL of `ca` in DER: signature, issuer, key identifier, version, number,
    /// dates, extensions and every entry (RFC 5280, section 5).
    ///
    /// The caller has to check [`VerifiedCrl::freshness`], and that the number is not lower than that of
    /// the CRL in use.
    ///
    /// # Errors
    /// The reason why the CRL must not be used.
    pub fn from_der(der: impl Into<Vec<u8>>, ca: &CaCertificate) -> Result<Self, CrlError> {
        let der = der.into();
        let signed = Signed::parse(&der)?;
        // The signature comes first, so that the rest parses only what the CA signed.
        if !signed.is_by(ca.key()) {
            return Err(CrlError::WrongSignature);
        }
        let read = Parsed::from_tbs(signed.tbs)?;
        if !signed.is_algorithm(&read.algorithm) {
            return Err(CrlError::WrongSignature);
        }
        if read.issuer != ca.subject().to_der()? {
            return Err(CrlError::WrongIssuer);
        }
        if read.version != Some(Version::V2) {
            return Err(CrlError::Version);
        }
        check_extensions(&read)?;
        check_key(&read, ca)?;
        let number = read.extension(ID_CE_CRL_NUMBER).map(u64::from_der);
        let number = number.and_then(Result::ok).ok_or(CrlError::Number)?;
        let denied_devices = read.extension(DENIED_DEVICES).map(digest).transpose()?;
        let mut length = 0;
        for entry in read.entries {
            entry?;
            length += 1;
        }
        Ok(Self {
            tbs_digest: signing::digest(signed.tbs),
            number,
            this_update: read.this_update,
            next_update: read.next_update.ok_or(CrlError::NoNextUpdate)?,
            denied_devices,
            length,
            der,
        })
    }

    /// Parses and verifies a CRL in PEM, as [`VerifiedCrl::from_der`] does.
    ///
    /// # Errors
    /// If the text is not the PEM of a CRL, or as for [`VerifiedCrl::from_der`].
    pub fn from_pem(text: &str, ca: &CaCertificate) -> Result<Self, CrlError> {
        let block = only_block(text).map_err(|_| der::Error::from(pem::Error::Preamble))?;
        let (label, der) = pem::decode_vec(block.as_bytes()).map_err(der::Error::from)?;
        if label != LABEL {
            return Err(der::Error::from(pem::Error::Label).into());
        }
        Self::from_der(der, ca)
    }

    /// Returns the DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Consumes the CRL and returns the DER.
    #[must_use]
    pub fn into_der(self) -> Vec<u8> {
        self.der
    }

    /// Encodes the CRL as PEM.
    ///
    /// # Errors
    /// As for [`to_pem`].
    pub fn pem(&self) -> der::Result<String> {
        to_pem(&self.der)
    }

    /// Returns the CRL number, which only increases (RFC 5280, section 5.2.3).
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns `thisUpdate`, the start of validity.
    #[must_use]
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// Returns `nextUpdate`, the end of validity.
    #[must_use]
    pub fn next_update(&self) -> Timestamp {
        self.next_update
    }

    /// Returns the [`denied_digest`](super::denied_digest) of the deny list, if the CRL has
    /// one.
    #[must_use]
    pub fn denied_devices(&self) -> Option<&[u8; 32]> {
        self.denied_devices.as_ref()
    }

    /// Returns the number of revoked certificates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns true if no certificate is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Iterates over the revoked certificates, parsing each on demand: memory use does not grow with the
    /// CRL.
    pub fn revoked(&self) -> impl Iterator<Item = Entry> + '_ {
        // Cannot fail: `from_der` parsed every entry.
        let signed = Signed::parse(&self.der).ok();
        let read = signed.and_then(|signed| Parsed::from_tbs(signed.tbs).ok());
        read.into_iter().flat_map(|read| read.entries).filter_map(Result::ok)
    }

    /// Returns the state of the CRL at `now`.
    #[must_use]
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        match now {
            now if now < self.this_update => Freshness::NotYetValid,
            now if now > self.next_update => Freshness::Expired,
            _ => Freshness::Fresh,
        }
    }

    pub(super) fn tbs_digest(&self) -> &TbsDigest {
        &self.tbs_digest
    }
}

const LABEL: &str = "X509 CRL";

/// Encodes a CRL in DER as PEM, for callers that cannot hold a [`VerifiedCrl`] as well.
///
/// # Errors
/// Never in practice: PEM can encode any DER.
pub fn to_pem(der: &[u8]) -> der::Result<String> {
    Ok(pem::encode_string(LABEL, LineEnding::LF, der)?)
}

/// Refuses duplicate and unknown critical extensions (RFC 5280, section 5.2), and CRLs that are not full.
fn check_extensions(read: &Parsed<'_>) -> Result<(), CrlError> {
    for (place, extension) in read.extensions.iter().enumerate() {
        let oid = extension.extn_id;
        if read.extensions[..place].iter().any(|before| before.extn_id == oid) {
            return Err(CrlError::DuplicateExtension(oid));
        }
        match oid {
            ID_CE_DELTA_CRL_INDICATOR => return Err(CrlError::NotFull),
            ID_CE_ISSUING_DISTRIBUTION_POINT => {
                let point = IssuingDistributionPoint::from_der(extension.extn_value.as_bytes())?;
                let is_full = !point.only_contains_user_certs
                    && !point.only_contains_ca_certs
                    && point.only_some_reasons.is_none()
                    && !point.indirect_crl
                    && !point.only_contains_attribute_certs;
                if !is_full {
                    return Err(CrlError::NotFull);
                }
            }
            ID_CE_AUTHORITY_KEY_IDENTIFIER | ID_CE_CRL_NUMBER | DENIED_DEVICES => {}
            oid if extension.critical => return Err(CrlError::UnknownCritical(oid)),
            _ => {}
        }
    }
    Ok(())
}

/// Compares the authority key identifier with the CA's key identifier (RFC 5280, section 5.2.1).
fn check_key(read: &Parsed<'_>, ca: &CaCertificate) -> Result<(), CrlError> {
    let authority = read.extension(ID_CE_AUTHORITY_KEY_IDENTIFIER).ok_or(CrlError::WrongKey)?;
    let authority = AuthorityKeyIdentifier::from_der(authority)?;
    match authority.key_identifier {
        Some(identifier) if identifier.as_bytes() == ca.key_identifier() => Ok(()),
        _ => Err(CrlError::WrongKey),
    }
}

fn digest(extension: &[u8]) -> Result<[u8; 32], CrlError> {
    let octets = <&OctetStringRef>::from_der(extension).map_err(|_| CrlError::DeniedDevices)?;
    octets.as_bytes().try_into().map_err(|_| CrlError::DeniedDevices)
}
