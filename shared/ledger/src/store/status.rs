//! The status of an enrollment token or a device, as an operator sets it.

use crate::{
    error::{Error, Result},
    store::{
        client::Store,
        condition::{is_condition_failure, unchanged},
        item::{Item, attribute, number, string},
    },
};

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
    /// If the status was changed otherwise at the same time, or DynamoDB is unavailable.
    pub(super) async fn set_status(
        &self,
        key: Item,
        to: &str,
        may_change: impl Fn(&Item) -> bool,
    ) -> Result<StatusChange> {
        let Some(item) = self.get_item_by_key(key.clone()).await? else {
            return Ok(StatusChange::Missing);
        };
        let has_status = |item: &Item| item.get("status") == Some(&string(to));
        let change = match has_status(&item) {
            true => StatusChange::Unchanged,
            false if may_change(&item) => StatusChange::Changed,
            false => return Ok(StatusChange::Refused(item)),
        };
        let count: u64 = attribute(&item, "status_changes").ok().flatten().unwrap_or_default();
        let seen = unchanged(&item, &["status", "status_changes"]);
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.clone()))
            .condition_expression(seen.condition)
            .update_expression("SET #status = :to, #status_changes = :count")
            .set_expression_attribute_names(Some(seen.names))
            .set_expression_attribute_values(Some(seen.values))
            .expression_attribute_values(":to", string(to))
            .expression_attribute_values(":count", number(count.wrapping_add(1)));
        match update.send().await {
            Ok(_) => Ok(change),
            // An earlier attempt may have succeeded whose response was lost. What another operator made of it since
            // stays.
            Err(error) if is_condition_failure(&error) => match self.get_item_by_key(key).await? {
                Some(item) if has_status(&item) => Ok(change),
                Some(_) => Err(Error::Contended),
                None => Ok(StatusChange::Missing),
            },
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}
