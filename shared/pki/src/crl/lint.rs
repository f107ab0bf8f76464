//! The check before the signature: a built list is read back from its bytes and held against what was
//! asked for. Only what passes becomes a [`LintedCrl`], and nothing else can be signed.

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

/// A list that was checked and may be signed, once: signing consumes it.
pub struct LintedCrl {
    der: Vec<u8>,
    digest: TbsDigest,
}

/// A list with a signature that nobody checked yet.
pub struct UnverifiedCrl {
    der: Vec<u8>,
    digest: TbsDigest,
}

impl LintedCrl {
    /// SHA-256 of its bytes: what is signed.
    #[must_use]
    pub fn digest(&self) -> &TbsDigest {
        &self.digest
    }

    /// The list with what claims to be its signature.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn with_signature(self, signature: &CaSignature) -> der::Result<UnverifiedCrl> {
        Ok(UnverifiedCrl { der: signed::assemble(&self.der, signature)?, digest: self.digest })
    }
}

impl UnverifiedCrl {
    /// Checks it as everybody does who fetches it, and that it is what was linted.
    ///
    /// # Errors
    /// [`Error::WrongSignature`] when not.
    pub fn verify(self, ca: &CaCertificate) -> Result<VerifiedCrl> {
        let verified = VerifiedCrl::from_der(self.der, ca).map_err(|_| Error::WrongSignature)?;
        if *verified.tbs_digest() != self.digest {
            return Err(Error::WrongSignature);
        }
        Ok(verified)
    }
}

/// Checks a built list against what it should say.
///
/// # Errors
/// The first rule it breaks.
pub fn lint(tbs: TbsCrl<'_>) -> Result<LintedCrl, LintError> {
    let TbsCrl { der, ca, contents } = tbs;
    let read = Parsed::from_tbs(&der).map_err(|_| broken("it decodes", "X.690"))?;
    ensure(read.version == Some(Version::V2), "version 2", "RFC 5280, 5.1.2.1")?;
    ensure(
        read.algorithm.oid == signing::ALGORITHM.oid && read.algorithm.parameters.is_none(),
        "ecdsa-with-SHA256",
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
        "it is valid when it should be, and before it expires",
        "RFC 5280, 5.1.2.4 and 5.1.2.5",
    )?;
    ensure(
        contents.revoked.is_sorted_by(|one, next| one.serial < next.serial),
        "each certificate is listed once",
        "RFC 5280, 5.1.2.6",
    )?;
    ensure(
        read.entries.eq(contents.revoked.iter().copied().map(Ok)),
        "the revoked certificates, and no other",
        "RFC 5280, 5.1.2.6",
    )?;
    let wanted = extensions(ca, &contents).map_err(|_| broken("its extensions encode", "X.690"))?;
    ensure(
        read.extensions == wanted,
        "authority key identifier, number and what else was asked for, and no other extension",
        "RFC 5280, 5.2",
    )?;
    Ok(LintedCrl { digest: signing::digest(&der), der })
}
