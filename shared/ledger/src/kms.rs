//! The signer: a CA key that AWS KMS never lets go.

use aws_sdk_kms::{
    Client,
    operation::sign::{SignError, builders::SignFluentBuilder},
    primitives::Blob,
    types::{MessageType, SigningAlgorithmSpec},
};
use der::Decode;
use spki::SubjectPublicKeyInfoOwned;

use crate::{
    aws::{AwsService, outage},
    error::{Error, IssuerFault, Result},
    store::{Recorded, RecordedCrl},
};
use pki::{
    authority::Authority,
    certificate::UnverifiedCertificate,
    crl::UnverifiedCrl,
    csr::UnsignedCsr,
    signing::{CaPublicKey, CaSignature, TbsDigest},
};

/// One key in KMS.
#[derive(Clone)]
pub struct Signer {
    client: Client,
    key_arn: String,
}

impl Signer {
    /// The key `key_arn`.
    #[must_use]
    pub fn new(client: Client, key_arn: impl Into<String>) -> Self {
        Self { client, key_arn: key_arn.into() }
    }

    /// The public half of the key.
    ///
    /// # Errors
    /// When KMS does not answer with one.
    pub async fn public_key(&self) -> Result<SubjectPublicKeyInfoOwned> {
        let answer = self.client.get_public_key().key_id(&self.key_arn).send().await;
        let answer = answer.map_err(|error| outage(AwsService::Kms, &error))?;
        let der = answer.public_key.map(Blob::into_inner).unwrap_or_default();
        Ok(SubjectPublicKeyInfoOwned::from_der(&der)?)
    }

    /// Checks that this key is the one that `authority`'s certificate certifies: a signer that is
    /// not refuses to serve, rather than to hand out certificates that nobody can verify.
    ///
    /// # Errors
    /// When it is another, or KMS does not say.
    pub async fn check(&self, authority: &Authority) -> Result<()> {
        let key = self.public_key().await.map_err(|error| self.blame_key(authority, error))?;
        match CaPublicKey::try_from(&key) {
            Ok(key) if key == *authority.certificate().key() => Ok(()),
            _ => Err(fault(authority, IssuerFault::OtherKey { key_arn: self.key_arn.clone() })),
        }
    }

    /// Checks that KMS would sign with this key, which it shows the public half of even when it
    /// is disabled: a dry run, which makes no signature.
    ///
    /// # Errors
    /// When the key is disabled, about to be deleted or not ours to sign with, or KMS does not say.
    pub async fn check_signing(&self, authority: &Authority) -> Result<()> {
        // Should a stand-in for KMS sign it after all: ECDSA over zero says nothing, as anybody can
        // make such a signature from the public key.
        match self.request(&[0; 32]).dry_run(true).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(SignError::DryRunOperationException(_)) => Ok(()),
                _ => Err(self.blame_key(authority, outage(AwsService::Kms, &error))),
            },
        }
    }

    fn blame_key(&self, authority: &Authority, error: Error) -> Error {
        match error {
            Error::Refused { .. } | Error::Pki(pki::Error::Asn1(_)) => {
                let (key_arn, cause) = (self.key_arn.clone(), error.to_string());
                fault(authority, IssuerFault::Key { key_arn, cause })
            }
            other => other,
        }
    }

    /// Signs a certificate that is on the ledger. The result still has to be verified.
    ///
    /// # Errors
    /// When KMS is throttled or away, or its answer is no ECDSA signature.
    pub async fn sign(&self, recorded: Recorded) -> Result<UnverifiedCertificate> {
        let tbs = recorded.into_tbs();
        let signature = self.sign_digest(tbs.digest()).await?;
        Ok(tbs.with_signature(&signature)?)
    }

    /// Signs a certification request for this very key; in PEM.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub async fn sign_request(&self, request: UnsignedCsr) -> Result<String> {
        let signature = self.sign_digest(request.digest()).await?;
        Ok(request.with_signature(&signature)?)
    }

    /// Signs a list of revoked certificates that is on record. The result still has to be verified.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub async fn sign_crl(&self, recorded: RecordedCrl) -> Result<UnverifiedCrl> {
        let crl = recorded.into_linted();
        let signature = self.sign_digest(crl.digest()).await?;
        Ok(crl.with_signature(&signature)?)
    }

    async fn sign_digest(&self, digest: &TbsDigest) -> Result<CaSignature> {
        let answer = self.request(digest).send().await;
        let answer = answer.map_err(|error| outage(AwsService::Kms, &error))?;
        let der = answer.signature.map(Blob::into_inner).unwrap_or_default();
        CaSignature::try_from(der.as_slice()).map_err(|_| pki::Error::WrongSignature.into())
    }

    /// Over a digest, never over the message: the digest is what the ledger recorded, and a message
    /// would be limited to 4096 bytes.
    fn request(&self, digest: &TbsDigest) -> SignFluentBuilder {
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
