//! What was issued to brokers and services.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use pki::{clock::Timestamp, profile::Service};
use serde::Deserialize;

use crate::{
    error::{Error, OperatorError, Result},
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        item::{Item, item, key, number, record, string},
        layout,
        write::incomplete,
    },
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

impl Store {
    /// Puts a service's certificate on the ledger. One that renews another does so only if that is
    /// there, not revoked, and of the same role and names, in the same write: who lost a certificate
    /// to a revocation does not get the next one from a schedule, nor does one who can write to the
    /// files that a schedule renews get other names into them.
    pub(in crate::store) async fn record_for_service(
        &self,
        service: &Service,
        renews: Option<&str>,
        entry: &LedgerEntry,
        now: Timestamp,
    ) -> Result<()> {
        let partition = layout::service(service.common_name());
        let mut new =
            item(partition.clone(), layout::certificate_sort(&entry.serial_number), entry)?;
        new.extend(item(
            partition.clone(),
            layout::certificate_sort(&entry.serial_number),
            service,
        )?);
        new.insert("inventory".into(), string(INVENTORY));
        new.insert("created_at".into(), number(now.unix()));
        let Some(renewed) = renews else {
            return self.create(new, format!("certificate {}", entry.serial_number)).await;
        };
        let attribute = |name: &str| new.get(name).cloned().unwrap_or(AttributeValue::Null(true));
        let supersede = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(partition, layout::certificate_sort(renewed))))
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
        let supersede = TransactWriteItem::builder().update(supersede).build();
        let Some(cancelled) = self.transact(vec![supersede, self.put_new(new)?]).await? else {
            return Ok(());
        };
        if !cancelled.failed(0) {
            return Err(self.unavailable(&cancelled.into_error()));
        }
        let name = format!("certificate {renewed} of {}", service.common_name());
        Err(Error::from(match cancelled.item(0) {
            Some(old) if old.contains_key("revoked_at") => OperatorError::Revoked(name),
            Some(_) => OperatorError::OtherNames(name),
            None => OperatorError::Missing(format!("{name} on the ledger")),
        }))
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
    pub(in crate::store) async fn certificates(&self, partition: String) -> Result<Vec<Item>> {
        self.query(partition, Some(layout::CERTIFICATE.into())).await
    }
}
