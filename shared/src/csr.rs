//! PKCS#10 certification requests (RFC 2986).
//!
//! From a request only the key is taken: what else it asks for is the profile's to decide. A
//! [`VerifiedCsr`] exists only if whoever sent it holds the private key.

use der::{Decode, Encode, asn1::BitString, pem, referenced::OwnedToRef};
use p256::ecdsa::{DerSignature, VerifyingKey};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    attr::Attributes,
    name::Name,
    request::{CertReq, CertReqInfo},
};

use crate::{
    host::Host,
    requested,
    signed::{self, Signed},
};

const LABEL: &str = "CERTIFICATE REQUEST";

/// A certification request whose signature was verified.
#[derive(Clone, Debug)]
pub struct VerifiedCsr {
    public_key: SubjectPublicKeyInfoOwned,
    attributes: Attributes,
}

impl VerifiedCsr {
    /// Reads a request and verifies that it is signed with the key it asks to certify.
    ///
    /// # Errors
    /// What is wrong with it, in words for the one who sent it.
    pub fn from_pem(text: &str) -> Result<Self, &'static str> {
        let (label, der) =
            pem::decode_vec(text.as_bytes()).map_err(|_| "the request is not PEM")?;
        if label != LABEL && label != "NEW CERTIFICATE REQUEST" {
            return Err("the PEM is not of a CERTIFICATE REQUEST");
        }
        let request = CertReq::from_der(&der).map_err(|_| "the request is not PKCS#10")?;
        let key = VerifyingKey::try_from(request.info.public_key.owned_to_ref())
            .map_err(|_| "the request's key is not on P-256")?;
        let signed = Signed::parse(&der).map_err(|_| "the request is not PKCS#10")?;
        if !signed.is_by(&key) {
            return Err("the request is not signed with its own key and ecdsa-with-SHA256");
        }
        Ok(Self { public_key: request.info.public_key, attributes: request.info.attributes })
    }

    /// The key to certify.
    #[must_use]
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.public_key
    }

    /// The DNS names and IP addresses that it asks for: a wish, until somebody has looked at it.
    ///
    /// # Errors
    /// When it asks for names of another kind, or says so in a way that cannot be read.
    pub fn requested_hosts(&self) -> Result<Vec<Host>, &'static str> {
        requested::hosts(&self.attributes)
    }
}

/// A request of our own, for a key that KMS holds: to be signed over [`UnsignedCsr::digest`].
pub struct UnsignedCsr {
    info: CertReqInfo,
    digest: [u8; 32],
}

impl UnsignedCsr {
    /// Asks to certify `public_key` for `subject`.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn new(subject: Name, public_key: SubjectPublicKeyInfoOwned) -> der::Result<Self> {
        let info = CertReqInfo {
            version: x509_cert::request::Version::V1,
            subject,
            public_key,
            attributes: Default::default(),
        };
        let digest = Sha256::digest(info.to_der()?).into();
        Ok(Self { info, digest })
    }

    /// SHA-256 of what is to be signed.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The whole request, in PEM.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn with_signature(self, signature: &DerSignature) -> der::Result<String> {
        let request = CertReq {
            info: self.info,
            algorithm: signed::ALGORITHM,
            signature: BitString::from_bytes(signature.as_bytes())?,
        };
        Ok(pem::encode_string(LABEL, pem::LineEnding::LF, &request.to_der()?)?)
    }
}
