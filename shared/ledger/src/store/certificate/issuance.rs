//! The transaction that starts the issuance to a device. It authenticates the device token, authorizes the
//! device, and puts the certificate on the ledger.

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use pki::{clock::Timestamp, token::DeviceToken};

use crate::{
    Rejection,
    error::{Error, Result},
    store::{
        certificate::{arrival::Arrival, entry::LedgerEntry},
        client::Store,
        device::{key::KeyRecord, record::DeviceState, status::DeviceStatus},
        item::{Item, from_item, key, number, string, string_set},
        layout::{self, META},
        project::policy::Policy,
        transaction::back_off,
        write::update_write,
    },
};

/// Attempts of the transaction against concurrent ones for the same device.
const ATTEMPTS: u32 = 8;
/// Index of the write that authenticates the device.
const DEVICE: usize = 0;
/// Index of the write that binds the key to the device.
const KEY: usize = 1;

impl Store {
    /// Records a device's certificate on the ledger. Returns the serial numbers of the earlier ones, which
    /// it supersedes once it is verified.
    ///
    /// An issuance that was cut off counts towards the limit, until the limit is reached: then it is given
    /// back here.
    ///
    /// # Errors
    /// If the token does not authenticate, the device may not be issued a certificate, the key belongs to
    /// another device or is compromised, or DynamoDB is unavailable.
    pub(crate) async fn record_for_device(
        &self,
        token: &DeviceToken,
        policy: &Policy,
        arrival: Arrival,
        entry: &LedgerEntry,
        entry_item: Item,
        now: Timestamp,
    ) -> Result<Vec<String>> {
        // The first attempt assumes that the device has no certificate yet, which saves a read. If that is
        // wrong, or a concurrent request won, the failure returns the device's item for the next attempt.
        let mut live_serials = Vec::new();
        let mut gave_back = false;
        for attempt in 0..ATTEMPTS {
            let writes = vec![
                self.authentication_write(
                    token,
                    policy,
                    arrival,
                    &entry.serial_number,
                    &live_serials,
                    now,
                )?,
                self.key_binding_write(&entry.key_fingerprint, token.subject())?,
                self.new_item_write(entry_item.clone())?,
            ];
            let Some(cancelled) = self.transact(writes).await? else {
                return Ok(live_serials);
            };
            if cancelled.condition_failed(DEVICE) {
                let state = cancelled.item(DEVICE).cloned().map(from_item::<DeviceState>);
                let state = state.transpose()?;
                let last_arrival = state.as_ref().and_then(|it| it.last_arrival);
                let is_overtaken = last_arrival.is_some_and(|last| arrival.is_overtaken_by(last));
                let unfinished = state.as_ref().map(|it| it.unfinished.clone()).unwrap_or_default();
                match authorize(state, token, policy) {
                    Ok(_) if is_overtaken => return Err(Error::Contended),
                    Ok(live) => {
                        live_serials = live;
                        // Those that count as good come last, so that they are superseded in the write that
                        // ends the issuance.
                        live_serials.sort_by_key(|serial| !unfinished.contains(serial));
                    }
                    Err(Error::IssuanceLimitReached) if !gave_back => {
                        gave_back = true;
                        let device = token.subject();
                        if !self.withdraw_unfinished(device, unfinished, now).await? {
                            return Err(Error::IssuanceLimitReached);
                        }
                    }
                    Err(error) => return Err(error),
                }
            } else if cancelled.is_conflict() {
                back_off(attempt).await;
            } else if cancelled.condition_failed(KEY) && !cancelled.is_throttled() {
                // Examined after the device's condition, which a throttled transaction does not test: only an
                // authenticated device learns anything about a key.
                let key = cancelled.item(KEY).cloned().map(from_item::<KeyRecord>).transpose()?;
                return Err(key.map_or(Error::Contended, |key| key.refusal()));
            } else {
                return Err(self.cancellation(&cancelled));
            }
        }
        Err(Error::Contended)
    }

    /// Returns the write that authenticates the device token, authorizes the device, counts the issuance, and
    /// adds `serial_number` to the device's live ones.
    ///
    /// The condition is the authentication: the item has the token's hash and project. It is also the
    /// authorization: the device is active, below its issuance limit, no later request overtook this one, and
    /// its live serials are still `live_serials`.
    fn authentication_write(
        &self,
        token: &DeviceToken,
        policy: &Policy,
        arrival: Arrival,
        serial_number: &str,
        live_serials: &[String],
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        let authenticated = "token_hash = :hash AND project_id = :project AND #status = :active \
                        AND (attribute_not_exists(issuance_limit) AND issued < :limit \
                        OR issued < issuance_limit) \
                        AND (NOT attribute_type(last_arrival, :type) OR last_arrival <= :arrival \
                        OR last_arrival > :latest)";
        // The first certificate has nothing to supersede, so that no later write would end its issuance.
        let (unchanged, unfinished) = match live_serials {
            [] => ("attribute_not_exists(live_serials)", ""),
            _ => ("live_serials = :seen", ", unfinished :serial"),
        };
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::device(token.subject()), META.into())))
            .condition_expression(format!("{authenticated} AND {unchanged}"))
            .update_expression(format!(
                "SET issued = issued + :one, last_issued_at = :now, last_arrival = :arrival \
                 ADD live_serials :serial{unfinished}",
            ))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":hash", string(token.hash().as_str()))
            .expression_attribute_values(":project", string(token.project().to_string()))
            .expression_attribute_values(":active", string(DeviceStatus::Active.as_str()))
            .expression_attribute_values(":limit", number(policy.issuance_limit()))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":type", string("N"))
            .expression_attribute_values(":arrival", number(arrival.unix_millis()))
            .expression_attribute_values(
                ":latest",
                number(arrival.latest_overtaking().unix_millis()),
            )
            .expression_attribute_values(":serial", string_set([serial_number]))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if !live_serials.is_empty() {
            let seen = string_set(live_serials.iter().map(String::as_str));
            update = update.expression_attribute_values(":seen", seen);
        }
        update_write(update)
    }

    /// Authenticates a device token and authorizes the device, without recording anything.
    ///
    /// [`issue`](crate::issue()) does both again, in its transaction. This check is for answers that only the
    /// device may see, such as what is wrong with its request.
    ///
    /// # Errors
    /// If the token does not authenticate, the device may not be issued a certificate, or DynamoDB is
    /// unavailable.
    pub async fn authenticate(&self, token: &DeviceToken, policy: &Policy) -> Result<()> {
        let device = self.get(layout::device(token.subject()), META.into()).await?;
        authorize(device, token, policy).map(drop)
    }
}

/// Authenticates a device token and authorizes the device against the device's item. Returns the serial
/// numbers to supersede.
///
/// The secret is checked first: without it, a caller learns nothing about the device.
fn authorize(
    device: Option<DeviceState>,
    token: &DeviceToken,
    policy: &Policy,
) -> Result<Vec<String>> {
    let rejected = |rejection| Err(Error::DeviceToken(rejection));
    let Some(device) = device else {
        return rejected(Rejection::Unknown);
    };
    let limit = device.issuance_limit.unwrap_or_else(|| policy.issuance_limit());
    match () {
        () if device.token_hash != token.hash() => rejected(Rejection::Unknown),
        () if device.project_id != token.project() => rejected(Rejection::Unknown),
        () if device.status != DeviceStatus::Active => rejected(Rejection::Inactive),
        () if device.issued >= limit => Err(Error::IssuanceLimitReached),
        () => Ok(device.live_serials),
    }
}
