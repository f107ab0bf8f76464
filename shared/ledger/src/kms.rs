//! The signer: a CA key that never leaves AWS KMS.

use aws_sdk_kms::{
    Client,
    operation::sign::{SignError, builders::SignFluentBuilder},
    primitives::Blob,
    types::{MessageType, SigningAlgorithmSpec},
};
use der::Decode;
use pki::{
    authority::Authority,
    certificate::UnverifiedCertificate,
    crl::UnverifiedCrl,
    csr::UnsignedCsr,
    signing::{CaPublicKey, CaSignature, TbsDigest},
};
use spki::SubjectPublicKeyInfoOwned;

use crate::{
    aws::{AwsService, outage},
    error::{Error, IssuerFault, Result},
    store::{RecordedCrl, RecordedTbs},
};

/// A signer that uses one CA key in KMS.
#[derive(Clone)]
pub struct Signer {
    client: Client,
    key_arn: String,
}

impl Signer {
    /// Returns a signer that uses the key `key_arn`.
    #[must_use]
    pub fn new(client: Client, key_arn: impl Into<String>) -> Self {
        Self { client, key_arn: key_arn.into() }
    }

    /// Fetches the public key.
    ///
    /// # Errors
    /// If KMS is unavailable or refuses, or its answer is not a public key.
    pub async fn public_key(&self) -> Result<SubjectPublicKeyInfoOwned> {
        let answer = self.client.get_public_key().key_id(&self.key_arn).send().await;
        let answer = answer.map_err(|error| outage(AwsService::Kms, &error))?;
        let der = answer.public_key.map(Blob::into_inner).unwrap_or_default();
        Ok(SubjectPublicKeyInfoOwned::from_der(&der)?)
    }

    /// Checks that this key is the one in `authority`'s certificate. With another key, every certificate
    /// would fail verification.
    ///
    /// # Errors
    /// If the keys differ, or KMS is unavailable or refuses.
    pub async fn check(&self, authority: &Authority) -> Result<()> {
        let key = self.public_key().await.map_err(|error| self.key_error(authority, error))?;
        match CaPublicKey::try_from(&key) {
            Ok(key) if key == *authority.certificate().key() => Ok(()),
            _ => Err(fault(authority, IssuerFault::KeyMismatch { key_arn: self.key_arn.clone() })),
        }
    }

    /// Checks that KMS would sign with this key, in a dry run that creates no signature. KMS returns
    /// the public key even of a disabled key, so [`Signer::check`] does not suffice.
    ///
    /// # Errors
    /// If the key is disabled or pending deletion, if permission to sign is missing, or if KMS is
    /// unavailable.
    pub async fn check_signing(&self, authority: &Authority) -> Result<()> {
        // An emulator may ignore `dry_run` and sign. An ECDSA signature over a zero digest is harmless:
        // anyone can compute one from the public key.
        match self.sign_call(&[0; 32]).dry_run(true).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(SignError::DryRunOperationException(_)) => Ok(()),
                _ => Err(self.key_error(authority, outage(AwsService::Kms, &error))),
            },
        }
    }

    fn key_error(&self, authority: &Authority, error: Error) -> Error {
        match error {
            Error::Refused { .. } | Error::Pki(pki::Error::Asn1(_)) => {
                let (key_arn, cause) = (self.key_arn.clone(), error.to_string());
                fault(authority, IssuerFault::Key { key_arn, cause })
            }
            other => other,
        }
    }

    /// Signs a certificate that is on the ledger. The result must be verified before its release.
    ///
    /// # Errors
    /// If KMS throttles, refuses or is unavailable, or its answer is not an ECDSA signature.
    pub(crate) async fn sign(&self, recorded: RecordedTbs) -> Result<UnverifiedCertificate> {
        let tbs = recorded.into_tbs();
        let signature = self.sign_digest(tbs.digest()).await?;
        Ok(tbs.with_signature(&signature)?)
    }

    /// Signs a certificate signing request (CSR), which must be for this key. Returns it in PEM.
    ///
    /// # Errors
    /// If KMS throttles, refuses or is unavailable, or its answer is not an ECDSA signature.
    pub async fn sign_request(&self, request: UnsignedCsr) -> Result<String> {
        let signature = self.sign_digest(request.digest()).await?;
        Ok(request.with_signature(&signature)?)
    }

    /// Signs a CRL whose digest is recorded. The result must be verified before its release.
    ///
    /// # Errors
    /// If KMS throttles, refuses or is unavailable, or its answer is not an ECDSA signature.
    pub async fn sign_crl(&self, recorded: RecordedCrl) -> Result<UnverifiedCrl> {
        let crl = recorded.into_linted();
        let signature = self.sign_digest(crl.digest()).await?;
        Ok(crl.with_signature(&signature)?)
    }

    async fn sign_digest(&self, digest: &TbsDigest) -> Result<CaSignature> {
        let answer = self.sign_call(digest).send().await;
        let answer = answer.map_err(|error| outage(AwsService::Kms, &error))?;
        let der = answer.signature.map(Blob::into_inner).unwrap_or_default();
        CaSignature::try_from(der.as_slice()).map_err(|_| pki::Error::WrongSignature.into())
    }

    // MessageType=DIGEST, because the digest is what the ledger recorded. KMS also limits a raw message to
    // 4096 bytes.
    fn sign_call(&self, digest: &TbsDigest) -> SignFluentBuilder {
        self.client
            .sign()
            .key_id(&self.key_arn)
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .message(Blob::new(digest.as_slice()))
    }
}

fn fault(authority: &Authority, fault: IssuerFault) -> Error {
    Error::Issuer { name: authority.name().to_string(), fault }
}
