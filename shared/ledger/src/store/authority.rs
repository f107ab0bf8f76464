//! Authorities: the subordinate CAs that operators set up, generation after generation.
//!
//! All of a usage are in one partition, and so is the one item that says which of them is active: a
//! single query tells who issues, and no two can.

use aws_sdk_dynamodb::types::{
    ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    builders::UpdateBuilder,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, OperatorError, Result};
use crate::store::{
    client::Store,
    item::{Item, item, key, number, record, string},
    layout,
    write::{incomplete, update_write},
};
use pki::{
    authority::{AuthorityName, AuthorityRecord, AuthorityStatus},
    clock::Timestamp,
    profile::Usage,
};

/// A CA and where it is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAuthority {
    /// What an operator set up.
    pub record: AuthorityRecord,
    /// What it does now.
    pub status: AuthorityStatus,
    /// Since when.
    pub since: Timestamp,
}

/// What came of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// It issues from now on.
    Switched,
    /// It did so before.
    Already,
}

#[derive(Serialize, Deserialize)]
struct Active {
    name: AuthorityName,
    since: Timestamp,
}

#[derive(Deserialize)]
struct Retirement {
    #[serde(default)]
    retired_at: Option<Timestamp>,
}

/// What a usage's partition holds.
struct Generations {
    active: Option<Active>,
    items: Vec<Item>,
}

impl Generations {
    fn known(self) -> Result<Vec<KnownAuthority>> {
        let Self { active, items } = self;
        let known = items.into_iter().map(|item| {
            let retired_at = record::<Retirement>(item.clone())?.retired_at;
            let record: AuthorityRecord = record(item)?;
            let is_active = |active: &&Active| active.name == record.name;
            let (status, since) = match (active.as_ref().filter(is_active), retired_at) {
                (Some(active), _) => (AuthorityStatus::Active, active.since),
                (None, Some(since)) => (AuthorityStatus::Retired, since),
                (None, None) => (AuthorityStatus::Prepared, record.created_at),
            };
            Ok(KnownAuthority { record, status, since })
        });
        known.collect()
    }
}

impl Store {
    /// The CA that issues what `usage` is for: one round trip.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn active_authority(&self, usage: Usage) -> Result<Option<AuthorityRecord>> {
        // A query, unlike a transaction, may see one item as it was before a switch and the next as it
        // is after. So nothing but the one item decides, and the records never change.
        let Generations { active: Some(active), items } = self.generations(usage).await? else {
            return Ok(None);
        };
        // A damaged record of another generation stops nobody.
        let sort = layout::authority_sort(&active.name);
        items.into_iter().find(|item| is_at(item, &sort)).map(record).transpose()
    }

    /// All CAs, those of a usage together, the oldest first.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn authorities(&self) -> Result<Vec<KnownAuthority>> {
        let mut all = Vec::new();
        for usage in Usage::ALL {
            let mut known = self.generations(usage).await?.known()?;
            known.sort_by_key(|it| it.record.created_at);
            all.append(&mut known);
        }
        Ok(all)
    }

    /// The record of the CA `name`, whatever its status.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn authority(&self, name: &str) -> Result<Option<AuthorityRecord>> {
        match name.parse::<AuthorityName>() {
            Ok(name) => {
                self.get(layout::authority(name.usage()), layout::authority_sort(&name)).await
            }
            Err(_) => Ok(None),
        }
    }

    /// Records a CA that does not issue yet; one that is there is never overwritten.
    ///
    /// # Errors
    /// When there is one of its name, or the store is away.
    pub async fn prepare_authority(&self, record: &AuthorityRecord) -> Result<()> {
        let item = item(
            layout::authority(record.name.usage()),
            layout::authority_sort(&record.name),
            record,
        )?;
        self.create(item, format!("CA named {}", record.name)).await
    }

    /// Makes `name` the CA that issues, and `in_place_of` one that issues no more, in one transaction.
    /// Its condition is that `in_place_of` is active, or none is: what was checked against that one
    /// holds when the switch happens. To go back, activate the old one again.
    ///
    /// # Errors
    /// When there is no such CA, when yet another one is active, or the store is away.
    pub async fn activate_authority(
        &self,
        name: &AuthorityName,
        in_place_of: Option<&AuthorityName>,
        now: Timestamp,
    ) -> Result<Activation> {
        let usage = name.usage();
        let active = Active { name: name.clone(), since: now };
        let switch = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item(layout::authority(usage), layout::ACTIVE.into(), &active)?))
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
        // Where both are one the transaction would be refused for naming an item twice.
        if let Some(old) = in_place_of.filter(|old| *old != name) {
            let retire = self
                .authority_update(old)
                .update_expression("SET retired_at = :now")
                .expression_attribute_values(":now", number(now.unix()));
            writes.push(update_write(retire)?);
        }
        let Some(cancelled) = self.transact(writes).await? else {
            return Ok(Activation::Switched);
        };
        match cancelled.first_failed() {
            Some(0) => match cancelled.item(0).cloned().map(record::<Active>).transpose()? {
                Some(active) if active.name == *name => Ok(Activation::Already),
                Some(active) => Err(is_active(active.name)),
                None => Err(Error::Contended),
            },
            Some(_) => Err(missing(name)),
            None => Err(Error::Contended),
        }
    }

    /// Retires a CA that was prepared and is not to be activated. Returns whether that changed
    /// anything.
    ///
    /// # Errors
    /// When there is no such CA, or it is active: it is retired by activating another. Or when the
    /// store is away.
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
            .set_key(Some(key(layout::authority(name.usage()), layout::authority_sort(name))))
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
        match cancelled.first_failed() {
            Some(0) => Err(is_active(name.clone())),
            Some(_) if cancelled.item(1).is_some() => Ok(false),
            Some(_) => Err(missing(name)),
            None => Err(Error::Contended),
        }
    }

    async fn generations(&self, usage: Usage) -> Result<Generations> {
        let mut items = self.query(layout::authority(usage), None).await?;
        let place = items.iter().position(|item| is_at(item, layout::ACTIVE));
        let active = place.map(|place| items.remove(place)).map(record).transpose()?;
        items.retain(|item| sort_of(item).is_some_and(|sort| sort.starts_with(layout::CA_NAME)));
        Ok(Generations { active, items })
    }

    fn authority_update(&self, name: &AuthorityName) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::authority(name.usage()), layout::authority_sort(name))))
            .condition_expression("attribute_exists(PK)")
    }
}

fn is_active(name: AuthorityName) -> Error {
    OperatorError::AuthorityStatus { name, status: AuthorityStatus::Active }.into()
}

fn missing(name: &AuthorityName) -> Error {
    OperatorError::Missing(format!("CA named {name}")).into()
}

fn sort_of(item: &Item) -> Option<&String> {
    item.get("SK").and_then(|value| value.as_s().ok())
}

fn is_at(item: &Item, sort: &str) -> bool {
    sort_of(item).is_some_and(|it| it == sort)
}
