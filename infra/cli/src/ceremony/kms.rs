//! The key and the CSR of a subordinate CA in KMS.
//!
//! A subordinate CA is set up in three steps, on up to three machines: its key is created in KMS and
//! signs a CSR; the root certifies it offline; it is recorded and activated ([`authorities`](super::authorities)).

use anyhow::Context;
use aws_sdk_kms::{
    operation::describe_key::DescribeKeyError,
    types::{KeySpec, KeyUsageType},
};
use ledger::kms::Signer;
use pki::csr::UnsignedCsr;

use crate::root::ca::distinguished;

/// A CSR and the key that signed it.
pub struct Request {
    /// ARN of the key in KMS.
    pub key_arn: String,
    /// PKCS#10 CSR in PEM.
    pub csr_pem: String,
}

/// Returns the ARN of the key with this id, ARN or alias, if it exists.
///
/// # Errors
/// If KMS is unavailable or denies access.
pub(crate) async fn find_key(
    kms: &aws_sdk_kms::Client,
    name: &str,
) -> anyhow::Result<Option<String>> {
    match kms.describe_key().key_id(name).send().await {
        Ok(found) => {
            let found = found.key_metadata.context("KMS returned no metadata of the key")?;
            Ok(Some(found.arn.context("KMS returned no ARN of the key")?))
        }
        Err(error) => match error.as_service_error() {
            Some(DescribeKeyError::NotFoundException(_)) => Ok(None),
            _ => Err(error).with_context(|| format!("KMS cannot look up the key {name}")),
        },
    }
}

/// Returns the ARN of the key with this alias. Creates a P-256 signing key unless it exists, so that an
/// interrupted ceremony continues with the key that it had.
///
/// # Errors
/// If KMS is unavailable or denies access.
pub async fn ensure_key(kms: &aws_sdk_kms::Client, alias: &str) -> anyhow::Result<String> {
    if let Some(arn) = find_key(kms, alias).await? {
        return Ok(arn);
    }
    let made = kms
        .create_key()
        .key_spec(KeySpec::EccNistP256)
        .key_usage(KeyUsageType::SignVerify)
        .description(format!("birthcert: subordinate CA {alias}"))
        .send()
        .await
        .context("KMS cannot create a key")?;
    let made = made.key_metadata.context("KMS returned no metadata of the new key")?;
    let arn = made.arn.context("KMS returned no ARN of the new key")?;
    kms.create_alias()
        .alias_name(alias)
        .target_key_id(&arn)
        .send()
        .await
        .with_context(|| format!("KMS created the key {arn}, but not its alias {alias}"))?;
    Ok(arn)
}

/// Creates a CSR for a key in KMS.
///
/// # Errors
/// If KMS is unavailable or denies access, or a name is too long or empty.
pub async fn request(
    kms: &aws_sdk_kms::Client,
    key_arn: String,
    common_name: &str,
    organization: Option<&str>,
) -> anyhow::Result<Request> {
    let signer = Signer::new(kms.clone(), &key_arn);
    let subject = distinguished(common_name, organization)?;
    let csr = UnsignedCsr::new(subject, signer.public_key().await?)?;
    let csr_pem = signer.sign_request(csr).await?;
    Ok(Request { key_arn, csr_pem })
}
