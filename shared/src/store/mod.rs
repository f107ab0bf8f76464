//! The store: one DynamoDB table.
//!
//! | item | `PK` | `SK` |
//! |---|---|---|
//! | project | `PROJECT#<id>` | `META` |
//! | enrollment token | `PROJECT#<id>` | `TOKEN#<id>` |
//! | device | `DEVICE#<id>` | `META` |
//! | denied device | `DENIED#<id>` | `META` |
//! | certificate (the ledger) | `LEDGER#<device>`, `SERVER#<name>` or `REGISTRATION#<code>` | `CERT#<serial>` |
//! | authority | `CA#<usage>` | `NAME#<name>` |
//! | which one is active | `CA#<usage>` | `ACTIVE` |
//! | device's key | `KEY#<fingerprint>` | `META` |
//! | a CA's last list | `CRL#<name>` | `META` |
//! | a list that was signed | `CRL#<name>` | `LIST#<number>#<digest>` |
//! | request for a list | `CRL#REQUEST` | the CA's name |
//!
//! | index | partition | sort | what it is for |
//! |---|---|---|---|
//! | `inventory` | `inventory`: `PROJECTS`, `DEVICES#<project>` or `SERVICES` | `created_at` | projects, a project's devices, and services' certificates, by age |
//! | `serials` | `serial_number` | – | a certificate by its serial number |
//! | `revocations` | `ca` | `revoked_at` | what a CRL has: entries that count as revoked at a time; under `DENIED`, the denied devices |
//!
//! All are sparse: an item is in an index only if it has the index's keys.
//!
//! Every condition that protects something is in the write itself. Nothing expires by TTL: DynamoDB
//! deletes late, so that code checks expiry.

mod admission;
mod authority;
mod change;
mod crl;
mod denied;
mod device;
mod enrollment;
mod holder;
mod issuance;
mod keys;
mod ledger;
mod lookup;
mod pages;
mod project;
mod revocation;
mod revoked;
mod service;
mod service_revocation;
mod stamps;
mod table;
mod upkeep;

use std::{collections::HashMap, fmt::Display};

use aws_sdk_dynamodb::{
    Client,
    error::{BuildError, SdkError},
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    types::{
        AttributeValue, ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    },
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    aws::outage,
    error::{Error, Result, Service},
};

pub use authority::{Activation, KnownAuthority};
pub use change::Change;
pub use crl::{CrlState, PublishedCrl, RecordedCrl};
pub use device::{DeviceDetails, DeviceRecord, DeviceStatus};
pub use enrollment::{EnrollmentTokenRecord, NewToken, TokenChanges, TokenStatus};
pub use holder::{Holder, KeySource};
pub use keys::KeyRecord;
pub use ledger::{EntryKey, LedgerEntry, Recorded};
pub use lookup::{CertificateStatus, Owner};
pub use pages::{DevicePage, DeviceQuery, Position};
pub use project::{Policy, PolicyError, PolicyTerms, ProjectChanges, ProjectRecord, ProjectTerms};
pub use revocation::Stamped;
pub use service::ServiceCertificate;

type Item = HashMap<String, AttributeValue>;

const META: &str = "META";
const INVENTORY: &str = "inventory";
const SERIALS: &str = "serials";
const REVOCATIONS: &str = "revocations";

/// The table.
#[derive(Clone)]
pub struct Store {
    client: Client,
    table: String,
}

/// An item that does not hold what it should.
#[derive(Debug, thiserror::Error)]
#[error("{item}: {cause}")]
pub struct ItemError {
    /// Its keys.
    item: String,
    cause: serde_dynamo::Error,
}

impl Store {
    /// The table `table`.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Its name.
    #[must_use]
    pub fn table_name(&self) -> &str {
        &self.table
    }

    /// Checks that the table is there, which warms the connection too.
    ///
    /// # Errors
    /// When it is not, or the store is away.
    pub async fn check(&self) -> Result<()> {
        // No item has this key: what matters is that the table answers.
        self.get::<serde::de::IgnoredAny>("CHECK".into(), META.into()).await.map(drop)
    }

    /// What an SDK error that has no meaning of its own here comes to. Where AWS refuses, the table's
    /// name or what may be done with it is at fault.
    fn unavailable<E>(&self, error: &SdkError<E>) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        match outage(Service::DynamoDb, error) {
            Error::Refused { service, cause } => {
                Error::Refused { service, cause: format!("table {}: {cause}", self.table) }
            }
            other => other,
        }
    }

    /// One item, read consistently.
    async fn get<T: DeserializeOwned>(&self, pk: String, sk: String) -> Result<Option<T>> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(pk, sk)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        answer.item.map(record).transpose()
    }

    /// Puts an item that must not be there yet; `what` names it in the error.
    async fn create(&self, item: Item, what: String) -> Result<()> {
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(PK)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(());
        };
        match error.as_service_error() {
            // The SDK retries where an answer was lost, and finds what it wrote itself.
            Some(PutItemError::ConditionalCheckFailedException(it)) if it.item() == Some(&item) => {
                Ok(())
            }
            Some(PutItemError::ConditionalCheckFailedException(_)) => Err(Error::Exists(what)),
            _ => Err(self.unavailable(&error)),
        }
    }

    /// Puts an item that must not be there yet, beside one that must: in one transaction.
    async fn create_beside(
        &self,
        parent: Item,
        parent_name: String,
        item: Item,
        what: String,
    ) -> Result<()> {
        let parent = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(parent))
            .condition_expression("attribute_exists(PK)")
            .build()
            .map_err(incomplete)?;
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(PK)")
            .build()
            .map_err(incomplete)?;
        let answer = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().condition_check(parent).build())
            .transact_items(TransactWriteItem::builder().put(put).build())
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(());
        };
        let failed = |place: usize| match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(it)) => it
                .cancellation_reasons()
                .get(place)
                .is_some_and(|reason| reason.code() == Some("ConditionalCheckFailed")),
            _ => false,
        };
        match () {
            () if failed(0) => Err(Error::Missing(parent_name)),
            () if failed(1) => Err(Error::Exists(what)),
            () => Err(self.unavailable(&error)),
        }
    }

    /// The items of a partition, or those of them whose sort key begins with `prefix`, read
    /// consistently.
    async fn query(&self, partition: String, prefix: Option<String>) -> Result<Vec<Item>> {
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression(match prefix {
                None => "PK = :pk",
                Some(_) => "PK = :pk AND begins_with(SK, :sk)",
            })
            .expression_attribute_values(":pk", string(partition))
            .consistent_read(true);
        if let Some(prefix) = prefix {
            query = query.expression_attribute_values(":sk", string(prefix));
        }
        let mut items = query.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            found.push(item.map_err(|error| self.unavailable(&error))?);
        }
        Ok(found)
    }

    /// All items that the index `inventory` has under `partition`, oldest first.
    async fn inventory<T: DeserializeOwned>(
        &self,
        partition: String,
        limit: Option<usize>,
    ) -> Result<Vec<T>> {
        let mut records = Vec::new();
        let mut start = None;
        loop {
            let wanted = limit.map(|limit| limit.saturating_sub(records.len()).min(1000) as i32);
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(INVENTORY)
                .key_condition_expression("inventory = :partition")
                .expression_attribute_values(":partition", string(&partition))
                .set_limit(wanted)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| self.unavailable(&error))?;
            for item in page.items.unwrap_or_default() {
                records.push(record(item)?);
            }
            start = page.last_evaluated_key;
            if start.is_none() || limit.is_some_and(|limit| records.len() >= limit) {
                return Ok(records);
            }
        }
    }
}

/// The partition that an item is in.
fn partition_key(item: &Item) -> &str {
    item.get("PK").and_then(|it| it.as_s().ok()).map_or("", String::as_str)
}

fn key(pk: String, sk: String) -> Item {
    Item::from([("PK".into(), AttributeValue::S(pk)), ("SK".into(), AttributeValue::S(sk))])
}

/// `record` as the item under these keys.
fn item(pk: String, sk: String, record: &impl Serialize) -> Result<Item> {
    let fault = |cause| ItemError { item: format!("{pk} {sk}"), cause };
    let mut item: Item = serde_dynamo::to_item(record).map_err(fault)?;
    item.extend(key(pk, sk));
    Ok(item)
}

fn record<T: DeserializeOwned>(item: Item) -> Result<T> {
    let text = |name| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok());
    let name =
        [text("PK"), text("SK")].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    Ok(serde_dynamo::from_item(item).map_err(|cause| ItemError { item: name, cause })?)
}

fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: impl Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The SDK's builders want what they cannot do without; ours all have it.
fn incomplete(error: BuildError) -> Error {
    Error::Incomplete(error.to_string())
}

fn is_condition_failure<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code == Some("ConditionalCheckFailedException")
}
