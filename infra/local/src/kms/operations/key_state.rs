//! EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion.

use serde::{Deserialize, Serialize};

use crate::kms::{
    error::{ErrorCode, KmsError},
    key::KeyState,
    key_store::{KeyStore, now},
    validation::{check_range, required},
};

use super::keys::KeyRequest;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScheduleKeyDeletionRequest {
    key_id: Option<String>,
    pending_window_in_days: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScheduleKeyDeletionResponse {
    key_id: String,
    deletion_date: u64,
    key_state: &'static str,
    pending_window_in_days: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CancelKeyDeletionResponse {
    key_id: String,
}

impl KeyStore {
    pub(super) fn enable_key(&self, request: KeyRequest) -> Result<(), KmsError> {
        self.change_state(request.key_id, KeyState::Enabled, KeyState::check_not_pending_deletion)
            .map(drop)
    }

    pub(super) fn disable_key(&self, request: KeyRequest) -> Result<(), KmsError> {
        self.change_state(request.key_id, KeyState::Disabled, KeyState::check_not_pending_deletion)
            .map(drop)
    }

    pub(super) fn schedule_key_deletion(
        &self,
        request: ScheduleKeyDeletionRequest,
    ) -> Result<ScheduleKeyDeletionResponse, KmsError> {
        let days = request.pending_window_in_days.unwrap_or(30);
        check_range(days, "pendingWindowInDays", 7..=30)?;
        let due = now() + days.unsigned_abs() * SECONDS_PER_DAY;
        let state = KeyState::PendingDeletion { due };
        Ok(ScheduleKeyDeletionResponse {
            key_id: self.change_state(
                request.key_id,
                state,
                KeyState::check_not_pending_deletion,
            )?,
            deletion_date: due,
            key_state: state.name(),
            pending_window_in_days: days,
        })
    }

    /// Cancels a deletion. As in AWS, the key is disabled afterwards.
    pub(super) fn cancel_key_deletion(
        &self,
        request: KeyRequest,
    ) -> Result<CancelKeyDeletionResponse, KmsError> {
        let check_pending_deletion = |state: KeyState, arn: &str| match state {
            KeyState::PendingDeletion { .. } => Ok(()),
            KeyState::Enabled | KeyState::Disabled => Err(KmsError::new(
                ErrorCode::InvalidState,
                format!("{arn} is not pending deletion."),
            )),
        };
        Ok(CancelKeyDeletionResponse {
            key_id: self.change_state(
                request.key_id,
                KeyState::Disabled,
                check_pending_deletion,
            )?,
        })
    }

    /// Changes the state of a key if the current one passes `check`, and returns its ARN.
    fn change_state(
        &self,
        text: Option<String>,
        state: KeyState,
        check: impl FnOnce(KeyState, &str) -> Result<(), KmsError>,
    ) -> Result<String, KmsError> {
        let id = self.arns.parse_key(&required(text, "keyId")?)?;
        let mut contents = self.write()?;
        let key = contents.keys.get_mut(&id).ok_or_else(|| self.key_not_found(&id))?;
        let arn = self.arns.of_key(&id);
        check(key.record.state, &arn)?;
        key.set_state(state, &self.directory)?;
        Ok(arn)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::types::{KeyState, MessageType::Digest};

    use super::*;
    use crate::kms::{
        identifier::KeyId,
        testing::{TestKms, error_code},
    };

    async fn state(kms: &TestKms, id: &str) -> (KeyState, bool, bool) {
        let response = kms.client.describe_key().key_id(id).send().await.unwrap();
        let metadata = response.key_metadata.unwrap();
        (metadata.key_state.unwrap(), metadata.enabled, metadata.deletion_date.is_some())
    }

    #[tokio::test]
    async fn a_disabled_key_does_not_sign_until_enabled() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        kms.client.disable_key().key_id(&id).send().await.unwrap();
        assert_eq!(state(&kms, &id).await, (KeyState::Disabled, false, false));
        assert_eq!(kms.sign(&id, Digest, &[7; 32]).await.unwrap_err(), "DisabledException");
        kms.public_key(&id).await;
        kms.client.enable_key().key_id(&id).send().await.unwrap();
        assert_eq!(state(&kms, &id).await, (KeyState::Enabled, true, false));
        kms.sign(&id, Digest, &[7; 32]).await.unwrap();
    }

    #[tokio::test]
    async fn a_key_pending_deletion_is_unusable_until_the_deletion_is_cancelled() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let (id, client) = (kms.create_key().await, &kms.client);
        let schedule =
            |days| client.schedule_key_deletion().key_id(&id).pending_window_in_days(days);
        let response = schedule(7).send().await.unwrap();
        let due = now() + 7 * SECONDS_PER_DAY;
        let date = response.deletion_date().unwrap().secs().unsigned_abs();
        assert!(date.abs_diff(due) < 60);
        assert_eq!(response.key_state, Some(KeyState::PendingDeletion));
        assert!(response.key_id.unwrap().starts_with("arn:aws:kms:eu-west-1:"));
        assert_eq!(state(&kms, &id).await, (KeyState::PendingDeletion, false, true));
        for refusal in [
            kms.sign(&id, Digest, &[7; 32]).await.unwrap_err(),
            error_code(client.get_public_key().key_id(&id).send().await),
            error_code(client.enable_key().key_id(&id).send().await),
            error_code(client.disable_key().key_id(&id).send().await),
            error_code(schedule(7).send().await),
        ] {
            assert_eq!(refusal, "KMSInvalidStateException");
        }
        client.cancel_key_deletion().key_id(&id).send().await.unwrap();
        assert_eq!(state(&kms, &id).await, (KeyState::Disabled, false, false));
        let again = client.cancel_key_deletion().key_id(&id).send().await;
        assert_eq!(error_code(again), "KMSInvalidStateException");
    }

    #[tokio::test]
    async fn the_waiting_period_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        for days in [-1, 0, 6, 31] {
            let body = format!(r#"{{"KeyId":"{id}","PendingWindowInDays":{days}}}"#);
            assert_eq!(kms.refusal("ScheduleKeyDeletion", &body).await, "ValidationException");
        }
        let response = kms.client.schedule_key_deletion().key_id(&id).send().await.unwrap();
        assert_eq!(response.pending_window_in_days, Some(30));
    }

    #[tokio::test]
    async fn does_not_accept_aliases() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        let create = kms.client.create_alias().alias_name("alias/device");
        create.target_key_id(&id).send().await.unwrap();
        let disable = |id: &str| kms.client.disable_key().key_id(id).send();
        assert_eq!(error_code(disable("alias/device").await), "NotFoundException");
        assert_eq!(error_code(disable(KeyId::random().as_str()).await), "NotFoundException");
        let arn = "arn:aws:kms:eu-west-1:000000000000:alias/device";
        assert_eq!(error_code(disable(arn).await), "InvalidArnException");
        assert_eq!(kms.refusal("DisableKey", "{}").await, "ValidationException");
    }
}
