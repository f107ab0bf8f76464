//! Changes by operators to a device, other than revocation. Each is one conditional write to the item that
//! the next issuance is conditioned on, so it takes effect immediately.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::ReturnValuesOnConditionCheckFailure,
};
use pki::names::{DeviceId, Label};

use crate::{
    error::{OperatorError, Result},
    store::{
        client::Store,
        condition::is_condition_failure,
        device::{
            standing::{missing, status},
            status::DeviceStatus,
        },
        item::{Item, key, number, string},
        layout::{self, META},
        status::StatusChange,
    },
};

impl Store {
    /// Sets or removes a device's label.
    ///
    /// # Errors
    /// If the device does not exist, or DynamoDB is unavailable.
    pub async fn label_device(&self, id: DeviceId, label: Option<&Label>) -> Result<()> {
        let update = self.device_update(id);
        let update = match label {
            Some(label) => update
                .update_expression("SET label = :label")
                .expression_attribute_values(":label", string(label.as_str())),
            None => update.update_expression("REMOVE label"),
        };
        self.send_device_update(update, id).await
    }

    /// Disables an active device, or enables a disabled one. Returns false if that changed nothing.
    ///
    /// # Errors
    /// If the device does not exist, is held or revoked, changes in every attempt, or DynamoDB is unavailable.
    pub async fn set_device_enabled(&self, id: DeviceId, enabled: bool) -> Result<bool> {
        let (from, to) = match enabled {
            true => (DeviceStatus::Disabled, DeviceStatus::Active),
            false => (DeviceStatus::Active, DeviceStatus::Disabled),
        };
        let key = key(layout::device(id), META.into());
        let may_change = |item: &Item| status(item).is_ok_and(|it| it == from);
        match self.set_status(key, to.as_str(), may_change).await? {
            StatusChange::Changed => Ok(true),
            StatusChange::Unchanged => Ok(false),
            StatusChange::Refused(item) => {
                Err(OperatorError::DeviceStatus { device_id: id, status: status(&item)? }.into())
            }
            StatusChange::Missing => Err(missing(id)),
        }
    }

    /// Allows a device `more` certificates from now on, whatever its project's issuance limit. `None`
    /// restores the project's limit. The count of certificates issued does not change.
    ///
    /// # Errors
    /// If the device does not exist, or DynamoDB is unavailable.
    pub async fn lift_issuance_limit(&self, id: DeviceId, more: Option<u32>) -> Result<()> {
        let update = self.device_update(id);
        let update = match more {
            Some(more) => update
                .update_expression("SET issuance_limit = issued + :more")
                .expression_attribute_values(":more", number(more)),
            None => update.update_expression("REMOVE issuance_limit"),
        };
        self.send_device_update(update, id).await
    }

    /// Deletes a revoked device. Its ledger entries remain, and it stays denied. Deleting a device that does
    /// not exist succeeds.
    ///
    /// # Errors
    /// If the device is not revoked, or DynamoDB is unavailable.
    pub async fn delete_device(&self, id: DeviceId) -> Result<()> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::device(id), META.into())))
            .condition_expression("#status = :revoked")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":revoked", string(DeviceStatus::Revoked.as_str()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(());
        };
        match self.conflicting_item(&error)? {
            None => Ok(()),
            Some(old) => {
                let status = status(&old)?;
                Err(OperatorError::DeviceStatus { device_id: id, status }.into())
            }
        }
    }

    fn device_update(&self, id: DeviceId) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::device(id), META.into())))
            .condition_expression("attribute_exists(PK)")
    }

    async fn send_device_update(
        &self,
        update: UpdateItemFluentBuilder,
        id: DeviceId,
    ) -> Result<()> {
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_condition_failure(&error) => Err(missing(id)),
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}
