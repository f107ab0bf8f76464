//! CreateKey, DescribeKey, GetPublicKey, ListKeys.

use serde::{Deserialize, Serialize};

use crate::kms::{
    blob::Blob,
    error::{ErrorCode, KmsError},
    identifier::ACCOUNT,
    key::{ALGORITHM, Key, KeyRecord, KeyState, SPEC, Tag, USAGE},
    key_store::{KeyStore, now},
    pagination::PageLimits,
    validation::{check_length, required},
};

const LIMITS: PageLimits = PageLimits { max: 1000, default: 100 };

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateKeyRequest {
    key_spec: Option<String>,
    customer_master_key_spec: Option<String>,
    key_usage: Option<String>,
    origin: Option<String>,
    multi_region: Option<bool>,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    policy: Option<String>,
}

/// A request that names a key and nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyRequest {
    pub(super) key_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyResponse {
    key_metadata: KeyMetadata,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyMetadata {
    #[serde(rename = "AWSAccountId")]
    account: &'static str,
    key_id: String,
    arn: String,
    creation_date: u64,
    enabled: bool,
    description: String,
    key_usage: &'static str,
    key_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_date: Option<u64>,
    origin: &'static str,
    key_manager: &'static str,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    signing_algorithms: [&'static str; 1],
    multi_region: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PublicKeyResponse {
    key_id: String,
    public_key: Blob,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    key_usage: &'static str,
    signing_algorithms: [&'static str; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListKeysRequest {
    limit: Option<i64>,
    marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListKeysResponse {
    keys: Vec<KeyListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyListEntry {
    key_id: String,
    key_arn: String,
}

impl CreateKeyRequest {
    /// Checks that the request is for the only kind of key that this stand-in creates.
    fn check(&self) -> Result<(), KmsError> {
        let spec = match (&self.key_spec, &self.customer_master_key_spec) {
            (Some(_), Some(_)) => {
                let message = "You cannot specify KeySpec and CustomerMasterKeySpec in the same \
                               request. CustomerMasterKeySpec is deprecated.";
                return Err(KmsError::new(ErrorCode::Validation, message));
            }
            (Some(spec), None) | (None, Some(spec)) => spec,
            (None, None) => "SYMMETRIC_DEFAULT",
        };
        if spec != SPEC {
            return Err(unsupported(&format!("KeySpec {spec}")));
        }
        match self.key_usage.as_deref().unwrap_or("ENCRYPT_DECRYPT") {
            USAGE => {}
            // Valid for this key spec in AWS.
            "KEY_AGREEMENT" => return Err(unsupported("KeyUsage KEY_AGREEMENT")),
            usage => {
                let message = format!("KeyUsage {usage} is not compatible with KeySpec {SPEC}");
                return Err(KmsError::new(ErrorCode::Validation, message));
            }
        }
        match self.origin.as_deref() {
            None | Some("AWS_KMS") => {}
            Some(origin) => return Err(unsupported(&format!("Origin {origin}"))),
        }
        if self.multi_region == Some(true) {
            return Err(unsupported("MultiRegion"));
        }
        if let Some(description) = &self.description {
            check_length(description, "description", 0..=8192)?;
        }
        for (index, tag) in self.tags.iter().enumerate() {
            let member = format!("tags.{}.member", index + 1);
            check_length(&tag.tag_key, &format!("{member}.tagKey"), 1..=128)?;
            check_length(&tag.tag_value, &format!("{member}.tagValue"), 0..=256)?;
        }
        match self.policy.as_deref().map(serde_json::from_str::<serde::de::IgnoredAny>) {
            Some(Err(_)) => Err(KmsError::new(
                ErrorCode::MalformedPolicyDocument,
                "The policy is not syntactically correct JSON",
            )),
            _ => Ok(()),
        }
    }
}

fn unsupported(what: &str) -> KmsError {
    let message = format!("{what} is not supported: this stand-in for KMS only makes {SPEC} keys");
    KmsError::new(ErrorCode::UnsupportedOperation, format!("{message} for {USAGE}"))
}

impl KeyStore {
    pub(super) fn create_key(&self, request: CreateKeyRequest) -> Result<KeyResponse, KmsError> {
        request.check()?;
        let record = KeyRecord {
            created: now(),
            description: request.description.unwrap_or_default(),
            state: KeyState::Enabled,
            tags: request.tags,
            policy: request.policy,
        };
        let mut contents = self.write()?;
        let key = Key::create(record, &self.directory)?;
        let response = self.key_response(&key);
        contents.keys.insert(key.id.clone(), key);
        Ok(response)
    }

    pub(super) fn describe_key(&self, request: KeyRequest) -> Result<KeyResponse, KmsError> {
        let text = required(request.key_id, "keyId")?;
        Ok(self.key_response(self.find(&*self.read()?, &text)?))
    }

    pub(super) fn public_key(&self, request: KeyRequest) -> Result<PublicKeyResponse, KmsError> {
        let text = required(request.key_id, "keyId")?;
        let contents = self.read()?;
        let key = self.find(&contents, &text)?;
        let arn = self.arns.of_key(&key.id);
        // A disabled key is allowed: AWS's key state table says otherwise, but AWS returns the key.
        key.record.state.check_not_pending_deletion(&arn)?;
        Ok(PublicKeyResponse {
            key_id: arn,
            public_key: Blob(key.public_key()?),
            customer_master_key_spec: SPEC,
            key_spec: SPEC,
            key_usage: USAGE,
            signing_algorithms: [ALGORITHM],
        })
    }

    pub(super) fn list_keys(&self, request: ListKeysRequest) -> Result<ListKeysResponse, KmsError> {
        let contents = self.read()?;
        let entries = contents.keys.keys().map(|id| {
            let entry =
                KeyListEntry { key_id: id.as_str().to_owned(), key_arn: self.arns.of_key(id) };
            (id.as_str(), entry)
        });
        let page = LIMITS.page(entries, request.limit, request.marker.as_deref())?;
        Ok(ListKeysResponse {
            keys: page.items,
            truncated: page.next_marker.is_some(),
            next_marker: page.next_marker,
        })
    }

    fn key_response(&self, key: &Key) -> KeyResponse {
        let record = &key.record;
        let key_metadata = KeyMetadata {
            account: ACCOUNT,
            key_id: key.id.as_str().to_owned(),
            arn: self.arns.of_key(&key.id),
            creation_date: record.created,
            enabled: matches!(record.state, KeyState::Enabled),
            description: record.description.clone(),
            key_usage: USAGE,
            key_state: record.state.name(),
            deletion_date: match record.state {
                KeyState::PendingDeletion { due } => Some(due),
                KeyState::Enabled | KeyState::Disabled => None,
            },
            origin: "AWS_KMS",
            key_manager: "CUSTOMER",
            customer_master_key_spec: SPEC,
            key_spec: SPEC,
            signing_algorithms: [ALGORITHM],
            multi_region: false,
        };
        KeyResponse { key_metadata }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::types::{KeySpec, KeyUsageType, SigningAlgorithmSpec, Tag};

    use crate::kms::{
        identifier::KeyId,
        testing::{TestKms, error_code},
    };

    #[tokio::test]
    async fn a_new_key_has_the_metadata_of_aws() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let tag = Tag::builder().tag_key("stack").tag_value("dev").build().unwrap();
        let request = kms.client.create_key().description("device CA").tags(tag).policy("{}");
        let request = request.key_spec(KeySpec::EccNistP256).key_usage(KeyUsageType::SignVerify);
        let created = request.send().await.unwrap().key_metadata.unwrap();
        let described = kms.client.describe_key().key_id(&created.key_id).send().await.unwrap();
        assert_eq!(described.key_metadata.as_ref(), Some(&created));
        assert_eq!(created.arn().unwrap().split(':').nth(4), created.aws_account_id());
        assert_eq!(created.description(), Some("device CA"));
        assert!(created.enabled);
        let public = kms.client.get_public_key().key_id(&created.key_id).send().await.unwrap();
        assert_eq!(public.key_id, created.arn);
        assert_eq!(public.key_spec, created.key_spec);
        assert_eq!(public.key_usage, created.key_usage);
        assert_eq!(public.signing_algorithms, created.signing_algorithms);
        assert_eq!(public.signing_algorithms(), [SigningAlgorithmSpec::EcdsaSha256]);
    }

    #[tokio::test]
    async fn accepts_the_deprecated_name_of_the_key_spec() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let body = r#"{"CustomerMasterKeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY"}"#;
        let (status, body) = kms.post("CreateKey", body).await;
        assert_eq!(status, 200);
        assert_eq!(body["KeyMetadata"]["CustomerMasterKeySpec"], "ECC_NIST_P256");
        assert_eq!(body["KeyMetadata"]["KeySpec"], "ECC_NIST_P256");
        assert!(body["KeyMetadata"]["CreationDate"].is_u64());
    }

    #[tokio::test]
    async fn rejects_other_kinds_of_keys() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let valid = r#""KeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY""#;
        let long = "d".repeat(8193);
        for (refusal, body) in [
            ("UnsupportedOperationException", "{}".to_owned()),
            ("UnsupportedOperationException", r#"{"KeySpec":"RSA_2048"}"#.to_owned()),
            (
                "UnsupportedOperationException",
                r#"{"KeySpec":"ECC_NIST_P256","KeyUsage":"KEY_AGREEMENT"}"#.to_owned(),
            ),
            ("UnsupportedOperationException", format!(r#"{{{valid},"Origin":"EXTERNAL"}}"#)),
            ("UnsupportedOperationException", format!(r#"{{{valid},"MultiRegion":true}}"#)),
            ("ValidationException", r#"{"KeySpec":"ECC_NIST_P256"}"#.to_owned()),
            (
                "ValidationException",
                format!(r#"{{{valid},"CustomerMasterKeySpec":"ECC_NIST_P256"}}"#),
            ),
            ("ValidationException", format!(r#"{{{valid},"Description":"{long}"}}"#)),
            (
                "ValidationException",
                format!(r#"{{{valid},"Tags":[{{"TagKey":"","TagValue":""}}]}}"#),
            ),
            ("MalformedPolicyDocumentException", format!(r#"{{{valid},"Policy":"{{"}}"#)),
        ] {
            assert_eq!(kms.refusal("CreateKey", &body).await, refusal, "{body}");
        }
        assert!(kms.client.list_keys().send().await.unwrap().keys().is_empty());
    }

    #[tokio::test]
    async fn lists_in_pages() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let mut created = Vec::new();
        for _ in 0..3 {
            created.push(kms.create_key().await);
        }
        created.sort();
        let pages = kms.client.list_keys().limit(2).into_paginator().items();
        let listed = pages.send().collect::<Result<Vec<_>, _>>().await.unwrap();
        let ids: Vec<_> = listed.iter().map(|entry| entry.key_id().unwrap()).collect();
        assert_eq!(ids, created);
        assert!(listed[0].key_arn().unwrap().ends_with(&created[0]));
    }

    #[tokio::test]
    async fn unknown_keys_are_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = KeyId::random();
        let describe = |id: &str| kms.client.describe_key().key_id(id).send();
        assert_eq!(error_code(describe(id.as_str()).await), "NotFoundException");
        assert_eq!(error_code(describe("alias/none").await), "NotFoundException");
        let foreign = format!("arn:aws:kms:eu-west-2:000000000000:key/{}", id.as_str());
        assert_eq!(error_code(describe(&foreign).await), "InvalidArnException");
    }
}
