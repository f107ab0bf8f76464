//! Reads of an item, a partition, or a partition of an index.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use serde::de::DeserializeOwned;

use crate::{
    error::{Error, Result},
    store::{
        client::Store,
        item::{Item, from_item, key, partition_key, string},
        table::INVENTORY,
    },
};

/// The records that could be read, and the reason for each that could not.
#[derive(Debug)]
pub struct Reading<T> {
    /// The records.
    pub records: Vec<T>,
    /// The damaged items, and the reasons why they cannot be read.
    pub damaged: Vec<Error>,
}

impl<T> Reading<T> {
    pub(super) fn new() -> Self {
        Self { records: Vec::new(), damaged: Vec::new() }
    }

    pub(super) fn add(&mut self, record: Result<T>) {
        match record {
            Ok(record) => self.records.push(record),
            Err(error) => self.damaged.push(error),
        }
    }
}

impl Store {
    /// Reads and parses one item, strongly consistent.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        pk: String,
        sk: String,
    ) -> Result<Option<T>> {
        self.get_item(pk, sk).await?.map(from_item).transpose()
    }

    /// Reads one item, strongly consistent.
    pub(super) async fn get_item(&self, pk: String, sk: String) -> Result<Option<Item>> {
        self.get_item_by_key(key(pk, sk)).await
    }

    /// Reads the item with this primary key, strongly consistent.
    pub(super) async fn get_item_by_key(&self, key: Item) -> Result<Option<Item>> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        Ok(answer.item)
    }

    /// Reads the items of a partition whose sort keys begin with `prefix`, if given; strongly consistent.
    pub(super) async fn query_partition(
        &self,
        partition: String,
        prefix: Option<String>,
    ) -> Result<Vec<Item>> {
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

    /// Reads a partition of the index `inventory`, oldest items first, at most `limit` of them.
    ///
    /// Only items whose own partitions begin with `owner` count. An item elsewhere may be forged, by a
    /// function that may write there.
    pub(super) async fn inventory<T: DeserializeOwned>(
        &self,
        partition: String,
        owner: &str,
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
                // Checked before parsing: a forged item may contain anything.
                if partition_key(&item).starts_with(owner) {
                    records.push(from_item(item)?);
                }
            }
            start = page.last_evaluated_key;
            if start.is_none() || limit.is_some_and(|limit| records.len() >= limit) {
                return Ok(records);
            }
        }
    }

    /// Reads all pages of a query, and passes each item to `visit`.
    pub(super) async fn visit_pages(
        &self,
        query: QueryFluentBuilder,
        visit: impl FnMut(Item),
    ) -> Result<()> {
        let mut visit = visit;
        let mut pages = query.table_name(&self.table).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.unavailable(&error))?;
            page.items.unwrap_or_default().into_iter().for_each(&mut visit);
        }
        Ok(())
    }
}
