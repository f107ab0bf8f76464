//! The check before signing: a built CRL is decoded and compared with the requested contents. Only a CRL
//! that passes becomes a [`LintedCrl`], and nothing else can be signed.

use der::Encode;
use x509_cert::certificate::Version;

use super::{
    build::{TbsCrl, extensions},
    parse::Parsed,
    verify::VerifiedCrl,
};
use crate::{
    authority::CaCertificate,
    error::{Error, Result},
    lint::rule::{LintError, broken, ensure},
    signed,
    signing::{self, CaSignature, TbsDigest},
};

/// A CRL that passed the lint and may be signed once: adding the signature consumes it.
pub struct LintedCrl {
    der: Vec<u8>,
    digest: TbsDigest,
}

/// A CRL whose signature is not yet verified.
pub struct UnverifiedCrl {
    der: Vec<u8>,
    digest: TbsDigest,
}

impl LintedCrl {
    /// Returns the SHA-256 digest to sign.
    #[must_use]
    pub fn digest(&self) -> &TbsDigest {
        &self.digest
    }

    /// Adds the signature, which is not verified here.
    ///
    /// # Errors
    /// If the CRL cannot be encoded.
    pub fn with_signature(self, signature: &CaSignature) -> der::Result<UnverifiedCrl> {
        Ok(UnverifiedCrl { der: signed::assemble(&self.der, signature)?, digest: self.digest })
    }
}

impl UnverifiedCrl {
    /// Verifies the CRL as the agent does, and that the signed bytes are those that were linted.
    ///
    /// # Errors
    /// [`Error::WrongSignature`] if the CRL does not verify or the bytes differ.
    pub fn verify(self, ca: &CaCertificate) -> Result<VerifiedCrl> {
        let verified = VerifiedCrl::from_der(self.der, ca).map_err(|_| Error::WrongSignature)?;
        if *verified.tbs_digest() != self.digest {
            return Err(Error::WrongSignature);
        }
        Ok(verified)
    }
}

/// Checks a built CRL against its requested contents.
///
/// # Errors
/// The first rule that the CRL violates.
pub fn lint(tbs: TbsCrl<'_>) -> Result<LintedCrl, LintError> {
    let TbsCrl { der, ca, contents } = tbs;
    let read = Parsed::from_tbs(&der).map_err(|_| broken("the CRL decodes", "X.690"))?;
    ensure(read.version == Some(Version::V2), "the version is 2", "RFC 5280, 5.1.2.1")?;
    ensure(
        read.algorithm.oid == signing::ALGORITHM.oid && read.algorithm.parameters.is_none(),
        "the algorithm is ecdsa-with-SHA256",
        "RFC 5758, 3.2",
    )?;
    ensure(
        ca.subject().to_der().is_ok_and(|subject| subject == read.issuer),
        "the issuer is the CA's subject",
        "RFC 5280, 5.1.2.3",
    )?;
    ensure(
        read.this_update == contents.this_update
            && read.next_update == Some(contents.next_update)
            && contents.this_update < contents.next_update,
        "thisUpdate and nextUpdate are as requested and in order",
        "RFC 5280, 5.1.2.4 and 5.1.2.5",
    )?;
    ensure(
        contents.revoked.is_sorted_by(|one, next| one.serial < next.serial),
        "the entries are in order and without duplicates",
        "RFC 5280, 5.1.2.6",
    )?;
    ensure(
        read.entries.eq(contents.revoked.iter().copied().map(Ok)),
        "the entries are as requested",
        "RFC 5280, 5.1.2.6",
    )?;
    let wanted = extensions(ca, &contents).map_err(|_| broken("the extensions encode", "X.690"))?;
    ensure(read.extensions == wanted, "the extensions are as requested", "RFC 5280, 5.2")?;
    Ok(LintedCrl { digest: signing::digest(&der), der })
}
