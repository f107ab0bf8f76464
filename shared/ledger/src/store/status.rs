//! The status of an enrollment token or a device, as an operator sets it.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::{
    error::{Error, Result},
    store::{
        client::Store,
        condition::is_condition_failure,
        item::{Item, attribute, number, string},
        transaction::back_off,
    },
};

/// Attempts against concurrent changes of the same item.
const ATTEMPTS: u32 = 8;

/// The outcome of a change.
pub(super) enum StatusChange {
    /// The item has the status, and had another one before.
    Changed,
    /// The item had the status before.
    Unchanged,
    /// The item has a status that may not be changed so.
    Refused(Item),
    /// There is no such item.
    Missing,
}

impl Store {
    /// Sets the status of the item `key` to `to`, if `may_change` says so of what it is.
    ///
    /// Each change counts in `status_changes`, on the condition that there was none since the item was read. So a
    /// write that arrives late, after an operator has changed the status again, changes nothing.
    ///
    /// # Errors
    /// If others change the item in every attempt, or DynamoDB is unavailable.
    pub(super) async fn set_status(
        &self,
        key: Item,
        to: &str,
        may_change: impl Fn(&Item) -> bool,
    ) -> Result<StatusChange> {
        let mut change = StatusChange::Unchanged;
        for attempt in 0..ATTEMPTS {
            let Some(item) = self.get_item_by_key(key.clone()).await? else {
                return Ok(StatusChange::Missing);
            };
            let status = item.get("status");
            let has_status = status == Some(&string(to));
            if !has_status && !may_change(&item) {
                return Ok(StatusChange::Refused(item));
            }
            if !has_status {
                change = StatusChange::Changed;
            }
            let count: u64 = attribute(&item, "status_changes").ok().flatten().unwrap_or_default();
            let mut conditions = vec!["attribute_exists(PK)".to_owned()];
            let mut update = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key.clone()))
                .update_expression("SET #status = :to, status_changes = :count")
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":to", string(to))
                .expression_attribute_values(":count", number(count.wrapping_add(1)));
            for (name, placeholder, seen) in [
                ("#status", ":seen", status),
                ("status_changes", ":last", item.get("status_changes")),
            ] {
                conditions.push(unchanged(name, placeholder, seen));
                if let Some(seen) = seen {
                    update = update.expression_attribute_values(placeholder, seen.clone());
                }
            }
            match update.condition_expression(conditions.join(" AND ")).send().await {
                Ok(_) => return Ok(change),
                Err(error) if is_condition_failure(&error) => back_off(attempt).await,
                Err(error) => return Err(self.unavailable(&error)),
            }
        }
        Err(Error::Contended)
    }
}

/// Returns the condition that the attribute `name` is still what it was: `placeholder`, or nothing.
fn unchanged(name: &str, placeholder: &str, seen: Option<&AttributeValue>) -> String {
    match seen {
        Some(_) => format!("{name} = {placeholder}"),
        None => format!("attribute_not_exists({name})"),
    }
}
