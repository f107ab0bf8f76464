//! Enrollment tokens.

use std::fmt;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};

use super::{
    Item, META, Store, is_condition_failure, item, key, number, project::partition, record, string,
};
use crate::{
    clock::Timestamp,
    error::{Error, Rejection, Result},
    id::{ProjectId, TokenId},
    label::Label,
    token::{EnrollmentToken, SecretHash},
};

fn sort(id: TokenId) -> String {
    format!("TOKEN#{id}")
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
    /// How many devices it enrolled.
    pub uses: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its secret was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regenerated_at: Option<Timestamp>,
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
    fn as_str(self) -> &'static str {
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
}

impl Store {
    /// Lets one device in: counts a use of `token`, on the condition that it is right, active, not
    /// expired and below its cap. One round trip; nothing is read before.
    ///
    /// # Errors
    /// Why not; or when the store is away.
    pub async fn admit(&self, token: &EnrollmentToken, now: Timestamp) -> Result<()> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(partition(token.project()), sort(token.subject()))))
            .update_expression("ADD uses :one")
            .condition_expression(
                "#hash = :hash AND #status = :active \
                 AND (attribute_not_exists(expires_at) OR expires_at > :now) \
                 AND (attribute_not_exists(device_cap) OR uses < device_cap)",
            )
            .expression_attribute_names("#hash", "hash")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":hash", string(token.hash().as_str()))
            .expression_attribute_values(":active", string(TokenStatus::Active.as_str()))
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":one", number(1))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if is_condition_failure(&error) => {
                let old = error.into_service_error();
                Err(refusal(token, old_item(old), now)?)
            }
            Err(error) => Err(self.unavailable(&error)),
        }
    }

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
            uses: 0,
            created_at: now,
            regenerated_at: None,
        };
        let project = token.project();
        let put = item(partition(project), sort(record.token_id), &record)?;
        self.create_beside(
            key(partition(project), META.into()),
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
        self.update_token(
            token.project(),
            token.subject(),
            "SET previous_hash = #changed, #changed = :to, regenerated_at = :now",
            ("hash", string(token.hash().as_str())),
            Some((":now", number(now.unix()))),
        )
        .await
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
        let to = string(status.as_str());
        self.update_token(project, token, "SET #changed = :to", ("status", to), None).await
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
            .expression_attribute_values(":pk", string(partition(project)))
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

    async fn update_token(
        &self,
        project: ProjectId,
        token: TokenId,
        expression: &str,
        (name, to): (&str, AttributeValue),
        more: Option<(&str, AttributeValue)>,
    ) -> Result<()> {
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(partition(project), sort(token))))
            .update_expression(expression)
            .condition_expression("attribute_exists(PK)")
            .expression_attribute_names("#changed", name)
            .expression_attribute_values(":to", to);
        if let Some((name, value)) = more {
            update = update.expression_attribute_values(name, value);
        }
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_condition_failure(&error) => {
                Err(Error::Missing(format!("token {token} in project {project}")))
            }
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}

fn old_item(error: aws_sdk_dynamodb::operation::update_item::UpdateItemError) -> Option<Item> {
    use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
    match error {
        UpdateItemError::ConditionalCheckFailedException(failure) => failure.item,
        _ => None,
    }
}

/// Which part of the condition did not hold, in the order in which it may be told: nobody without
/// the right secret learns anything about a token.
fn refusal(token: &EnrollmentToken, old: Option<Item>, now: Timestamp) -> Result<Error> {
    let Some(old) = old else {
        return Ok(Error::EnrollmentToken(Rejection::Unknown));
    };
    let old: EnrollmentTokenRecord = record(old)?;
    let hash = token.hash();
    Ok(match () {
        () if old.previous_hash.is_some_and(|previous| previous == hash) => {
            Error::EnrollmentToken(Rejection::Superseded)
        }
        () if old.hash != hash => Error::EnrollmentToken(Rejection::Unknown),
        () if old.expires_at.is_some_and(|end| end <= now) => {
            Error::EnrollmentToken(Rejection::Expired)
        }
        () if old.status == TokenStatus::Paused => Error::TokenPaused,
        () => Error::DeviceCapReached,
    })
}
