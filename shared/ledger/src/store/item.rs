//! Conversion between the table's items and records.

use std::{collections::HashMap, fmt::Display};

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, ItemError, Result};

pub(super) type Item = HashMap<String, AttributeValue>;

/// Returns an item's partition key, or an empty string.
pub(super) fn partition_key(item: &Item) -> &str {
    item.get("PK").and_then(|it| it.as_s().ok()).map_or("", String::as_str)
}

/// Returns the primary key of an item.
pub(super) fn key(pk: String, sk: String) -> Item {
    Item::from([("PK".into(), AttributeValue::S(pk)), ("SK".into(), AttributeValue::S(sk))])
}

/// Converts `record` to the item with this primary key.
pub(super) fn to_item(pk: String, sk: String, record: &impl Serialize) -> Result<Item> {
    let fault = |cause| ItemError { keys: format!("{pk} {sk}"), cause };
    let mut item: Item = serde_dynamo::to_item(record).map_err(fault)?;
    item.extend(key(pk, sk));
    Ok(item)
}

/// Parses an item.
pub(super) fn from_item<T: DeserializeOwned>(item: Item) -> Result<T> {
    let keys = keys(&item);
    Ok(serde_dynamo::from_item(item).map_err(|cause| ItemError { keys, cause })?)
}

/// Returns the attribute `name` of an item, read as a `T`; `None` if it is absent.
///
/// # Errors
/// If the attribute is something else, or another form of the same: the conditions of writes compare forms.
pub(super) fn attribute<T: Serialize + DeserializeOwned>(
    item: &Item,
    name: &str,
) -> Result<Option<T>> {
    let Some(value) = item.get(name) else { return Ok(None) };
    let fault = |cause| ItemError { keys: format!("{}: {name}", keys(item)), cause };
    let read: T = serde_dynamo::from_attribute_value(value.clone()).map_err(fault)?;
    if serde_dynamo::to_attribute_value::<_, AttributeValue>(&read).map_err(fault)? != *value {
        return Err(Error::Damaged(format!("{}: {name}: of an unknown form", keys(item))));
    }
    Ok(Some(read))
}

/// Returns the attribute `name` of an item, which must be present, read as a `T`.
///
/// # Errors
/// If the attribute is absent or something else.
pub(super) fn required<T: Serialize + DeserializeOwned>(item: &Item, name: &str) -> Result<T> {
    attribute(item, name)?
        .ok_or_else(|| Error::Damaged(format!("{}: without the attribute {name}", keys(item))))
}

/// Returns the primary key of an item as text.
fn keys(item: &Item) -> String {
    let text = |name| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok());
    [text("PK"), text("SK")].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ")
}

pub(super) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn number(number: impl Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> AttributeValue {
    AttributeValue::L(texts.into_iter().map(string).collect())
}

/// Returns a set of strings. DynamoDB refuses an empty one.
pub(super) fn string_set<'a>(texts: impl IntoIterator<Item = &'a str>) -> AttributeValue {
    AttributeValue::Ss(texts.into_iter().map(str::to_owned).collect())
}
