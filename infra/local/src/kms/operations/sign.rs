//! Sign.

use pki::hex;
use serde::{Deserialize, Serialize};

use crate::kms::{
    blob::Blob,
    error::{ErrorCode, KmsError},
    journal::JournalEntry,
    key::{ALGORITHM, SPEC},
    key_store::{KeyStore, now},
    message_type::MessageType,
    validation::{check_blob_length, check_enum, required},
};

/// Every signing algorithm of AWS. The keys of this stand-in are compatible with one of them.
const ALGORITHMS: [&str; 13] = [
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    ALGORITHM,
    "ECDSA_SHA_384",
    "ECDSA_SHA_512",
    "SM2DSA",
    "ML_DSA_SHAKE_256",
    "ED25519_SHA_512",
    "ED25519_PH_SHA_512",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SignRequest {
    key_id: Option<String>,
    message: Option<Blob>,
    message_type: Option<String>,
    signing_algorithm: Option<String>,
    dry_run: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SignResponse {
    key_id: String,
    signature: Blob,
    signing_algorithm: &'static str,
}

impl KeyStore {
    pub(super) fn sign(&self, request: SignRequest) -> Result<SignResponse, KmsError> {
        let text = required(request.key_id, "keyId")?;
        let message = required(request.message, "message")?;
        check_blob_length(&message, "message", 1..=4096)?;
        let message_type = MessageType::parse(request.message_type.as_deref())?;
        let algorithm = required(request.signing_algorithm, "signingAlgorithm")?;
        check_enum(&algorithm, "signingAlgorithm", &ALGORITHMS)?;

        // The lock is held until the response exists: once DisableKey has returned, the key signs no
        // more.
        let contents = self.read()?;
        let key = self.find(&contents, &text)?;
        let arn = self.arns.of_key(&key.id);
        key.record.state.check_usable(&arn)?;
        if algorithm != ALGORITHM {
            let message = format!("Algorithm {algorithm} is incompatible with key spec {SPEC}.");
            return Err(KmsError::new(ErrorCode::InvalidKeyUsage, message));
        }
        let digest = message_type.digest(&message.0)?;
        if request.dry_run == Some(true) {
            let message = "The request would have succeeded, but the DryRun option is set.";
            return Err(KmsError::new(ErrorCode::DryRunOperation, message));
        }

        let signature = key.sign(&digest)?;
        self.journal.append(&JournalEntry {
            at: now(),
            key_id: &key.id,
            message_type,
            digest: hex(&digest),
        })?;
        let signature = Blob(signature.as_bytes().to_vec());
        Ok(SignResponse { key_id: arn, signature, signing_algorithm: ALGORITHM })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use aws_sdk_kms::{
        primitives,
        types::{
            MessageType::{Digest as Prehashed, Raw},
            SigningAlgorithmSpec,
        },
    };
    use p256::ecdsa::{
        DerSignature,
        signature::{Verifier, hazmat::PrehashVerifier},
    };
    use serde_json::{Value, json};
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::kms::{
        journal::Journal,
        operations,
        testing::{TestKms, error_code, journal_lines},
    };

    #[tokio::test]
    async fn a_digest_is_not_hashed_again() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        let digest: [u8; 32] = Sha256::digest(b"to be signed").into();
        let signature = kms.sign(&id, Prehashed, &digest).await.unwrap();
        let again = kms.sign(&id, Prehashed, &digest).await.unwrap();
        assert_ne!(signature, again);
        let signature = DerSignature::try_from(signature.as_slice()).unwrap();
        let public = kms.public_key(&id).await;
        public.verify_prehash(&digest, &signature).unwrap();
        assert!(public.verify(&digest, &signature).is_err());
    }

    #[tokio::test]
    async fn a_message_is_hashed_first_which_is_the_default() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        let message = [b'm'; 4096];
        let explicit = kms.sign(&id, Raw, &message).await.unwrap();
        let request = kms.client.sign().key_id(&id).message(primitives::Blob::new(message));
        let request = request.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        let response = request.send().await.unwrap();
        assert!(response.key_id.unwrap().ends_with(&format!(":key/{id}")));
        assert_eq!(response.signing_algorithm, Some(SigningAlgorithmSpec::EcdsaSha256));
        let public = kms.public_key(&id).await;
        for signature in [explicit, response.signature.unwrap().into_inner()] {
            let signature = DerSignature::try_from(signature.as_slice()).unwrap();
            public.verify(&message, &signature).unwrap();
        }
    }

    #[tokio::test]
    async fn the_journal_has_every_signature_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        let digest = [7; 32];
        kms.sign(&id, Prehashed, &digest).await.unwrap();
        kms.sign(&id, Raw, b"message").await.unwrap();
        kms.sign(&id, Prehashed, b"message").await.unwrap_err();
        let lines = journal_lines(directory.path());
        assert_eq!(lines.len(), 2);
        assert!(lines[0]["at"].as_u64().unwrap().abs_diff(now()) < 60);
        assert_eq!(lines[0]["key_id"], id);
        assert_eq!(lines[0]["message_type"], "DIGEST");
        assert_eq!(lines[0]["digest"], hex(&digest));
        assert_eq!(lines[1]["message_type"], "RAW");
        assert_eq!(lines[1]["digest"], hex(&Sha256::digest(b"message")));
    }

    #[tokio::test]
    async fn parallel_signatures_are_all_in_the_journal() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Arc::new(TestKms::start(directory.path()).await);
        let id = kms.create_key().await;
        let public = kms.public_key(&id).await;
        let signers: Vec<_> = (0..200_u8)
            .map(|number| {
                let (kms, id) = (kms.clone(), id.clone());
                tokio::spawn(async move { kms.sign(&id, Prehashed, &[number; 32]).await.unwrap() })
            })
            .collect();
        for (number, signer) in (0..200_u8).zip(signers) {
            let signature = signer.await.unwrap();
            let signature = DerSignature::try_from(signature.as_slice()).unwrap();
            public.verify_prehash(&[number; 32], &signature).unwrap();
        }
        let lines = journal_lines(directory.path());
        assert_eq!(lines.len(), 200);
        let logged: BTreeSet<_> =
            lines.iter().map(|line| line["digest"].as_str().unwrap().to_owned()).collect();
        assert_eq!(logged, (0..200_u8).map(|number| hex(&[number; 32])).collect());
    }

    #[test]
    fn nothing_is_signed_that_cannot_be_journaled() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = KeyStore::open(directory.path().to_owned(), "eu-west-1").unwrap();
        store.journal = Journal::unwritable();
        let key = br#"{"KeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY"}"#;
        let key: Value =
            serde_json::from_slice(&operations::call(&store, "CreateKey", key).ok().unwrap())
                .unwrap();
        let id = &key["KeyMetadata"]["KeyId"];
        let request = json!({ "KeyId": id, "Message": "AA==", "SigningAlgorithm": ALGORITHM });
        let refusal =
            operations::call(&store, "Sign", request.to_string().as_bytes()).err().unwrap();
        assert_eq!(refusal.code.exception(), "KMSInternalException");
    }

    #[tokio::test]
    async fn checks_the_length_of_messages() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        kms.sign(&id, Raw, &[0; 4096]).await.unwrap();
        for (message_type, length) in [
            (Raw, 0),
            (Raw, 4097),
            (Prehashed, 0),
            (Prehashed, 31),
            (Prehashed, 33),
            (Prehashed, 64),
        ] {
            let refusal = kms.sign(&id, message_type, &vec![0; length]).await.unwrap_err();
            assert_eq!(refusal, "ValidationException", "{length}");
        }
    }

    #[tokio::test]
    async fn rejects_unsupported_parameters() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        let sign = |id: &str| kms.client.sign().key_id(id).message(primitives::Blob::new([7; 32]));
        let other = sign(&id).signing_algorithm(SigningAlgorithmSpec::RsassaPssSha256).send().await;
        assert_eq!(error_code(other), "InvalidKeyUsageException");
        let unknown = sign(&id).signing_algorithm("ECDSA_SHA_1".into()).send().await;
        assert_eq!(error_code(unknown), "ValidationException");
        let external = sign(&id).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        let external = external.message_type("EXTERNAL_MU".into()).send().await;
        assert_eq!(error_code(external), "ValidationException");
        let dry = sign(&id).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256).dry_run(true);
        assert_eq!(error_code(dry.send().await), "DryRunOperationException");
        let missing = format!(r#"{{"KeyId":"{id}","SigningAlgorithm":"ECDSA_SHA_256"}}"#);
        assert_eq!(kms.refusal("Sign", &missing).await, "ValidationException");
        let not_base64 = r#"{"KeyId":"x","Message":"?","SigningAlgorithm":"ECDSA_SHA_256"}"#;
        assert_eq!(kms.refusal("Sign", not_base64).await, "SerializationException");
        assert!(journal_lines(directory.path()).is_empty());
    }
}
