//! A list as everybody should read it who acts on it.

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
    signed::Signed,
    signing::{self, TbsDigest},
};

/// Why a list is not to be acted on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// It is no list, or it is cut off or damaged.
    #[error("not a CRL: {0}")]
    Damaged(#[from] der::Error),
    /// The CA's key did not sign it.
    #[error("the CRL's signature is not the CA's")]
    WrongSignature,
    /// It names another CA as its issuer.
    #[error("the CRL is of another CA")]
    OtherIssuer,
    /// It names another key than the CA's, or none.
    #[error("the CRL's authority key identifier is not the CA's")]
    OtherKey,
    /// It is not of version 2.
    #[error("the CRL is not of version 2")]
    Version,
    /// It has no number, or one that is beyond 64 bits.
    #[error("the CRL has no number below 2^64")]
    Number,
    /// It does not say until when it is good.
    #[error("the CRL has no nextUpdate")]
    NoEnd,
    /// It lists changes alone, some certificates alone, or those of other CAs.
    #[error("the CRL is a delta, partial or indirect")]
    NotFull,
    /// The digest of denied devices is none.
    #[error("the CRL's digest of denied devices is damaged")]
    DeniedDevices,
    /// It has an extension twice.
    #[error("the CRL has the extension {0} twice")]
    Twice(ObjectIdentifier),
    /// It says of itself that who does not know this extension must not use it.
    #[error("the CRL has the unknown critical extension {0}")]
    UnknownCritical(ObjectIdentifier),
}

/// Whether a list may be acted on at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may.
    Fresh,
    /// It is not valid yet: the clock is slow, here or there.
    NotYet,
    /// It expired: there should be a newer one.
    Stale,
}

/// Until when a list says that it is good, whoever signed it.
///
/// # Errors
/// It is no list, or does not say so.
pub fn claimed_end(der: &[u8]) -> Result<Timestamp, CrlError> {
    let read = Parsed::from_tbs(Signed::parse(der)?.tbs)?;
    read.next_update.ok_or(CrlError::NoEnd)
}

/// Whose a list says that it is, whoever signed it: a name, in DER.
///
/// # Errors
/// It is no list.
pub fn claimed_issuer(der: &[u8]) -> Result<Vec<u8>, CrlError> {
    Ok(Parsed::from_tbs(Signed::parse(der)?.tbs)?.issuer.to_vec())
}

/// A full list that its CA signed, with all that must be known of it understood.
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
    /// Reads the list of `ca` from its DER: signature, issuer and key, version, number, dates, every
    /// entry, and that no extension says what is not understood here.
    ///
    /// Whether it is fresh is [`VerifiedCrl::freshness`], and whether its number is one that may
    /// follow the last is the caller's to say.
    ///
    /// # Errors
    /// Why it is not to be acted on.
    pub fn from_der(der: impl Into<Vec<u8>>, ca: &CaCertificate) -> Result<Self, CrlError> {
        let der = der.into();
        let signed = Signed::parse(&der)?;
        // First the signature: the rest is then at least what the CA wrote.
        if !signed.is_by(ca.key()) {
            return Err(CrlError::WrongSignature);
        }
        let read = Parsed::from_tbs(signed.tbs)?;
        if !signed.is_algorithm(&read.algorithm) {
            return Err(CrlError::WrongSignature);
        }
        if read.issuer != ca.subject().to_der()? {
            return Err(CrlError::OtherIssuer);
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
            next_update: read.next_update.ok_or(CrlError::NoEnd)?,
            denied_devices,
            length,
            der,
        })
    }

    /// As [`VerifiedCrl::from_der`], from PEM.
    ///
    /// # Errors
    /// As there.
    pub fn from_pem(text: &str, ca: &CaCertificate) -> Result<Self, CrlError> {
        let (label, der) = pem::decode_vec(text.as_bytes()).map_err(der::Error::from)?;
        if label != LABEL {
            return Err(der::Error::from(pem::Error::Label).into());
        }
        Self::from_der(der, ca)
    }

    /// Its DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its DER, for good.
    #[must_use]
    pub fn into_der(self) -> Vec<u8> {
        self.der
    }

    /// Its PEM.
    ///
    /// # Errors
    /// As [`to_pem`].
    pub fn pem(&self) -> der::Result<String> {
        to_pem(&self.der)
    }

    /// Its number, which never falls.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// From when on it is valid.
    #[must_use]
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// Until when it is valid.
    #[must_use]
    pub fn next_update(&self) -> Timestamp {
        self.next_update
    }

    /// The [`super::denied_digest`] of the list of denied devices that goes with it, if one does.
    #[must_use]
    pub fn denied_devices(&self) -> Option<&[u8; 32]> {
        self.denied_devices.as_ref()
    }

    /// How many certificates it revokes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it revokes none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What it revokes, one by one: a list of any length takes no memory besides its own.
    pub fn revoked(&self) -> impl Iterator<Item = Entry> + '_ {
        // It was read once, to the end, when this was made.
        let signed = Signed::parse(&self.der).ok();
        let read = signed.and_then(|signed| Parsed::from_tbs(signed.tbs).ok());
        read.into_iter().flat_map(|read| read.entries).filter_map(Result::ok)
    }

    /// Whether it may be acted on at `now`.
    #[must_use]
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        match now {
            now if now < self.this_update => Freshness::NotYet,
            now if now > self.next_update => Freshness::Stale,
            _ => Freshness::Fresh,
        }
    }

    pub(super) fn tbs_digest(&self) -> &TbsDigest {
        &self.tbs_digest
    }
}

const LABEL: &str = "X509 CRL";

/// A list in PEM, from its DER: for who has no room for both.
///
/// # Errors
/// Never in practice: what was decoded encodes.
pub fn to_pem(der: &[u8]) -> der::Result<String> {
    Ok(pem::encode_string(LABEL, LineEnding::LF, der)?)
}

/// RFC 5280, section 5.2: a list with a critical extension that is not understood must not be used.
fn check_extensions(read: &Parsed<'_>) -> Result<(), CrlError> {
    for (place, extension) in read.extensions.iter().enumerate() {
        let oid = extension.extn_id;
        if read.extensions[..place].iter().any(|before| before.extn_id == oid) {
            return Err(CrlError::Twice(oid));
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

/// RFC 5280, section 5.2.1.
fn check_key(read: &Parsed<'_>, ca: &CaCertificate) -> Result<(), CrlError> {
    let authority = read.extension(ID_CE_AUTHORITY_KEY_IDENTIFIER).ok_or(CrlError::OtherKey)?;
    let authority = AuthorityKeyIdentifier::from_der(authority)?;
    match authority.key_identifier {
        Some(identifier) if identifier.as_bytes() == ca.key_identifier() => Ok(()),
        _ => Err(CrlError::OtherKey),
    }
}

fn digest(extension: &[u8]) -> Result<[u8; 32], CrlError> {
    let octets = <&OctetStringRef>::from_der(extension).map_err(|_| CrlError::DeniedDevices)?;
    octets.as_bytes().try_into().map_err(|_| CrlError::DeniedDevices)
}
