//! Devices: they enroll, ask for identities again and again, and retry what fails.

use std::time::Duration;

use anyhow::Context as _;
use der::{Decode as _, Encode as _};
use pki::hex;
use pki::names::DeviceId;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};
use x509_cert::Certificate as X509;
use x509_cert::der::DecodePem as _;

use crate::faults::clock;
use crate::faults::function::{End, Role};
use crate::faults::history::Certificate;
use crate::faults::random::Random;
use crate::faults::world::{Response, World};

pub(super) const ENROLL: &str = include_str!("../../../events/enroll.json");
pub(super) const IDENTITY: &str = include_str!("../../../events/identity.json");

/// Attempts of a request that must succeed once faults are over.
const ATTEMPTS: u32 = 5;

/// A device, or the person who holds it.
pub(super) struct Device<'a> {
    world: &'a World,
    number: usize,
    random: Random,
    /// The id and the token, once an enrollment arrived.
    enrolled: Option<(DeviceId, String)>,
    is_settled: bool,
}

/// The outcome of a request, for a device.
enum Outcome {
    /// A response arrived.
    Answered(Response),
    /// Nothing arrived, or the gateway's own error.
    Nothing,
}

impl<'a> Device<'a> {
    pub(super) fn new(world: &'a World, number: usize, random: Random) -> Self {
        Self { world, number, random, enrolled: None, is_settled: false }
    }

    /// Returns the device's number, for people.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Returns the id, once an enrollment arrived.
    pub(super) fn id(&self) -> Option<DeviceId> {
        self.enrolled.as_ref().map(|(id, _)| *id)
    }

    /// Returns true if [`Device::settle`] ended with an identity.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    fn has_certificate(&self) -> bool {
        let id = self.id();
        id.is_some_and(|id| self.world.history.device(id, |it| it.in_hand.is_some()))
    }

    /// Enrolls and asks for identities, some times.
    pub(super) async fn run(&mut self) {
        sleep(self.random.pause()).await;
        for _ in 0..12 {
            if self.enrolled.is_some() {
                break;
            }
            self.enroll().await;
            sleep(self.random.pause()).await;
        }
        for _ in 0..2 + self.random.below(4) {
            let is_lost = self.random.chance(5);
            let last = match self.random.chance(15) {
                true => tokio::join!(self.identity(is_lost), self.identity(false)).1,
                false => self.identity(is_lost).await,
            };
            // A device that has a certificate is in no hurry.
            if last != Some(200) && self.has_certificate() && self.random.chance(40) {
                break;
            }
            sleep(self.random.pause()).await;
        }
    }

    /// Tries until the device has an identity. Returns the last status.
    pub(super) async fn settle(&mut self) -> Option<u16> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            if self.enrolled.is_none() {
                last = self.enroll().await;
            }
            if self.enrolled.is_some() {
                last = self.identity(false).await;
                self.is_settled = last == Some(200);
            }
            // Without faults, a refusal stays one.
            if self.is_settled || last.is_some_and(|status| (400..500).contains(&status)) {
                break;
            }
            sleep(Duration::from_secs(30)).await;
        }
        last
    }

    async fn enroll(&mut self) -> Option<u16> {
        let (token, replaced) = {
            let token = self.world.token.lock().unwrap();
            (token.current.expose().to_string(), token.replaced.clone())
        };
        // Some devices still have the token from before.
        let is_old = self.random.chance(20) && !*self.world.is_over.borrow();
        let old = replaced.last().filter(|_| is_old).cloned();
        let (sent, replaced) = match old {
            Some((old, at)) => (old, Some(at)),
            None => (token, None),
        };
        let name = format!("device {}", self.number);
        let began = Instant::now();
        let event = event(ENROLL, "thistle-device-enrollment-token", sent);
        let invocation = self.world.request(format!("{name} enrolls"), Role::Enroll, event).await;
        let is_lost = self.random.chance(5) && !*self.world.is_over.borrow();
        let history = &self.world.history;
        let outcome = self.outcome(&name, invocation.end, is_lost, |response| {
            if response.status == 200 {
                let id = response.body["device_id"].as_str().and_then(|it| it.parse().ok());
                let id: DeviceId = id.expect("an id");
                history.with(|record| record.enrolled += 1);
                history.device(id, |device| {
                    device.client = self.number;
                    device.enrolled_at = Some(Instant::now());
                });
                if replaced.is_some_and(|at| at <= began) {
                    history.broken("a replaced token stops at once", "it enrolled a device");
                }
                let token = self.world.token.lock().unwrap();
                if token.paused.holds_at(began, token.resumed) {
                    history.broken("a paused token stops at once", "it enrolled a device");
                }
            }
        });
        let doubts = u64::from(invocation.doubts);
        history.with(|record| record.doubtful_enrollments += doubts);
        let Outcome::Answered(response) = outcome else { return None };
        if response.status == 200 {
            let text = |name: &str| response.body[name].as_str().expect("a text").to_owned();
            let id = text("device_id").parse().expect("an id");
            self.enrolled = Some((id, text("device_token")));
        }
        Some(response.status)
    }

    /// Asks for an identity, whose answer may be lost.
    async fn identity(&self, is_lost: bool) -> Option<u16> {
        let (id, token) = self.enrolled.clone()?;
        let name = format!("device {}", self.number);
        let history = &self.world.history;
        let began = Instant::now();
        let event = event(IDENTITY, "authorization", format!("Bearer {token}"));
        let invocation = self.world.request(format!("{name} asks"), Role::Identity, event).await;
        let doubts = invocation.doubts;
        let mut is_released = false;
        let outcome = self.outcome(&name, invocation.end, is_lost, |response| {
            is_released = response.status == 200;
            if is_released {
                let certificate = certificate(&response.body).expect("a certificate");
                history.device(id, |device| device.released.push(certificate));
                self.check_authorization(id, began);
            }
        });
        if !is_released {
            history.device(id, |device| device.doubtful += doubts);
        }
        let Outcome::Answered(response) = outcome else { return None };
        match response.status {
            200 => {
                let certificate = certificate(&response.body).expect("a certificate");
                history.device(id, |device| device.in_hand = Some(certificate));
            }
            401 if !history.device(id, |device| device.was_blocked()) => {
                history
                    .broken("an active device authenticates", format!("{name}: {}", response.body));
            }
            429 => self.check_limit(id),
            _ => {}
        }
        Some(response.status)
    }

    /// Checks that no change by an operator forbade a request that began then and succeeded.
    fn check_authorization(&self, id: DeviceId, began: Instant) {
        let history = &self.world.history;
        let forbidden = history.device(id, |device| {
            [
                ("revoked", device.revoked.holds_at(began, Default::default())),
                ("held", device.held.holds_at(began, device.released_from_hold)),
                ("disabled", device.disabled.holds_at(began, device.enabled)),
            ]
            .into_iter()
            .find(|(_, is_forbidden)| *is_forbidden)
        });
        if let Some((status, _)) = forbidden {
            let number = self.number;
            history.broken(
                "a device is out at once",
                format!("device {number} was {status}, and was issued a certificate"),
            );
        }
    }

    /// Checks that a device that reached its limit was issued as many certificates.
    fn check_limit(&self, id: DeviceId) {
        let limit = self.world.policy.issuance_limit();
        let (released, doubtful, is_unlimited) = self.world.history.device(id, |device| {
            (device.released.len() as u32, device.doubtful, device.is_unlimited)
        });
        // Requests that run at the same time count before they are withdrawn.
        if released + doubtful + 1 < limit && !is_unlimited {
            self.world.history.broken(
                "the count of issuances is right",
                format!(
                    "device {} reached its limit of {limit} with {released} certificates and \
                     {doubtful} doubtful faults",
                    self.number
                ),
            );
        }
    }

    /// Converts the end of an invocation to what arrives. `seen` learns of a response even if it
    /// does not arrive.
    fn outcome(
        &self,
        name: &str,
        end: End<Option<Response>>,
        is_lost: bool,
        seen: impl FnOnce(&Response),
    ) -> Outcome {
        let history = &self.world.history;
        let response = match end {
            End::Answered(Some(response)) => response,
            End::Answered(None) => {
                history.note(name, "the function did not start");
                return Outcome::Nothing;
            }
            end => {
                let end = match end {
                    End::Killed => "was killed",
                    End::OutOfTime => "ran out of time",
                    _ => "panicked",
                };
                history.note(name, format!("the function {end}"));
                return Outcome::Nothing;
            }
        };
        let lost = if is_lost { ", which does not arrive" } else { "" };
        let kind = response.body["type"].as_str().unwrap_or_default();
        history.note(name, format!("{} {kind}{lost}", response.status));
        seen(&response);
        if is_lost { Outcome::Nothing } else { Outcome::Answered(response) }
    }
}

/// Returns an event that arrives now, with a credential in its header.
pub(super) fn event(template: &str, header: &str, credential: String) -> Value {
    let mut event: Value = serde_json::from_str(template).expect("an event");
    event["headers"][header] = credential.into();
    event["requestContext"]["timeEpoch"] = clock::unix_millis().into();
    event
}

fn certificate(body: &Value) -> anyhow::Result<Certificate> {
    let pem = body["device_certificate_pem"].as_str().context("a certificate")?;
    let certificate = X509::from_pem(pem)?;
    // The exact octets are those of the DER, because it was verified.
    let tbs = X509::from_der(&certificate.to_der()?)?.tbs_certificate().to_der()?;
    let serial_number = body["serial_number"].as_str().context("a serial number")?;
    Ok(Certificate {
        serial_number: serial_number.to_owned(),
        tbs_digest: hex(&Sha256::digest(tbs)),
    })
}
