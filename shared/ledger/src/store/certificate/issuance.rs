//! The write that a device's certificate begins with: it authenticates and authorises the device, and puts
//! the certificate on the ledger.

use std::time::Duration;

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};

use crate::store::{
    certificate::entry::LedgerEntry,
    client::Store,
    device::{
        key::KeyRecord,
        record::{DeviceState, DeviceStatus},
    },
    item::{Item, key, number, record, string, strings},
    layout::{self, META},
    project::policy::Policy,
    write::update_write,
};
use crate::{
    Rejection,
    error::{Error, Result},
};
use pki::{clock::Timestamp, crl::RevocationReason, token::DeviceToken};

/// How often a device's transaction is tried against others for the same device.
const ATTEMPTS: u32 = 5;
/// Places of the writes in the transaction: first the one that authenticates the device, then its key.
const DEVICE: usize = 0;
const KEY: usize = 1;

impl Store {
    pub(in crate::store) async fn record_for_device(
        &self,
        token: &DeviceToken,
        policy: &Policy,
        entry: &LedgerEntry,
        entry_item: Item,
        now: Timestamp,
    ) -> Result<()> {
        // The first guess is a device that was never issued anything: it costs one round trip. A
        // wrong guess fails with the device's item in hand, and so does a lost race.
        let mut live_serials = Vec::new();
        for attempt in 0..ATTEMPTS {
            let mut writes = vec![
                self.claim(token, policy, &entry.serial_number, &live_serials, now)?,
                self.claim_key(&entry.key_fingerprint, token.subject())?,
                self.put_new(entry_item.clone())?,
            ];
            for superseded in &live_serials {
                writes.push(self.supersede(token, policy, superseded, now)?);
            }
            let Some(cancelled) = self.transact(writes).await? else {
                return Ok(());
            };
            // A throttle or a conflict says nothing about conditions, and of a key nobody learns
            // anything who was not found to be the device.
            if let Some(throttled) = cancelled.throttled() {
                return Err(throttled);
            }
            if cancelled.failed(DEVICE) {
                let state = cancelled.item(DEVICE).cloned().map(record::<DeviceState>);
                live_serials = entitlement(state.transpose()?, token, policy)?;
            } else if cancelled.is_conflict() {
                // Another transaction holds the item for some milliseconds.
                tokio::time::sleep(Duration::from_millis(10 << attempt)).await;
            } else if cancelled.failed(KEY) {
                let key = cancelled.item(KEY).cloned().map(record::<KeyRecord>).transpose()?;
                return Err(key.map_or(Error::Contended, |key| key.refusal()));
            } else {
                return Err(self.unavailable(&cancelled.into_error()));
            }
        }
        Err(Error::Contended)
    }

    /// The write that authenticates and authorises a device, and makes `serial_number` its live one.
    fn claim(
        &self,
        token: &DeviceToken,
        policy: &Policy,
        serial_number: &str,
        live_serials: &[String],
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        let entitled = "token_hash = :hash AND project_id = :project AND #status = :active \
                        AND (attribute_not_exists(issuance_limit) AND issued < :limit \
                        OR issued < issuance_limit)";
        let unchanged = match live_serials {
            [] => "attribute_not_exists(live_serials)",
            _ => "live_serials = :seen",
        };
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::device(token.subject()), META.into())))
            .condition_expression(format!("{entitled} AND {unchanged}"))
            .update_expression(
                "SET issued = issued + :one, live_serials = :serials, last_issued_at = :now",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":hash", string(token.hash().as_str()))
            .expression_attribute_values(":project", string(token.project().to_string()))
            .expression_attribute_values(":active", string(DeviceStatus::Active.as_str()))
            .expression_attribute_values(":limit", number(policy.issuance_limit()))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":serials", strings([serial_number]))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if !live_serials.is_empty() {
            let seen = strings(live_serials.iter().map(String::as_str));
            update = update.expression_attribute_values(":seen", seen);
        }
        update_write(update)
    }

    fn supersede(
        &self,
        token: &DeviceToken,
        policy: &Policy,
        serial_number: &str,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(
                layout::ledger(token.subject()),
                layout::certificate_sort(serial_number),
            )))
            .condition_expression("attribute_exists(PK)")
            // Never later than what an operator may have set before.
            .update_expression(
                "SET superseded_at = :now, \
                 revoked_at = if_not_exists(revoked_at, :then), \
                 revocation_reason = if_not_exists(revocation_reason, :reason)",
            )
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":then", number(now.plus(policy.grace_seconds()).unix()))
            .expression_attribute_values(":reason", string(RevocationReason::Superseded.as_str()));
        update_write(update)
    }

    /// Checks that a token authenticates a device that may ask for certificates: for what is refused
    /// before anything is recorded, and not everybody's to know.
    ///
    /// # Errors
    /// When it does not, or the store is away.
    pub async fn authenticate(&self, token: &DeviceToken, policy: &Policy) -> Result<()> {
        let standing = self.get(layout::device(token.subject()), META.into()).await?;
        entitlement(standing, token, policy).map(drop)
    }
}

/// Decides from a device's item why its transaction failed: with an error, or with the serials to
/// supersede. Nobody without the right secret learns anything about a device.
fn entitlement(
    standing: Option<DeviceState>,
    token: &DeviceToken,
    policy: &Policy,
) -> Result<Vec<String>> {
    let rejected = |rejection| Err(Error::DeviceToken(rejection));
    let Some(standing) = standing else {
        return rejected(Rejection::Unknown);
    };
    let limit = standing.issuance_limit.unwrap_or_else(|| policy.issuance_limit());
    match () {
        () if standing.token_hash != token.hash() => rejected(Rejection::Unknown),
        () if standing.project_id != token.project() => rejected(Rejection::Unknown),
        () if standing.status != DeviceStatus::Active => rejected(Rejection::Inactive),
        () if standing.issued >= limit => Err(Error::IssuanceLimitReached),
        () => Ok(standing.live_serials),
    }
}
