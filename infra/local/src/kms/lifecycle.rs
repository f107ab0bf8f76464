//! EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion.

use serde::{Deserialize, Serialize};

use super::{
    fault::{Code, Fault},
    key::State,
    keys::KeyRequest,
    service::{Service, now},
    wire::{number, required},
};

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

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

impl Service {
    pub(super) fn enable_key(&self, request: KeyRequest) -> Result<(), Fault> {
        self.enter(request.key_id, State::Enabled, State::not_pending_deletion).map(drop)
    }

    pub(super) fn disable_key(&self, request: KeyRequest) -> Result<(), Fault> {
        self.enter(request.key_id, State::Disabled, State::not_pending_deletion).map(drop)
    }

    pub(super) fn schedule_key_deletion(
        &self,
        request: ScheduleKeyDeletionRequest,
    ) -> Result<ScheduleKeyDeletionResponse, Fault> {
        let days = request.pending_window_in_days.unwrap_or(30);
        number(days, "pendingWindowInDays", 7..=30)?;
        let due = now() + days.unsigned_abs() * SECONDS_A_DAY;
        let state = State::PendingDeletion { due };
        Ok(ScheduleKeyDeletionResponse {
            key_id: self.enter(request.key_id, state, State::not_pending_deletion)?,
            deletion_date: due,
            key_state: state.name(),
            pending_window_in_days: days,
        })
    }

    /// The key is disabled afterwards, as AWS leaves it.
    pub(super) fn cancel_key_deletion(
        &self,
        request: KeyRequest,
    ) -> Result<CancelKeyDeletionResponse, Fault> {
        let pending = |state: State, arn: &str| match state {
            State::PendingDeletion { .. } => Ok(()),
            State::Enabled | State::Disabled => {
                Err(Fault::new(Code::InvalidState, format!("{arn} is not pending deletion.")))
            }
        };
        Ok(CancelKeyDeletionResponse {
            key_id: self.enter(request.key_id, State::Disabled, pending)?,
        })
    }

    /// Brings a key into `state` if the present one `allows` it, and answers its ARN.
    fn enter(
        &self,
        text: Option<String>,
        state: State,
        allows: impl FnOnce(State, &str) -> Result<(), Fault>,
    ) -> Result<String, Fault> {
        let id = self.arns.key(&required(text, "keyId")?)?;
        let mut holdings = self.write()?;
        let key = holdings.keys.get_mut(&id).ok_or_else(|| self.no_key(&id))?;
        let arn = self.arns.of_key(&id);
        allows(key.record.state, &arn)?;
        key.enter(state, &self.directory)?;
        Ok(arn)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::types::{KeyState, MessageType::Digest};

    use super::*;
    use crate::kms::{
        address::KeyId,
        testing::{Kms, code},
    };

    async fn state(kms: &Kms, id: &str) -> (KeyState, bool, bool) {
        let answer = kms.client.describe_key().key_id(id).send().await.unwrap();
        let metadata = answer.key_metadata.unwrap();
        (metadata.key_state.unwrap(), metadata.enabled, metadata.deletion_date.is_some())
    }

    #[tokio::test]
    async fn a_disabled_key_does_not_sign_until_enabled() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
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
    async fn a_key_pending_deletion_does_nothing_until_that_is_cancelled() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        let (id, client) = (kms.create_key().await, &kms.client);
        let schedule =
            |days| client.schedule_key_deletion().key_id(&id).pending_window_in_days(days);
        let answer = schedule(7).send().await.unwrap();
        let due = now() + 7 * SECONDS_A_DAY;
        let date = answer.deletion_date().unwrap().secs().unsigned_abs();
        assert!(date.abs_diff(due) < 60);
        assert_eq!(answer.key_state, Some(KeyState::PendingDeletion));
        assert!(answer.key_id.unwrap().starts_with("arn:aws:kms:eu-west-1:"));
        assert_eq!(state(&kms, &id).await, (KeyState::PendingDeletion, false, true));
        for refusal in [
            kms.sign(&id, Digest, &[7; 32]).await.unwrap_err(),
            code(client.get_public_key().key_id(&id).send().await),
            code(client.enable_key().key_id(&id).send().await),
            code(client.disable_key().key_id(&id).send().await),
            code(schedule(7).send().await),
        ] {
            assert_eq!(refusal, "KMSInvalidStateException");
        }
        client.cancel_key_deletion().key_id(&id).send().await.unwrap();
        assert_eq!(state(&kms, &id).await, (KeyState::Disabled, false, false));
        let again = client.cancel_key_deletion().key_id(&id).send().await;
        assert_eq!(code(again), "KMSInvalidStateException");
    }

    #[tokio::test]
    async fn the_window_has_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        let id = kms.create_key().await;
        for days in [-1, 0, 6, 31] {
            let body = format!(r#"{{"KeyId":"{id}","PendingWindowInDays":{days}}}"#);
            assert_eq!(kms.refusal("ScheduleKeyDeletion", &body).await, "ValidationException");
        }
        let answer = kms.client.schedule_key_deletion().key_id(&id).send().await.unwrap();
        assert_eq!(answer.pending_window_in_days, Some(30));
    }

    #[tokio::test]
    async fn takes_keys_and_not_aliases() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        let id = kms.create_key().await;
        let create = kms.client.create_alias().alias_name("alias/device");
        create.target_key_id(&id).send().await.unwrap();
        let disable = |id: &str| kms.client.disable_key().key_id(id).send();
        assert_eq!(code(disable("alias/device").await), "NotFoundException");
        assert_eq!(code(disable(KeyId::random().as_str()).await), "NotFoundException");
        let arn = "arn:aws:kms:eu-west-1:000000000000:alias/device";
        assert_eq!(code(disable(arn).await), "InvalidArnException");
        assert_eq!(kms.refusal("DisableKey", "{}").await, "ValidationException");
    }
}
