//! Setting up a subordinate CA, in three steps that may happen on three machines: its key is made in
//! KMS and asks to be certified, the root certifies it offline, the result is put to use
//! ([`succession`](crate::succession)).

use anyhow::Context;
use aws_sdk_kms::{
    operation::describe_key::DescribeKeyError,
    types::{KeySpec, KeyUsageType},
};
use ledger::kms::Signer;
use pki::csr::UnsignedCsr;

use crate::root::distinguished;

/// What comes out of the first step.
pub struct Request {
    /// ARN of the key in KMS.
    pub key_arn: String,
    /// PKCS#10, signed with that key, in PEM.
    pub csr_pem: String,
}

/// ARN of the key that an id, an ARN or an alias names in KMS, if it is there.
///
/// # Errors
/// When KMS refuses or is away.
pub async fn find_key(kms: &aws_sdk_kms::Client, name: &str) -> anyhow::Result<Option<String>> {
    match kms.describe_key().key_id(name).send().await {
        Ok(found) => {
            let found = found.key_metadata.context("KMS describes a key without metadata")?;
            Ok(Some(found.arn.context("KMS describes a key without an ARN")?))
        }
        Err(error) => match error.as_service_error() {
            Some(DescribeKeyError::NotFoundException(_)) => Ok(None),
            _ => Err(error).with_context(|| format!("KMS cannot look up the key {name}")),
        },
    }
}

/// The key that `alias` names in KMS; made, as P-256 for signing, unless it is there. A ceremony that
/// was interrupted goes on with the key it had.
///
/// # Errors
/// When KMS refuses or is away.
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
        .context("KMS cannot make a key")?;
    let made = made.key_metadata.context("KMS made a key without metadata")?;
    let arn = made.arn.context("KMS made a key without an ARN")?;
    kms.create_alias()
        .alias_name(alias)
        .target_key_id(&arn)
        .send()
        .await
        .with_context(|| format!("KMS made the key {arn} but cannot give it the alias {alias}"))?;
    Ok(arn)
}

/// Step one: asks for a certificate for the key `key_arn`.
///
/// # Errors
/// When KMS refuses or is away, or a name is out of bounds.
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
