//! Items of the table, and the records that they hold.

use std::{collections::HashMap, fmt::Display};

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::Result;

pub(in crate::store) type Item = HashMap<String, AttributeValue>;

/// An item that does not hold what it should.
#[derive(Debug, thiserror::Error)]
#[error("{item}: {cause}")]
pub struct ItemError {
    /// Its keys.
    pub(in crate::store) item: String,
    pub(in crate::store) cause: serde_dynamo::Error,
}

/// The partition that an item is in.
pub(in crate::store) fn partition_key(item: &Item) -> &str {
    item.get("PK").and_then(|it| it.as_s().ok()).map_or("", String::as_str)
}

pub(in crate::store) fn key(pk: String, sk: String) -> Item {
    Item::from([("PK".into(), AttributeValue::S(pk)), ("SK".into(), AttributeValue::S(sk))])
}

/// `record` as the item under these keys.
pub(in crate::store) fn item(pk: String, sk: String, record: &impl Serialize) -> Result<Item> {
    let fault = |cause| ItemError { item: format!("{pk} {sk}"), cause };
    let mut item: Item = serde_dynamo::to_item(record).map_err(fault)?;
    item.extend(key(pk, sk));
    Ok(item)
}

pub(in crate::store) fn record<T: DeserializeOwned>(item: Item) -> Result<T> {
    let text = |name| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok());
    let name =
        [text("PK"), text("SK")].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    Ok(serde_dynamo::from_item(item).map_err(|cause| ItemError { item: name, cause })?)
}

pub(in crate::store) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(in crate::store) fn number(number: impl Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(in crate::store) fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> AttributeValue {
    AttributeValue::L(texts.into_iter().map(string).collect())
}
