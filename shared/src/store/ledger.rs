//! The ledger: every certificate that was ever asked of a signer, recorded before it was asked.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, CancellationReason, Put, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem, Update,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    Item, KeyRecord, META, Policy, Store,
    device::{self, DeviceStatus, Standing},
    incomplete, item, key, number, record, service, string,
};
use crate::{
    authority::Authority,
    aws::is_throttling,
    clock::Timestamp,
    error::{AuthorityFault, Error, Rejection, Result, Service},
    key::{KeyKind, KeyKinds},
    lint::LintedTbs,
    profile::{self, Profile, Usage},
    registration::RegistrationCode,
    revocation::RevocationReason,
    token::{DeviceToken, hex},
};

/// How often a device's transaction is tried against others for the same device.
const ATTEMPTS: u32 = 5;
/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// Whom a certificate is for, and what entitles them to it.
pub enum Holder<'a> {
    /// A device, by its token and its project's policy.
    Device {
        /// Believed only when the write's condition on it holds.
        token: &'a DeviceToken,
        /// The policy of the project that the token names.
        policy: &'a Policy,
        /// Who made the key.
        source: KeySource,
    },
    /// A broker or another service, by an operator's word.
    Service {
        /// Which.
        service: &'a crate::service::Service,
        /// Days until it expires.
        validity_days: u32,
        /// The serial number of the certificate that this one takes the place of, which must be on
        /// the ledger and not revoked.
        renews: Option<&'a str>,
    },
    /// Nobody: it proves to AWS IoT that the device CA is ours, by an operator's word.
    Registration(&'a RegistrationCode),
}

/// Who made a device's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// We did, on P-256.
    Generated,
    /// The device, which never shows it.
    Device,
}

impl Holder<'_> {
    pub(crate) fn profile(&self) -> Profile {
        match self {
            Self::Device { token, policy, source } => Profile::Device(profile::Device {
                id: token.subject(),
                organization: policy.terms().organization.clone(),
                key_kinds: match source {
                    KeySource::Generated => KeyKinds::only(KeyKind::P256),
                    KeySource::Device => policy.terms().key_kinds.clone(),
                },
            }),
            Self::Service { service, .. } => Profile::Service((*service).clone()),
            Self::Registration(code) => Profile::Registration((*code).clone()),
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        match self {
            Self::Device { .. } | Self::Registration(_) => Usage::Device,
            Self::Service { service, .. } => service.role().usage(),
        }
    }

    /// When a certificate expires that `authority` issues at `now`. What an operator asks for is what
    /// they get, or an error; a device gets what there is.
    ///
    /// # Errors
    /// When the policy's cap is past.
    pub(crate) fn not_after(&self, authority: &Authority, now: Timestamp) -> Result<Timestamp> {
        match self {
            Self::Device { policy, .. } => {
                let not_after = policy.not_after(now, authority.not_after());
                if not_after <= now {
                    return Err(authority.fault(AuthorityFault::CapPassed { cap: not_after }));
                }
                Ok(not_after)
            }
            Self::Service { validity_days, .. } => Ok(now.plus(u64::from(*validity_days) * DAY)),
            Self::Registration(_) => Ok(now.plus(DAY)),
        }
    }

    fn partition(&self) -> String {
        match self {
            Self::Device { token, .. } => device::partition(token.subject()),
            Self::Service { service, .. } => service::partition(service.common_name()),
            Self::Registration(code) => format!("REGISTRATION#{code}"),
        }
    }
}

/// A certificate's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Lower-case hex.
    pub serial_number: String,
    /// The name of the CA that was asked to sign.
    pub ca: String,
    /// SHA-256 of the subject public key info, in hex.
    pub key_fingerprint: String,
    /// SHA-256 of the to-be-signed certificate, in hex: the very digest that is signed.
    pub tbs_digest: String,
    /// Begin of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it turned out that nothing was signed or released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
    /// When a newer one took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Timestamp>,
    /// From when on it counts as revoked: for a superseded one the end of its grace, which may lie
    /// ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<RevocationReason>,
    /// What `revoked_at` was when the certificate was put on hold, for when it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at_before_hold: Option<Timestamp>,
}

/// A certificate that is on the ledger. Only this can be signed, and only the store makes it.
pub struct Recorded {
    tbs: LintedTbs,
    entry: EntryKey,
}

/// Where a certificate stands on the ledger.
pub struct EntryKey {
    partition: String,
    serial_number: String,
    is_device: bool,
}

impl Recorded {
    /// Where it stands.
    #[must_use]
    pub fn entry(&self) -> EntryKey {
        let EntryKey { partition, serial_number, is_device } = &self.entry;
        EntryKey {
            partition: partition.clone(),
            serial_number: serial_number.clone(),
            is_device: *is_device,
        }
    }

    pub(crate) fn into_tbs(self) -> LintedTbs {
        self.tbs
    }
}

impl Store {
    /// Puts a certificate on the ledger, in the same write that authenticates and authorises its
    /// holder: a device by its token, its status and its issuance limit. For a device that was
    /// issued before, the entries of its earlier certificates are superseded with it.
    ///
    /// # Errors
    /// Why the holder is not entitled to it; or when the store is away.
    pub async fn record(
        &self,
        holder: &Holder<'_>,
        tbs: LintedTbs,
        ca: &str,
        now: Timestamp,
    ) -> Result<Recorded> {
        let partition = holder.partition();
        let entry = LedgerEntry {
            serial_number: tbs.serial_number().to_owned(),
            ca: ca.to_owned(),
            key_fingerprint: tbs.key_fingerprint().to_owned(),
            tbs_digest: hex(tbs.digest()),
            not_before: tbs.not_before(),
            not_after: tbs.not_after(),
            requested_at: now,
            withdrawn_at: None,
            superseded_at: None,
            revoked_at: None,
            revocation_reason: None,
            revoked_at_before_hold: None,
        };
        let entry_item = || item(partition.clone(), sort(&entry.serial_number), &entry);
        let is_device = match holder {
            Holder::Device { token, policy, .. } => {
                self.record_for_device(token, policy, &entry, entry_item()?, now).await?;
                true
            }
            Holder::Service { service, renews, .. } => {
                self.record_for_service(service, *renews, &entry, now).await?;
                false
            }
            Holder::Registration(_) => {
                let what = format!("certificate {}", entry.serial_number);
                self.create(entry_item()?, what).await?;
                false
            }
        };
        let serial_number = entry.serial_number;
        Ok(Recorded { tbs, entry: EntryKey { partition, serial_number, is_device } })
    }

    async fn record_for_device(
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
            let answer =
                self.client.transact_write_items().set_transact_items(Some(writes)).send().await;
            let Err(error) = answer else {
                return Ok(());
            };
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(it)) => {
                    it.cancellation_reasons()
                }
                _ => return Err(self.unavailable(&error)),
            };
            match reading(reasons) {
                Cancellation::Condition(old) => {
                    let standing = old.map(record::<Standing>).transpose()?;
                    live_serials = entitlement(standing, token, policy)?;
                }
                Cancellation::Key(old) => {
                    let key = old.map(record::<KeyRecord>).transpose()?;
                    return Err(key.map_or(Error::Contended, |key| key.refusal()));
                }
                Cancellation::Conflict => {
                    // Another transaction holds the item for some milliseconds.
                    tokio::time::sleep(Duration::from_millis(10 << attempt)).await;
                }
                Cancellation::Throttled => {
                    let cause = "the transaction was cancelled for throttling".into();
                    return Err(Error::Throttled { service: Service::DynamoDb, cause });
                }
                Cancellation::Other => return Err(self.unavailable(&error)),
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
            .set_key(Some(key(device::partition(token.subject()), META.into())))
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
        write(update)
    }

    pub(super) fn put_new(&self, entry: Item) -> Result<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(entry))
            .condition_expression("attribute_not_exists(PK)")
            .build()
            .map_err(incomplete)?;
        Ok(TransactWriteItem::builder().put(put).build())
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
            .set_key(Some(key(device::partition(token.subject()), sort(serial_number))))
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
        write(update)
    }

    /// Says on the ledger that nothing came of an entry, and gives a device its issuance back. The
    /// entry stays, and stays the device's live one: should the signer have signed after all, the
    /// next identity supersedes it like any other.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn withdraw(&self, entry: EntryKey, now: Timestamp) -> Result<()> {
        let EntryKey { partition, serial_number, is_device } = entry;
        let mark = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(partition.clone(), sort(&serial_number))))
            .condition_expression("attribute_exists(PK) AND attribute_not_exists(withdrawn_at)")
            .update_expression("SET withdrawn_at = :now")
            .expression_attribute_values(":now", number(now.unix()));
        let mut writes = vec![write(mark)?];
        if is_device {
            let give_back = Update::builder()
                .table_name(&self.table)
                .set_key(Some(key(partition, META.into())))
                .condition_expression("issued > :zero")
                .update_expression("SET issued = issued - :one")
                .expression_attribute_values(":zero", number(0))
                .expression_attribute_values(":one", number(1));
            writes.push(write(give_back)?);
        }
        let answer = self.client.transact_write_items().set_transact_items(Some(writes));
        answer.send().await.map(drop).map_err(|error| self.unavailable(&error))
    }

    /// What the ledger holds of a device, oldest first.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn device_certificates(&self, id: crate::id::DeviceId) -> Result<Vec<LedgerEntry>> {
        let items = self.certificates(device::partition(id)).await?;
        let mut entries = items.into_iter().map(record).collect::<Result<Vec<LedgerEntry>>>()?;
        entries.sort_by_key(|entry| entry.requested_at);
        Ok(entries)
    }
}

pub(super) fn sort(serial_number: &str) -> String {
    format!("CERT#{serial_number}")
}

pub(super) fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> AttributeValue {
    AttributeValue::L(texts.into_iter().map(string).collect())
}

pub(super) fn write(
    update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
) -> Result<TransactWriteItem> {
    let update = update.build().map_err(incomplete)?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// Why a transaction was cancelled, as far as it matters what to do next.
enum Cancellation {
    /// The device's condition did not hold; with its item, if there is one.
    Condition(Option<Item>),
    /// The device's did, and its key's did not; with the key's item.
    Key(Option<Item>),
    Conflict,
    Throttled,
    Other,
}

/// The first reason is the device's own, the second its key's. A conflict or a throttle says nothing about
/// conditions, and of a key nobody learns anything who was not found to be the device.
fn reading(reasons: &[CancellationReason]) -> Cancellation {
    let codes = || reasons.iter().filter_map(CancellationReason::code);
    match reasons.first() {
        _ if codes().any(is_throttling) => Cancellation::Throttled,
        Some(own) if own.code() == Some("ConditionalCheckFailed") => {
            Cancellation::Condition(own.item().cloned())
        }
        _ if codes().any(|code| code == "TransactionConflict") => Cancellation::Conflict,
        _ => match reasons.get(1) {
            Some(key) if key.code() == Some("ConditionalCheckFailed") => {
                Cancellation::Key(key.item().cloned())
            }
            _ => Cancellation::Other,
        },
    }
}

impl Store {
    /// Checks that a token authenticates a device that may ask for certificates: for what is refused
    /// before anything is recorded, and not everybody's to know.
    ///
    /// # Errors
    /// When it does not, or the store is away.
    pub async fn authenticate(&self, token: &DeviceToken, policy: &Policy) -> Result<()> {
        let standing = self.get(device::partition(token.subject()), META.into()).await?;
        entitlement(standing, token, policy).map(drop)
    }
}

/// Decides from a device's item why its transaction failed: with an error, or with the serials to
/// supersede. Nobody without the right secret learns anything about a device.
fn entitlement(
    standing: Option<Standing>,
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
