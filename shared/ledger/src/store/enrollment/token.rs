//! Enrollment tokens, as operators create and change them. Module `redemption` redeems them.

use std::fmt;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue},
};
use pki::{
    clock::Timestamp,
    names::{AddressRanges, Label, ProjectId, TokenId},
    token::{EnrollmentToken, SecretHash},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, OperatorError, Result},
    store::{
        change::{self, Change},
        client::Store,
        condition::is_condition_failure,
        item::{from_item, key, number, string, to_item},
        layout::{self, META},
        status::StatusChange,
        transaction::back_off,
    },
};

/// Attempts to replace a secret that others replace at the same time.
const ATTEMPTS: u32 = 8;

/// Converts address ranges to their attribute value.
pub(crate) fn ranges_value(ranges: &AddressRanges) -> AttributeValue {
    AttributeValue::L(ranges.iter().map(string).collect())
}

/// An enrollment token as stored, without its secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnrollmentTokenRecord {
    /// The public id of the token.
    pub token_id: TokenId,
    hash: SecretHash,
    /// Hash of the secret before the last regeneration. It lets the log tell a regenerated token from an
    /// unknown one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_hash: Option<SecretHash>,
    /// The status of the token.
    pub status: TokenStatus,
    /// Name of the batch of devices, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_label: Option<Label>,
    /// Time of expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Maximum number of devices that the token may enroll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_cap: Option<u64>,
    /// Source addresses from which devices may enroll; any, unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_ranges: Option<AddressRanges>,
    /// Number of enrollments.
    pub uses: u64,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last regeneration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regenerated_at: Option<Timestamp>,
}

impl EnrollmentTokenRecord {
    /// Returns true if this is the hash of the token's secret.
    pub(crate) fn has_hash(&self, hash: &SecretHash) -> bool {
        self.hash == *hash
    }

    /// Returns true if this is the hash of the secret before the last regeneration.
    pub(crate) fn had_hash(&self, hash: &SecretHash) -> bool {
        self.previous_hash.as_ref().is_some_and(|previous| previous == hash)
    }
}

/// The status of an enrollment token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenStatus {
    /// Devices may enroll.
    Active,
    /// No device may enroll until an operator resumes the token.
    Paused,
}

impl fmt::Display for TokenStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TokenStatus {
    /// Returns the status as the table and the command line spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
        }
    }
}

/// An operator's settings for a new enrollment token.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// Name of the batch of devices, for people.
    pub batch_label: Option<Label>,
    /// Time of expiry.
    pub expires_at: Option<Timestamp>,
    /// Maximum number of devices that the token may enroll.
    pub device_cap: Option<u64>,
    /// Source addresses from which devices may enroll.
    pub address_ranges: Option<AddressRanges>,
}

/// An operator's changes to an enrollment token. They take effect in one write.
#[derive(Clone, Debug, Default)]
pub struct TokenChanges {
    /// Name of the batch of devices, for people.
    pub batch_label: Change<Label>,
    /// Time of expiry.
    pub expires_at: Change<Timestamp>,
    /// Maximum number of devices, including those already enrolled.
    pub device_cap: Change<u64>,
    /// Source addresses from which devices may enroll.
    pub address_ranges: Change<AddressRanges>,
}

impl Store {
    /// Adds an enrollment token to an existing project.
    ///
    /// # Errors
    /// If the project does not exist, or DynamoDB is unavailable.
    pub async fn create_token(
        &self,
        token: &EnrollmentToken,
        new: NewToken,
        now: Timestamp,
    ) -> Result<EnrollmentTokenRecord> {
        let record = EnrollmentTokenRecord {
            token_id: token.subject(),
            hash: token.hash(),
            previous_hash: None,
            status: TokenStatus::Active,
            batch_label: new.batch_label,
            expires_at: new.expires_at,
            device_cap: new.device_cap,
            address_ranges: new.address_ranges,
            uses: 0,
            created_at: now,
            regenerated_at: None,
        };
        let project = token.project();
        let put =
            to_item(layout::tokens(project), layout::token_sort_key(record.token_id), &record)?;
        self.create_with_parent(
            key(layout::project(project), META.into()),
            format!("project {project}"),
            put,
            format!("token {}", record.token_id),
        )
        .await?;
        Ok(record)
    }

    /// Replaces a token's secret. The old one stops working immediately, because
    /// [`enroll`](fn@crate::enroll) is conditioned on the same item.
    ///
    /// The write is conditioned on the secret that it replaces. So one that arrives late does not replace a newer
    /// secret, and one that arrives twice changes nothing.
    ///
    /// # Errors
    /// If the token does not exist, is regenerated by others in every attempt, or DynamoDB is unavailable.
    pub async fn regenerate_token(&self, token: &EnrollmentToken, now: Timestamp) -> Result<()> {
        let (project, id) = (token.project(), token.subject());
        let hash = string(token.hash().as_str());
        for attempt in 0..ATTEMPTS {
            let item = self.get_item(layout::tokens(project), layout::token_sort_key(id)).await?;
            let Some(item) = item else {
                return Err(missing(project, id));
            };
            let replaced = item.get("hash");
            if replaced == Some(&hash) {
                return Ok(());
            }
            // An earlier attempt succeeded, and somebody has replaced its secret since.
            if item.get("previous_hash") == Some(&hash) {
                return Err(Error::Contended);
            }
            let (unchanged, previous) = match replaced {
                Some(AttributeValue::S(_)) => ("#hash = :replaced", "previous_hash = :replaced, "),
                Some(_) => ("#hash = :replaced", ""),
                None => ("attribute_exists(PK) AND attribute_not_exists(#hash)", ""),
            };
            let update = self
                .token_update(project, id)
                .condition_expression(unchanged)
                .update_expression(format!("SET {previous}#hash = :hash, regenerated_at = :now"))
                .expression_attribute_names("#hash", "hash")
                .expression_attribute_values(":hash", hash.clone())
                .expression_attribute_values(":now", number(now.unix()));
            let update = match replaced {
                Some(replaced) => update.expression_attribute_values(":replaced", replaced.clone()),
                None => update,
            };
            match update.send().await {
                Ok(_) => return Ok(()),
                Err(error) if is_condition_failure(&error) => back_off(attempt).await,
                Err(error) => return Err(self.unavailable(&error)),
            }
        }
        Err(Error::Contended)
    }

    /// Pauses or resumes a token.
    ///
    /// # Errors
    /// If the token does not exist, others change its status in every attempt, or DynamoDB is unavailable.
    pub async fn set_token_status(
        &self,
        project: ProjectId,
        token: TokenId,
        status: TokenStatus,
    ) -> Result<()> {
        let key = key(layout::tokens(project), layout::token_sort_key(token));
        match self.set_status(key, status.as_str(), |_| true).await? {
            StatusChange::Missing => Err(missing(project, token)),
            StatusChange::Changed | StatusChange::Unchanged | StatusChange::Refused(_) => Ok(()),
        }
    }

    /// Changes a token, and returns its new state.
    ///
    /// # Errors
    /// If the token does not exist, or DynamoDB is unavailable.
    pub async fn change_token(
        &self,
        project: ProjectId,
        token: TokenId,
        changes: &TokenChanges,
    ) -> Result<EnrollmentTokenRecord> {
        let attributes = [
            ("batch_label", changes.batch_label.value(|label| string(label.as_str()))),
            ("expires_at", changes.expires_at.value(|time| number(time.unix()))),
            ("device_cap", changes.device_cap.value(|cap| number(*cap))),
            ("address_ranges", changes.address_ranges.value(ranges_value)),
        ];
        let attributes = attributes.map(|(name, change)| (name.to_owned(), name, change));
        let update = change::apply(self.token_update(project, token), attributes);
        self.send_token_update(update, project, token).await
    }

    /// Returns a token of a project.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn token(
        &self,
        project: ProjectId,
        token: TokenId,
    ) -> Result<Option<EnrollmentTokenRecord>> {
        self.get(layout::tokens(project), layout::token_sort_key(token)).await
    }

    /// Returns the tokens of a project, oldest first.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn tokens(&self, project: ProjectId) -> Result<Vec<EnrollmentTokenRecord>> {
        let items = self.query_partition(layout::tokens(project), None).await?;
        let mut tokens =
            items.into_iter().map(from_item).collect::<Result<Vec<EnrollmentTokenRecord>>>()?;
        tokens.sort_by_key(|token| token.created_at);
        Ok(tokens)
    }

    fn token_update(&self, project: ProjectId, token: TokenId) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::tokens(project), layout::token_sort_key(token))))
            .condition_expression("attribute_exists(PK)")
            .return_values(ReturnValue::AllNew)
    }

    async fn send_token_update(
        &self,
        update: UpdateItemFluentBuilder,
        project: ProjectId,
        token: TokenId,
    ) -> Result<EnrollmentTokenRecord> {
        match update.send().await {
            Ok(answer) => from_item(answer.attributes.unwrap_or_default()),
            Err(error) if is_condition_failure(&error) => Err(missing(project, token)),
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}

fn missing(project: ProjectId, token: TokenId) -> Error {
    OperatorError::Missing(format!("token {token} in project {project}")).into()
}
