//! The history of a schedule: every call in order, what the clients and operators know, and the
//! promises that were seen to be broken meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use pki::names::DeviceId;
use tokio::time::Instant;

use crate::aws::proxy::Call;
use crate::faults::clock;
use crate::faults::fault::Service;
use crate::faults::function::Role;

/// The record of a schedule.
#[derive(Default)]
pub(super) struct History(Mutex<Record>);

/// The content of the record.
#[derive(Default)]
pub(super) struct Record {
    /// One line for each event, in order.
    pub(super) events: Vec<String>,
    /// Promises that were broken before the end.
    pub(super) broken: Vec<String>,
    /// The calls that reached a service.
    pub(super) calls: Vec<(Option<Role>, Service, Call)>,
    /// The digests whose signature reached the function that asked for it.
    pub(super) seen_signatures: BTreeSet<String>,
    /// The devices that enrolled, as their clients and the operators know them.
    pub(super) devices: BTreeMap<DeviceId, Device>,
    /// Enrollments that the API answered with success, whether or not the answer arrived.
    pub(super) enrolled: u64,
    /// Faults that may have counted a use of the token without a device.
    pub(super) doubtful_enrollments: u64,
}

/// The clients' and the operators' knowledge of one device.
#[derive(Default)]
pub(super) struct Device {
    /// The device's number among the clients, for people.
    pub(super) client: usize,
    pub(super) enrolled_at: Option<Instant>,
    /// The certificates that the API released, in order.
    pub(super) released: Vec<Certificate>,
    /// The last certificate that arrived at the device.
    pub(super) in_hand: Option<Certificate>,
    /// Faults that may have counted an issuance without the release of a certificate.
    pub(super) doubtful: u32,
    /// Times of revocation, of a hold and of being disabled, tried and acknowledged.
    pub(super) revoked: Change,
    pub(super) held: Change,
    pub(super) released_from_hold: Change,
    pub(super) disabled: Change,
    pub(super) enabled: Change,
    /// Certificates that an operator tried to revoke one by one.
    pub(super) single_revocations: BTreeSet<String>,
    /// True if an operator tried to lift the issuance limit.
    pub(super) is_unlimited: bool,
}

/// A certificate that was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) serial_number: String,
    /// SHA-256 of the to-be-signed certificate, in hex.
    pub(super) tbs_digest: String,
}

/// A change by an operator, by the last time that it was tried and acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) tried: Option<Instant>,
    /// When the change was tried for the first time.
    pub(super) first_tried: Option<Instant>,
    acknowledged: Option<Instant>,
    ended: Option<Instant>,
    running: u32,
}

/// The time after which no call of a command that ended is carried out any more.
const LATEST: Duration = Duration::from_secs(10);

impl Change {
    /// Records that a command to make this change begins.
    pub(super) fn begin(&mut self) {
        self.tried = Some(Instant::now());
        self.first_tried = self.first_tried.or(self.tried);
        self.acknowledged = None;
        self.running += 1;
    }

    /// Records that the command ended.
    pub(super) fn end(&mut self, is_acknowledged: bool) {
        self.running -= 1;
        self.ended = Some(Instant::now());
        self.acknowledged = self.ended.filter(|_| is_acknowledged);
    }

    /// Returns true if the change was acknowledged before `at`, and no command for its `opposite` can have
    /// been carried out since.
    pub(super) fn holds_at(self, at: Instant, opposite: Self) -> bool {
        let is_undone = opposite.running > 0
            || opposite.ended.is_some_and(|ended| self.tried.is_none_or(|it| ended + LATEST >= it));
        !is_undone && self.acknowledged.is_some_and(|acknowledged| acknowledged <= at)
    }

    /// Returns true if the change was acknowledged, and no command for its `opposite` can have been carried
    /// out since.
    pub(super) fn holds(self, opposite: Self) -> bool {
        self.holds_at(Instant::now(), opposite)
    }
}

impl Device {
    /// Returns true if an operator tried to take the device or one of its certificates out.
    pub(super) fn was_touched(&self) -> bool {
        self.revoked.tried.is_some()
            || self.held.tried.is_some()
            || !self.single_revocations.is_empty()
    }

    /// Returns true if an operator tried to keep the device from being issued certificates.
    pub(super) fn was_blocked(&self) -> bool {
        self.revoked.tried.is_some() || self.held.tried.is_some() || self.disabled.tried.is_some()
    }
}

impl History {
    /// Reads or changes the record.
    pub(super) fn with<T>(&self, read: impl FnOnce(&mut Record) -> T) -> T {
        read(&mut self.0.lock().unwrap())
    }

    /// Notes an event.
    pub(super) fn note(&self, who: &str, what: impl AsRef<str>) {
        let line = format!("{:>10} ms  {who}: {}", clock::millis(), what.as_ref());
        self.with(|record| record.events.push(line));
    }

    /// Notes a broken promise.
    pub(super) fn broken(&self, promise: &str, what: impl AsRef<str>) {
        let line = format!("{promise}: {}", what.as_ref());
        self.note("BROKEN", &line);
        self.with(|record| record.broken.push(line));
    }

    /// Changes what is known of a device.
    pub(super) fn device<T>(&self, id: DeviceId, change: impl FnOnce(&mut Device) -> T) -> T {
        self.with(|record| change(record.devices.entry(id).or_default()))
    }

    /// Returns the devices that enrolled, by their numbers among the clients. A client whose first answer
    /// did not arrive has several.
    pub(super) fn clients(&self) -> Vec<(usize, DeviceId)> {
        self.with(|record| {
            let devices = record.devices.iter();
            let mut clients: Vec<_> =
                devices.map(|(id, it)| (it.enrolled_at, it.client, *id)).collect();
            // Ids are random even for one seed.
            clients.sort_unstable_by_key(|(enrolled_at, client, _)| (*client, *enrolled_at));
            clients.into_iter().map(|(_, client, id)| (client, id)).collect()
        })
    }

    /// Records a call that reached a service.
    pub(super) fn record(&self, role: Option<Role>, service: Service, call: Call) {
        self.with(|record| record.calls.push((role, service, call)));
    }

    /// Records that a signature reached the function that asked for it.
    pub(super) fn saw_signature(&self, digest: Option<String>) {
        self.with(|record| record.seen_signatures.extend(digest));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_holds_from_its_acknowledgement_until_its_opposite_begins() {
        let (mut change, mut opposite) = (Change::default(), Change::default());
        assert!(!change.holds(opposite), "nobody tried");
        change.begin();
        assert!(!change.holds(opposite), "it may have failed");
        let before = Instant::now();
        sleep(Duration::from_secs(1)).await;
        change.end(true);
        assert!(change.holds(opposite) && !change.holds_at(before, opposite));
        opposite.begin();
        assert!(!change.holds(opposite), "it may be undone");
        opposite.end(false);
        assert!(!change.holds(opposite), "it may have been undone");
        sleep(LATEST * 2).await;
        change.begin();
        change.end(false);
        assert!(!change.holds(opposite), "it failed");
        change.begin();
        change.end(true);
        assert!(change.holds(opposite), "the opposite ended long before");
    }
}
