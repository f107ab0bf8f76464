//! Setting up a subordinate CA, in three steps that may happen on three machines: its key is made in
//! KMS and asks to be certified, the root certifies it offline, the result is put to use.

use anyhow::Context;
use aws_sdk_kms::{
    operation::describe_key::DescribeKeyError,
    types::{KeySpec, KeyUsageType},
};
use birthcert::{
    authority::{Authority, AuthorityRecord},
    csr::UnsignedCsr,
    kms::Signer,
    name,
    store::Store,
};

/// What comes out of the first step.
pub struct Request {
    /// ARN of the key in KMS.
    pub key_arn: String,
    /// PKCS#10, signed with that key, in PEM.
    pub csr_pem: String,
}

/// The key that `alias` names in KMS; made, as P-256 for signing, unless it is there. A ceremony that
/// was interrupted goes on with the key it had.
///
/// # Errors
/// When KMS refuses or is away.
pub async fn ensure_key(kms: &aws_sdk_kms::Client, alias: &str) -> anyhow::Result<String> {
    match kms.describe_key().key_id(alias).send().await {
        Ok(found) => {
            let found = found.key_metadata.context("KMS describes a key without metadata")?;
            return found.arn.context("KMS describes a key without an ARN");
        }
        Err(error) => match error.as_service_error() {
            Some(DescribeKeyError::NotFoundException(_)) => {}
            _ => return Err(error).context("KMS cannot look up the key"),
        },
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
    let subject = name::distinguished(common_name, organization)
        .context("the common name and the organization must have 1 to 64 characters each")?;
    let csr = UnsignedCsr::new(subject, signer.public_key().await?)?;
    let csr_pem = signer.sign_request(csr).await?;
    Ok(Request { key_arn, csr_pem })
}

/// Step three: puts a certified subordinate to use, once its chain holds and KMS has its key.
///
/// # Errors
/// When not, or when there is a CA of that name already.
pub async fn activate(
    store: &Store,
    kms: &aws_sdk_kms::Client,
    record: AuthorityRecord,
) -> anyhow::Result<()> {
    let authority = Authority::try_from(record.clone())?;
    Signer::new(kms.clone(), authority.key_arn()).check(&authority).await?;
    Ok(store.create_authority(&record).await?)
}
