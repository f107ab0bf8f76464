//! What was issued to brokers and services.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};
use serde::Deserialize;

use super::{
    Item, LedgerEntry, Store, incomplete, item, key, ledger::sort, number, record, string,
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    host::Host,
    service::Service,
};

/// The partition of the index that lists services' certificates.
const INVENTORY: &str = "SERVICES";

/// A service's certificate as it stands on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCertificate {
    /// Whom it names.
    pub service: Service,
    /// Its entry.
    pub entry: LedgerEntry,
}

/// What the partitions of services' entries begin with.
pub(super) const PARTITION: &str = "SERVER#";

pub(super) fn partition(common_name: &Host) -> String {
    format!("{PARTITION}{common_name}")
}

impl Store {
    /// Puts a service's certificate on the ledger. One that renews another does so only if that is
    /// there, not revoked, and of the same role and names, in the same write: who lost a certificate
    /// to a revocation does not get the next one from a schedule, nor does one who can write to the
    /// files that a schedule renews get other names into them.
    pub(super) async fn record_for_service(
        &self,
        service: &Service,
        renews: Option<&str>,
        entry: &LedgerEntry,
        now: Timestamp,
    ) -> Result<()> {
        let partition = partition(service.common_name());
        let mut new = item(partition.clone(), sort(&entry.serial_number), entry)?;
        new.extend(item(partition.clone(), sort(&entry.serial_number), service)?);
        new.insert("inventory".into(), string(INVENTORY));
        new.insert("created_at".into(), number(now.unix()));
        let Some(renewed) = renews else {
            return self.create(new, format!("certificate {}", entry.serial_number)).await;
        };
        let attribute = |name: &str| new.get(name).cloned().unwrap_or(AttributeValue::Null(true));
        let supersede = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(partition, sort(renewed))))
            .condition_expression(
                "attribute_exists(PK) AND attribute_not_exists(revoked_at) \
                 AND #role = :role AND #names = :names",
            )
            .update_expression("SET superseded_at = :now")
            .expression_attribute_names("#role", "role")
            .expression_attribute_names("#names", "names")
            .expression_attribute_values(":role", attribute("role"))
            .expression_attribute_values(":names", attribute("names"))
            .expression_attribute_values(":now", number(now.unix()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(incomplete)?;
        let answer = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(supersede).build())
            .transact_items(self.put_new(new)?)
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(());
        };
        let reasons = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(it)) => {
                it.cancellation_reasons()
            }
            _ => return Err(self.unavailable(&error)),
        };
        let name = || format!("certificate {renewed} of {}", service.common_name());
        match reasons.first() {
            Some(old) if old.code() == Some("ConditionalCheckFailed") => Err(match old.item() {
                Some(old) if old.contains_key("revoked_at") => Error::Revoked(name()),
                Some(_) => Error::OtherNames(name()),
                None => Error::Missing(format!("{} on the ledger", name())),
            }),
            _ => Err(self.unavailable(&error)),
        }
    }

    /// Every certificate that was issued to a service, oldest first.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn service_certificates(&self) -> Result<Vec<ServiceCertificate>> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(rename = "PK")]
            partition: String,
        }
        // The index says which services there are; the table itself, what they were issued.
        let listed: Vec<Listed> = self.inventory(INVENTORY.into(), None).await?;
        let partitions: BTreeSet<_> = listed.into_iter().map(|it| it.partition).collect();
        let mut certificates = Vec::new();
        for partition in partitions {
            for item in self.certificates(partition).await? {
                certificates.push(ServiceCertificate {
                    service: record::<Service>(item.clone())?,
                    entry: record(item)?,
                });
            }
        }
        certificates.sort_by_key(|it| it.entry.requested_at);
        Ok(certificates)
    }

    /// The entries in a partition of the ledger.
    pub(super) async fn certificates(&self, partition: String) -> Result<Vec<Item>> {
        self.query(partition, Some(sort(""))).await
    }
}
