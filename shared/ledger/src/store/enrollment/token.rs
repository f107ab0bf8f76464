//! Enrollment tokens, as operators make and change them. What they let in is decided in `admission`.

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
    error::{OperatorError, Result},
    store::{
        change::{self, Change},
        client::Store,
        item::{item, key, number, record, string},
        layout::{self, META},
        write::is_condition_failure,
    },
};

/// Address ranges as their attribute is compared with and set to.
pub(in crate::store) fn ranges_value(ranges: &AddressRanges) -> AttributeValue {
    AttributeValue::L(ranges.iter().map(string).collect())
}

/// An enrollment token as it is stored: all but its secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnrollmentTokenRecord {
    /// Its public name.
    pub token_id: TokenId,
    hash: SecretHash,
    /// What the hash was before the token was regenerated, to tell the log that an old one is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_hash: Option<SecretHash>,
    /// Whether it lets anyone in.
    pub status: TokenStatus,
    /// For people: the batch of devices it is meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_label: Option<Label>,
    /// When it stops letting anyone in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How many devices it may enroll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_cap: Option<u64>,
    /// From where it lets devices in; from anywhere, unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_ranges: Option<AddressRanges>,
    /// How many devices it enrolled.
    pub uses: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its secret was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regenerated_at: Option<Timestamp>,
}

impl EnrollmentTokenRecord {
    /// Whether this is the hash of its secret.
    pub(in crate::store) fn is(&self, hash: &SecretHash) -> bool {
        self.hash == *hash
    }

    /// Whether this is the hash of the secret that it had before.
    pub(in crate::store) fn was(&self, hash: &SecretHash) -> bool {
        self.previous_hash.as_ref().is_some_and(|previous| previous == hash)
    }
}

/// Whether an enrollment token lets anyone in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenStatus {
    /// It does.
    Active,
    /// Not until an operator resumes it.
    Paused,
}

impl fmt::Display for TokenStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TokenStatus {
    pub(in crate::store) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
        }
    }
}

/// What an operator says of a new enrollment token.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// For people: the batch of devices it is meant for.
    pub batch_label: Option<Label>,
    /// When it stops letting anyone in.
    pub expires_at: Option<Timestamp>,
    /// How many devices it may enroll.
    pub device_cap: Option<u64>,
    /// From where.
    pub address_ranges: Option<AddressRanges>,
}

/// What an operator changes about an enrollment token. It all takes effect in one write.
#[derive(Clone, Debug, Default)]
pub struct TokenChanges {
    /// For people: the batch of devices it is meant for.
    pub batch_label: Change<Label>,
    /// When it stops letting anyone in.
    pub expires_at: Change<Timestamp>,
    /// How many devices it may enroll, the ones that it did enroll included.
    pub device_cap: Change<u64>,
    /// From where.
    pub address_ranges: Change<AddressRanges>,
}

impl Store {
    /// Adds an enrollment token to a project that exists.
    ///
    /// # Errors
    /// When there is no such project, or the store is away.
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
        let put = item(layout::project(project), layout::token_sort(record.token_id), &record)?;
        self.create_beside(
            key(layout::project(project), META.into()),
            format!("project {project}"),
            put,
            format!("token {}", record.token_id),
        )
        .await?;
        Ok(record)
    }

    /// Gives a token a new secret. From the moment this returns the old one enrolls nobody: it is
    /// one write to the very item that [`Store::admit`] is conditioned on.
    ///
    /// # Errors
    /// When there is no such token, or the store is away.
    pub async fn regenerate_token(&self, token: &EnrollmentToken, now: Timestamp) -> Result<()> {
        let (project, id) = (token.project(), token.subject());
        let update = self
            .token_update(project, id)
            .update_expression("SET previous_hash = #hash, #hash = :hash, regenerated_at = :now")
            .expression_attribute_names("#hash", "hash")
            .expression_attribute_values(":hash", string(token.hash().as_str()))
            .expression_attribute_values(":now", number(now.unix()));
        self.updated(update, project, id).await.map(drop)
    }

    /// Pauses or resumes a token.
    ///
    /// # Errors
    /// When there is no such token, or the store is away.
    pub async fn set_token_status(
        &self,
        project: ProjectId,
        token: TokenId,
        status: TokenStatus,
    ) -> Result<()> {
        let update = self
            .token_update(project, token)
            .update_expression("SET #status = :status")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", string(status.as_str()));
        self.updated(update, project, token).await.map(drop)
    }

    /// Changes a token and returns it as it is then. Nothing but what is given changes.
    ///
    /// # Errors
    /// When there is no such token, or the store is away.
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
        self.updated(update, project, token).await
    }

    /// A token of a project.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn token(
        &self,
        project: ProjectId,
        token: TokenId,
    ) -> Result<Option<EnrollmentTokenRecord>> {
        self.get(layout::project(project), layout::token_sort(token)).await
    }

    /// The tokens of a project.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn tokens(&self, project: ProjectId) -> Result<Vec<EnrollmentTokenRecord>> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("PK = :pk AND begins_with(SK, :sk)")
            .expression_attribute_values(":pk", string(layout::project(project)))
            .expression_attribute_values(":sk", string("TOKEN#"))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut tokens: Vec<EnrollmentTokenRecord> = Vec::new();
        while let Some(item) = pages.next().await {
            tokens.push(record(item.map_err(|error| self.unavailable(&error))?)?);
        }
        tokens.sort_by_key(|token| token.created_at);
        Ok(tokens)
    }

    fn token_update(&self, project: ProjectId, token: TokenId) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::project(project), layout::token_sort(token))))
            .condition_expression("attribute_exists(PK)")
            .return_values(ReturnValue::AllNew)
    }

    async fn updated(
        &self,
        update: UpdateItemFluentBuilder,
        project: ProjectId,
        token: TokenId,
    ) -> Result<EnrollmentTokenRecord> {
        match update.send().await {
            Ok(answer) => record(answer.attributes.unwrap_or_default()),
            Err(error) if is_condition_failure(&error) => {
                Err(OperatorError::Missing(format!("token {token} in project {project}")).into())
            }
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}
