//! What operators change about a device, short of revoking it. Each is one conditional write to the
//! item that the next issuance is conditioned on, and so acts at once.

use aws_sdk_dynamodb::{
    operation::{
        delete_item::DeleteItemError,
        update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    },
    types::ReturnValuesOnConditionCheckFailure,
};

use crate::error::{Error, OperatorError, Result};
use crate::store::{
    client::Store,
    device::record::{DeviceState, DeviceStatus},
    item::{key, number, record, string},
    layout::{self, META},
    write::is_condition_failure,
};
use pki::names::{DeviceId, Label};

impl Store {
    /// Labels a device, or takes its label away.
    ///
    /// # Errors
    /// When there is no such device, or the store is away.
    pub async fn label_device(&self, id: DeviceId, label: Option<&Label>) -> Result<()> {
        let update = self.device_update(id);
        let update = match label {
            Some(label) => update
                .update_expression("SET label = :label")
                .expression_attribute_values(":label", string(label.as_str())),
            None => update.update_expression("REMOVE label"),
        };
        self.changed(update, id).await
    }

    /// Disables an active device, or enables a disabled one. Returns whether that changed anything.
    ///
    /// # Errors
    /// When there is no such device, or it is held or revoked; or when the store is away.
    pub async fn set_device_enabled(&self, id: DeviceId, enabled: bool) -> Result<bool> {
        let (from, to) = match enabled {
            true => (DeviceStatus::Disabled, DeviceStatus::Active),
            false => (DeviceStatus::Active, DeviceStatus::Disabled),
        };
        let answer = self
            .device_update(id)
            .condition_expression("#status = :from")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .update_expression("SET #status = :to")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":from", string(from.as_str()))
            .expression_attribute_values(":to", string(to.as_str()))
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(true);
        };
        let old = match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failure)) => failure.item.clone(),
            _ => return Err(self.unavailable(&error)),
        };
        let status = record::<DeviceState>(old.ok_or_else(|| missing(id))?)?.status;
        if status == to {
            Ok(false)
        } else {
            Err(OperatorError::DeviceStatus { device_id: id, status }.into())
        }
    }

    /// Lets a device be issued `more` certificates from now on, whatever its project's limit; or,
    /// without a number, as many as its project's limit says. The count of what it was issued stays.
    ///
    /// # Errors
    /// When there is no such device, or the store is away.
    pub async fn lift_issuance_limit(&self, id: DeviceId, more: Option<u32>) -> Result<()> {
        let update = self.device_update(id);
        let update = match more {
            Some(more) => update
                .update_expression("SET issuance_limit = issued + :more")
                .expression_attribute_values(":more", number(more)),
            None => update.update_expression("REMOVE issuance_limit"),
        };
        self.changed(update, id).await
    }

    /// Removes a revoked device. Its ledger stays, and it stays among the denied. One that is not there
    /// is removed already.
    ///
    /// # Errors
    /// When it is not revoked; or when the store is away.
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
        let old = match error.as_service_error() {
            Some(DeleteItemError::ConditionalCheckFailedException(failure)) => failure.item.clone(),
            _ => return Err(self.unavailable(&error)),
        };
        match old {
            None => Ok(()),
            Some(old) => {
                let status = record::<DeviceState>(old)?.status;
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

    async fn changed(&self, update: UpdateItemFluentBuilder, id: DeviceId) -> Result<()> {
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_condition_failure(&error) => Err(missing(id)),
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}

pub(in crate::store) fn missing(id: DeviceId) -> Error {
    OperatorError::Missing(format!("device {id}")).into()
}
