//! Records of the subordinate CAs, and which of them is active for each usage.
//!
//! All CAs of a usage are in one partition, with one item that names the active CA. A single query therefore
//! finds the issuing CA, and two CAs cannot be active at once.

use aws_sdk_dynamodb::types::{
    ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    builders::UpdateBuilder,
};
use pki::{
    authority::{AuthorityName, AuthorityRecord, AuthorityStatus},
    clock::Timestamp,
    profile::Usage,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, OperatorError, Result},
    store::{
        client::Store,
        item::{Item, from_item, key, number, string, to_item},
        layout,
        write::{incomplete, update_write},
    },
};

/// A CA and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityState {
    /// The CA as an operator recorded it.
    pub record: AuthorityRecord,
    /// The CA's status.
    pub status: AuthorityStatus,
    /// Time since which the CA has this status.
    pub since: Timestamp,
}

/// A CA whose record cannot be read, or the item that names the active CA of a usage.
#[derive(Debug)]
pub struct DamagedAuthority {
    /// The CA's name; or the sort key, if that is not one of a CA.
    pub name: String,
    /// The reason.
    pub cause: Error,
}

/// The outcome of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationOutcome {
    /// The CA was activated, and issues from now on.
    Activated,
    /// The CA was active already.
    AlreadyActive,
}

/// The item that names the active CA of a usage.
#[derive(Serialize, Deserialize)]
struct Active {
    name: AuthorityName,
    since: Timestamp,
}

/// The attribute of a CA's item that is not part of its record.
#[derive(Deserialize)]
struct Retirement {
    #[serde(default)]
    retired_at: Option<Timestamp>,
}

/// The items in a usage's partition.
struct UsageItems {
    active: Result<Option<Active>>,
    authorities: Vec<Item>,
}

impl UsageItems {
    /// Returns the CAs that can be read, the oldest first, and those that cannot.
    fn states(self) -> (Vec<AuthorityState>, Vec<DamagedAuthority>) {
        let Self { active, authorities } = self;
        let (mut states, mut damaged) = (Vec::new(), Vec::new());
        let active = active.unwrap_or_else(|cause| {
            damaged.push(DamagedAuthority { name: layout::ACTIVE.into(), cause });
            None
        });
        let state = |item: Item| {
            let retired_at = from_item::<Retirement>(item.clone())?.retired_at;
            let record: AuthorityRecord = from_item(item)?;
            let is_active = |active: &&Active| active.name == record.name;
            let (status, since) = match (active.as_ref().filter(is_active), retired_at) {
                (Some(active), _) => (AuthorityStatus::Active, active.since),
                (None, Some(since)) => (AuthorityStatus::Retired, since),
                (None, None) => (AuthorityStatus::Prepared, record.created_at),
            };
            Ok(AuthorityState { record, status, since })
        };
        for item in authorities {
            let name = sort_key(&item).and_then(|sort| sort.strip_prefix(layout::CA_NAME));
            let name = name.unwrap_or_default().to_owned();
            match state(item) {
                Ok(state) => states.push(state),
                Err(cause) => damaged.push(DamagedAuthority { name, cause }),
            }
        }
        states.sort_by_key(|it| it.record.created_at);
        (states, damaged)
    }
}

impl Store {
    /// Returns the active CA of a usage, in one round trip.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn active_authority(&self, usage: Usage) -> Result<Option<AuthorityRecord>> {
        // A query is not isolated from a concurrent activation, so only the item that names the active CA
        // decides. The records never change.
        let UsageItems { active, authorities } = self.usage_items(usage).await?;
        let Some(active) = active? else {
            return Ok(None);
        };
        // Only the active CA's record is parsed: a damaged one of another CA must not stop issuance.
        let sort = layout::authority_sort_key(&active.name);
        authorities.into_iter().find(|item| has_sort_key(item, &sort)).map(from_item).transpose()
    }

    /// Returns all CAs, grouped by usage, the oldest first.
    ///
    /// # Errors
    /// If a record is damaged, or DynamoDB is unavailable.
    pub async fn authorities(&self) -> Result<Vec<AuthorityState>> {
        let (states, damaged) = self.readable_authorities().await?;
        match damaged.into_iter().next() {
            None => Ok(states),
            Some(damaged) => Err(damaged.cause),
        }
    }

    /// Returns all CAs whose records can be read, grouped by usage, the oldest first; and those whose records
    /// cannot, so that they do not stop the CRLs of the others.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn readable_authorities(
        &self,
    ) -> Result<(Vec<AuthorityState>, Vec<DamagedAuthority>)> {
        let (mut all, mut all_damaged) = (Vec::new(), Vec::new());
        for usage in Usage::ALL {
            let (states, damaged) = self.usage_items(usage).await?.states();
            all.extend(states);
            all_damaged.extend(damaged);
        }
        Ok((all, all_damaged))
    }

    /// Returns the record of the CA `name`, whatever its status.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn authority(&self, name: &str) -> Result<Option<AuthorityRecord>> {
        match name.parse::<AuthorityName>() {
            Ok(name) => {
                self.get(layout::authority(name.usage()), layout::authority_sort_key(&name)).await
            }
            Err(_) => Ok(None),
        }
    }

    /// Records a CA, which does not issue yet. Never overwrites one.
    ///
    /// # Errors
    /// If a CA of this name exists, or DynamoDB is unavailable.
    pub async fn prepare_authority(&self, record: &AuthorityRecord) -> Result<()> {
        let item = to_item(
            layout::authority(record.name.usage()),
            layout::authority_sort_key(&record.name),
            record,
        )?;
        self.create(item, format!("CA named {}", record.name)).await
    }

    /// Activates the CA `name` and retires `in_place_of`, in one transaction.
    ///
    /// The transaction is conditioned on `in_place_of` being active, or on no CA being active if it is
    /// `None`. What the caller checked against the active CA therefore still holds. To roll back, activate
    /// the old CA again.
    ///
    /// # Errors
    /// If the CA does not exist, another CA is active, or DynamoDB is unavailable.
    pub async fn activate_authority(
        &self,
        name: &AuthorityName,
        in_place_of: Option<&AuthorityName>,
        now: Timestamp,
    ) -> Result<ActivationOutcome> {
        let usage = name.usage();
        let active = Active { name: name.clone(), since: now };
        let switch = Put::builder()
            .table_name(&self.table)
            .set_item(Some(to_item(layout::authority(usage), layout::ACTIVE.into(), &active)?))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let switch = match in_place_of {
            None => switch.condition_expression("attribute_not_exists(PK)"),
            Some(old) => switch
                .condition_expression("#name = :old")
                .expression_attribute_names("#name", "name")
                .expression_attribute_values(":old", string(old.as_str())),
        };
        let switch = switch.build().map_err(incomplete)?;
        let mut writes = vec![
            TransactWriteItem::builder().put(switch).build(),
            update_write(self.authority_update(name).update_expression("REMOVE retired_at"))?,
        ];
        // DynamoDB refuses a transaction with two writes to one item.
        if let Some(old) = in_place_of.filter(|old| *old != name) {
            let retire = self
                .authority_update(old)
                .update_expression("SET retired_at = :now")
                .expression_attribute_values(":now", number(now.unix()));
            writes.push(update_write(retire)?);
        }
        let Some(cancelled) = self.transact(writes).await? else {
            return Ok(ActivationOutcome::Activated);
        };
        match cancelled.first_failed_condition() {
            Some(0) => match cancelled.item(0).cloned().map(from_item::<Active>).transpose()? {
                Some(active) if active.name == *name => Ok(ActivationOutcome::AlreadyActive),
                Some(active) => Err(still_active(active.name)),
                None => Err(Error::Contended),
            },
            Some(_) => Err(missing(name)),
            None => Err(Error::Contended),
        }
    }

    /// Retires a prepared CA that will not be activated. Returns false if it was retired already. An active
    /// CA is retired by activating another.
    ///
    /// # Errors
    /// If the CA does not exist or is active, or DynamoDB is unavailable.
    pub async fn retire_authority(&self, name: &AuthorityName, now: Timestamp) -> Result<bool> {
        let not_active = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::authority(name.usage()), layout::ACTIVE.into())))
            .condition_expression("attribute_not_exists(PK) OR #name <> :name")
            .expression_attribute_names("#name", "name")
            .expression_attribute_values(":name", string(name.as_str()))
            .build()
            .map_err(incomplete)?;
        let retire = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::authority(name.usage()), layout::authority_sort_key(name))))
            .condition_expression("attribute_exists(PK) AND attribute_not_exists(retired_at)")
            .update_expression("SET retired_at = :now")
            .expression_attribute_values(":now", number(now.unix()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let writes = vec![
            TransactWriteItem::builder().condition_check(not_active).build(),
            update_write(retire)?,
        ];
        let Some(cancelled) = self.transact(writes).await? else {
            return Ok(true);
        };
        match cancelled.first_failed_condition() {
            Some(0) => Err(still_active(name.clone())),
            Some(_) if cancelled.item(1).is_some() => Ok(false),
            Some(_) => Err(missing(name)),
            None => Err(Error::Contended),
        }
    }

    /// Reads a usage's partition.
    async fn usage_items(&self, usage: Usage) -> Result<UsageItems> {
        let mut authorities = self.query_partition(layout::authority(usage), None).await?;
        let index = authorities.iter().position(|item| has_sort_key(item, layout::ACTIVE));
        let active = index.map(|index| authorities.remove(index)).map(from_item).transpose();
        authorities
            .retain(|item| sort_key(item).is_some_and(|sort| sort.starts_with(layout::CA_NAME)));
        Ok(UsageItems { active, authorities })
    }

    fn authority_update(&self, name: &AuthorityName) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::authority(name.usage()), layout::authority_sort_key(name))))
            .condition_expression("attribute_exists(PK)")
    }
}

fn still_active(name: AuthorityName) -> Error {
    OperatorError::AuthorityStatus { name, status: AuthorityStatus::Active }.into()
}

fn missing(name: &AuthorityName) -> Error {
    OperatorError::Missing(format!("CA named {name}")).into()
}

fn sort_key(item: &Item) -> Option<&String> {
    item.get("SK").and_then(|value| value.as_s().ok())
}

fn has_sort_key(item: &Item, sort: &str) -> bool {
    sort_key(item).is_some_and(|it| it == sort)
}
