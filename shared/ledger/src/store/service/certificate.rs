//! Certificates of brokers and other services on the ledger.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, ReturnValuesOnConditionCheckFailure,
};
use pki::{clock::Timestamp, profile::Service};
use serde::Deserialize;

use crate::{
    error::{Error, OperatorError, Result},
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        item::{Item, from_item, key, number, string, to_item},
        layout,
        write::condition_write,
    },
};

/// Partition of services' certificates in the index `inventory`.
const INVENTORY: &str = "SERVICES";

/// A service's certificate on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCertificate {
    /// The subject.
    pub service: Service,
    /// The ledger entry.
    pub entry: LedgerEntry,
}

impl Store {
    /// Records a service's certificate on the ledger.
    ///
    /// A renewal is conditioned on the certificate that it renews: it must exist, not be revoked, and have
    /// the same role and names. A scheduled renewal therefore does not replace a revoked certificate, and
    /// someone who can write the files that it renews cannot add names.
    ///
    /// # Errors
    /// If the condition does not hold, or DynamoDB is unavailable.
    pub(crate) async fn record_for_service(
        &self,
        service: &Service,
        renews: Option<&str>,
        entry: &LedgerEntry,
        now: Timestamp,
    ) -> Result<()> {
        let partition = layout::service(service.common_name());
        let mut new =
            to_item(partition.clone(), layout::certificate_sort_key(&entry.serial_number), entry)?;
        new.extend(to_item(
            partition.clone(),
            layout::certificate_sort_key(&entry.serial_number),
            service,
        )?);
        new.insert("inventory".into(), string(INVENTORY));
        new.insert("created_at".into(), number(now.unix()));
        let Some(renewed) = renews else {
            return self.create(new, format!("certificate {}", entry.serial_number)).await;
        };
        let attribute = |name: &str| new.get(name).cloned().unwrap_or(AttributeValue::Null(true));
        let renewable = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key(partition, layout::certificate_sort_key(renewed))))
            .condition_expression(
                "attribute_exists(PK) AND attribute_not_exists(revoked_at) \
                 AND #role = :role AND #names = :names",
            )
            .expression_attribute_names("#role", "role")
            .expression_attribute_names("#names", "names")
            .expression_attribute_values(":role", attribute("role"))
            .expression_attribute_values(":names", attribute("names"))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Some(cancelled) =
            self.transact(vec![condition_write(renewable)?, self.new_item_write(new)?]).await?
        else {
            return Ok(());
        };
        if !cancelled.condition_failed(0) {
            return Err(self.cancellation(&cancelled));
        }
        let name = format!("certificate {renewed} of {}", service.common_name());
        Err(Error::from(match cancelled.item(0) {
            Some(old) if old.contains_key("revoked_at") => OperatorError::Revoked(name),
            Some(_) => OperatorError::RenewalMismatch(name),
            None => OperatorError::Missing(format!("{name} on the ledger")),
        }))
    }

    /// Returns all certificates issued to services, oldest first.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn service_certificates(&self) -> Result<Vec<ServiceCertificate>> {
        #[derive(Deserialize)]
        struct IndexEntry {
            #[serde(rename = "PK")]
            partition: String,
        }
        // The index only names the services. Their entries are read from the table, strongly consistent.
        let listed: Vec<IndexEntry> =
            self.inventory(INVENTORY.into(), layout::SERVICE, None).await?;
        let partitions: BTreeSet<_> = listed.into_iter().map(|it| it.partition).collect();
        let mut certificates = Vec::new();
        for partition in partitions {
            for item in self.ledger_items(partition).await? {
                certificates.push(ServiceCertificate {
                    service: from_item::<Service>(item.clone())?,
                    entry: from_item(item)?,
                });
            }
        }
        certificates.sort_by_key(|it| it.entry.requested_at);
        Ok(certificates)
    }

    /// Reads the entries of a partition of the ledger.
    pub(crate) async fn ledger_items(&self, partition: String) -> Result<Vec<Item>> {
        self.query_partition(partition, Some(layout::CERTIFICATE.into())).await
    }
}
