//! The promises that must hold after a schedule, whatever failed in it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use aws_sdk_dynamodb::types::AttributeValue;
use ledger::store::LedgerEntry;
use pki::crl::VerifiedCrl;
use pki::names::DeviceId;

use crate::aws::iam::Access;
use crate::faults::bucket::Version;
use crate::faults::clock;
use crate::faults::config::TABLE;
use crate::faults::device::Device;
use crate::faults::fault::Service;
use crate::faults::fixture::Fixture;
use crate::faults::world::World;

/// The broken promises.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<String>);

impl Findings {
    pub(super) fn add(&mut self, promise: &str, what: impl AsRef<str>) {
        self.0.push(format!("{promise}: {}", what.as_ref()));
    }

    fn check(&mut self, holds: bool, promise: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.add(promise, what());
        }
    }
}

/// A device's certificate stays good until the device has a newer one, or an operator revokes it: it
/// is neither in the CRL nor about to be.
///
/// A newer certificate whose signature reached the function counts as one that the device has: from then
/// on, nobody can tell a lost answer from one that arrived.
pub(super) async fn of_certificates_in_hand(
    fixture: &Fixture,
    world: &World,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let listed = serials(&latest_crl(fixture, world)?);
    for (client, id) in world.history.clients() {
        let entries = entries_of(world, id).await?;
        let (in_hand, was_touched) =
            world.history.device(id, |it| (it.in_hand.clone(), it.was_touched()));
        let Some(in_hand) = in_hand.filter(|_| !was_touched) else { continue };
        let entry = entries.iter().find(|it| it.serial_number == in_hand.serial_number);
        let Some(entry) = entry else { continue };
        let is_newer_signed = world.history.with(|record| {
            let newer = entries.iter().filter(|it| {
                it.serial_number != entry.serial_number && it.requested_at >= entry.requested_at
            });
            newer.into_iter().any(|it| record.seen_signatures.contains(&it.tbs_digest))
        });
        if is_newer_signed {
            continue;
        }
        let is_listed = listed.contains(&in_hand.serial_number);
        findings.check(
            entry.revoked_at.is_none() && !is_listed,
            "a failure never takes away what worked",
            || {
                format!(
                    "device {client} has no newer certificate, and its own is {}",
                    match (is_listed, entry.superseded_at) {
                        (true, _) => "in the CRL",
                        (false, Some(_)) => "superseded",
                        (false, None) => "revoked",
                    }
                )
            },
        );
    }
    Ok(())
}

/// A client that retries ends with a working identity, unless an operator or a limit forbids it.
pub(super) async fn of_retries(
    world: &World,
    device: &Device<'_>,
    last: Option<u16>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let promise = "a client that retries ends with a working identity";
    let number = device.number();
    let Some(id) = device.id() else {
        let token = world.token.lock().unwrap().current.subject();
        let token = world.store.token(world.project, token).await?.context("the token")?;
        let is_full = token.uses >= world.device_cap;
        findings.check(is_full && last == Some(403), promise, || {
            format!(
                "device {number} did not enroll: {last:?}, with {} of {} uses",
                token.uses, world.device_cap
            )
        });
        return Ok(());
    };
    let state = world.store.device(id).await?.context("the device")?;
    let (is_out, is_limited) = world.history.device(id, |it| {
        let is_out = it.revoked.tried.is_some() || it.held.tried.is_some();
        let limit = world.policy.issuance_limit();
        let at_most = it.released.len() as u32 + it.doubtful;
        (is_out, at_most >= limit || it.is_unlimited)
    });
    let is_good = last == Some(200);
    let is_forbidden = match last {
        Some(401) => is_out,
        Some(429) => is_limited,
        _ => false,
    };
    findings.check(is_good || is_forbidden, promise, || {
        format!("device {number} is {} and last got {last:?}", state.record.status)
    });
    Ok(())
}

/// Everything else, once all grace periods ended and a CRL was published.
pub(super) async fn at_the_end(
    fixture: &Fixture,
    world: &World,
    devices: &[Device<'_>],
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let table = Table::read(world).await?;
    let listed = serials(&latest_crl(fixture, world)?);
    signatures(world, &table, findings);
    releases(world, &table, findings);
    counts(world, &table, findings).await?;
    revocations(world, &table, &listed, findings);
    supersessions(world, &table, devices, &listed, findings);
    crls(fixture, world, &table, findings)?;
    permissions(fixture, world, findings)
}

/// Every signature that KMS gave is on the ledger, by its digest.
fn signatures(world: &World, table: &Table, findings: &mut Findings) {
    for digest in signed_digests(world) {
        findings.check(
            table.digests.contains(&digest),
            "nothing is signed that is not on the ledger",
            || digest.clone(),
        );
    }
}

/// Every certificate that was released is on the ledger, for its device, and was signed by KMS.
fn releases(world: &World, table: &Table, findings: &mut Findings) {
    let signed = signed_digests(world);
    world.history.with(|record| {
        for (id, device) in &record.devices {
            for certificate in &device.released {
                let entry = table.entries.get(id).into_iter().flatten();
                let mut entry = entry.filter(|it| it.serial_number == certificate.serial_number);
                let is_recorded = entry
                    .any(|it| it.tbs_digest == certificate.tbs_digest && it.withdrawn_at.is_none());
                findings.check(
                    is_recorded && signed.contains(&certificate.tbs_digest),
                    "nothing is released that is not on the ledger, or was withdrawn",
                    || format!("{} of device {}", certificate.serial_number, device.client),
                );
            }
        }
    });
}

/// No token exceeds its cap, and the counts of uses and issuances are right where that can be known.
async fn counts(world: &World, table: &Table, findings: &mut Findings) -> anyhow::Result<()> {
    let token = world.token.lock().unwrap().current.subject();
    let token = world.store.token(world.project, token).await?.context("the token")?;
    let (enrolled, doubtful) =
        world.history.with(|record| (record.enrolled, record.doubtful_enrollments));
    let (devices, cap) = (table.devices.len() as u64, world.device_cap);
    findings.check(devices <= cap && enrolled <= cap, "no token exceeds its cap", || {
        format!("{devices} devices, {enrolled} of them enrolled, by a token for {cap}")
    });
    findings.check(
        (enrolled..=enrolled + doubtful).contains(&token.uses),
        "the count of uses is right",
        || format!("{} uses, {enrolled} enrollments, {doubtful} doubtful faults", token.uses),
    );
    for (client, id) in world.history.clients() {
        let Some(issued) = table.devices.get(&id) else { continue };
        let (released, doubtful) =
            world.history.device(id, |it| (it.released.len() as u32, it.doubtful));
        findings.check(
            (released..=released + doubtful).contains(issued),
            "the count of issuances is right",
            || {
                format!(
                    "device {client} counts {issued}, was issued {released}, and met {doubtful} \
                     doubtful faults"
                )
            },
        );
    }
    Ok(())
}

/// Every certificate that an operator revoked is in the CRL, and the device in the deny list.
fn revocations(world: &World, table: &Table, listed: &BTreeSet<String>, findings: &mut Findings) {
    let denied = latest(world, "denied/devices.txt").map(|it| text(&it)).unwrap_or_default();
    let denied: BTreeSet<_> = denied.lines().collect();
    world.history.with(|record| {
        for (id, device) in &record.devices {
            let is_revoked = device.revoked.holds(Default::default());
            if !is_revoked && !device.held.holds(device.released_from_hold) {
                continue;
            }
            let entries = table.entries.get(id).into_iter().flatten();
            let missing = entries.filter(|it| !listed.contains(&it.serial_number)).count();
            let is_denied = denied.contains(id.to_string().as_str());
            findings.check(
                missing == 0 && is_denied,
                "what was revoked is in the next CRL",
                || {
                    format!(
                        "device {} was {}, {missing} of its certificates are not in the CRL, and it \
                         is {}denied",
                        device.client,
                        if is_revoked { "revoked" } else { "held" },
                        if is_denied { "" } else { "not " },
                    )
                },
            );
        }
    });
}

/// After a success, no older certificate of the device is good once the grace period is over.
fn supersessions(
    world: &World,
    table: &Table,
    devices: &[Device<'_>],
    listed: &BTreeSet<String>,
    findings: &mut Findings,
) {
    let signed = signed_digests(world);
    for device in devices {
        let Some(id) = device.id() else { continue };
        let in_hand = world.history.device(id, |it| it.in_hand.clone());
        let Some(in_hand) = in_hand.filter(|_| device.is_settled()) else { continue };
        let entries = table.entries.get(&id).into_iter().flatten();
        let good = entries.filter(|it| {
            it.serial_number != in_hand.serial_number
                && signed.contains(&it.tbs_digest)
                // Released to nobody.
                && it.withdrawn_at.is_none()
                && !listed.contains(&it.serial_number)
        });
        let good = good.count();
        findings.check(good == 0, "no older certificate stays good beyond the grace", || {
            format!("device {} has {good} more certificates that are good", device.number())
        });
        findings.check(
            !listed.contains(&in_hand.serial_number) || was_touched(world, id),
            "a failure never takes away what worked",
            || format!("the last certificate of device {} is in the CRL", device.number()),
        );
    }
}

/// A certificate or device that was published as revoked or denied does not disappear without a release.
fn crls(
    fixture: &Fixture,
    world: &World,
    table: &Table,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let promise = "what was published as revoked does not disappear";
    let was_released = |id: DeviceId, version: &Version| {
        world.history.device(id, |it| {
            it.released_from_hold.first_tried.is_some_and(|tried| tried <= version.at)
        })
    };
    let mut before: BTreeSet<String> = BTreeSet::new();
    let mut number = 0;
    for version in world.wire.bucket().versions("crl/device.crl") {
        let crl = VerifiedCrl::from_der(version.body.to_vec(), &fixture.ca)?;
        findings.check(crl.number() > number, "CRL numbers increase", || {
            format!("{} after {number}", crl.number())
        });
        number = crl.number();
        let now = serials(&crl);
        for gone in before.difference(&now) {
            let owner = table.entries.iter().find_map(|(id, entries)| {
                entries.iter().any(|it| it.serial_number == *gone).then_some(*id)
            });
            let is_released = owner.is_some_and(|id| was_released(id, &version));
            findings.check(is_released, promise, || {
                let owner = owner.map(|id| world.history.device(id, |it| it.client));
                format!("a certificate of device {owner:?} is not in CRL {number} any more")
            });
        }
        before = now;
    }
    let mut before: BTreeSet<DeviceId> = BTreeSet::new();
    for version in world.wire.bucket().versions("denied/devices.txt") {
        let now: BTreeSet<DeviceId> =
            text(&version).lines().map(str::parse).collect::<Result<_, _>>()?;
        for gone in before.difference(&now) {
            findings.check(was_released(*gone, &version), promise, || {
                let client = world.history.device(*gone, |it| it.client);
                format!("device {client} is not in the deny list any more")
            });
        }
        before = now;
    }
    Ok(())
}

/// No function needed more than its role grants.
fn permissions(fixture: &Fixture, world: &World, findings: &mut Findings) -> anyhow::Result<()> {
    let calls = world.history.with(|record| std::mem::take(&mut record.calls));
    for (role, service, call) in &calls {
        let Some(role) = role else { continue };
        let accesses = match service {
            Service::DynamoDb => Access::of_dynamodb(call)?,
            Service::Kms => vec![fixture.roles.of_kms(call)?],
            Service::S3 => Access::of_s3(call)?,
        };
        for access in accesses {
            findings.check(
                fixture.roles.allow(*role, &access),
                "no function needs more than its role",
                || format!("{role:?}: {access:?}"),
            );
        }
    }
    world.history.with(|record| record.calls = calls);
    Ok(())
}

/// The table's content.
struct Table {
    /// The ledger entries of each device.
    entries: BTreeMap<DeviceId, Vec<LedgerEntry>>,
    /// The count of issuances of each device.
    devices: BTreeMap<DeviceId, u32>,
    /// The digests of all certificates and CRLs on the ledger.
    digests: BTreeSet<String>,
}

impl Table {
    async fn read(world: &World) -> anyhow::Result<Self> {
        let (mut devices, mut digests) = (BTreeMap::new(), BTreeSet::new());
        let mut items = world.dynamodb()?.scan().table_name(TABLE).into_paginator().items().send();
        while let Some(item) = items.next().await {
            let item = item?;
            let text = |name: &str| item.get(name).and_then(|it| it.as_s().ok()).cloned();
            digests.extend(text("tbs_digest"));
            let partition = text("PK").unwrap_or_default();
            if let Some(id) = partition.strip_prefix("DEVICE#") {
                let issued = item.get("issued").and_then(|it: &AttributeValue| it.as_n().ok());
                devices.insert(id.parse()?, issued.context("a count")?.parse()?);
            }
        }
        let mut entries = BTreeMap::new();
        for id in devices.keys() {
            entries.insert(*id, entries_of(world, *id).await?);
        }
        Ok(Self { entries, devices, digests })
    }
}

async fn entries_of(world: &World, id: DeviceId) -> anyhow::Result<Vec<LedgerEntry>> {
    Ok(world.store.device_certificates(id).await?)
}

fn was_touched(world: &World, id: DeviceId) -> bool {
    world.history.device(id, |it| it.was_touched())
}

/// Returns the digests that KMS signed, for whomever.
fn signed_digests(world: &World) -> BTreeSet<String> {
    world.history.with(|record| {
        record.calls.iter().filter_map(|(_, _, call)| call.signed_digest()).collect()
    })
}

fn latest(world: &World, key: &str) -> Option<Version> {
    world.wire.bucket().versions(key).pop()
}

/// Returns the CRL in the bucket, which must be in force.
fn latest_crl(fixture: &Fixture, world: &World) -> anyhow::Result<VerifiedCrl> {
    let version = latest(world, "crl/device.crl").context("no CRL was published")?;
    let crl = VerifiedCrl::from_der(version.body.to_vec(), &fixture.ca)?;
    anyhow::ensure!(crl.next_update() > clock::now(), "the CRL is too old");
    Ok(crl)
}

fn serials(crl: &VerifiedCrl) -> BTreeSet<String> {
    crl.revoked().map(|entry| entry.serial.to_string()).collect()
}

fn text(version: &Version) -> String {
    String::from_utf8_lossy(&version.body).into_owned()
}
