//! Operators: they change tokens and devices as the commands do, and repeat what fails.

use std::future::Future;
use std::time::Duration;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ledger::Error;
use ledger::store::TokenStatus;
use pki::crl::RevocationReason;
use pki::names::DeviceId;
use pki::token::EnrollmentToken;
use tokio::time::{Instant, sleep};

use crate::faults::clock;
use crate::faults::function::Caller;
use crate::faults::history::{Change, Device};
use crate::faults::random::Random;
use crate::faults::world::{Token, World};

/// Attempts of a command.
const ATTEMPTS: u32 = 6;

/// An operator.
pub(super) struct Operator<'a> {
    world: &'a World,
    name: String,
    random: Random,
}

impl<'a> Operator<'a> {
    pub(super) fn new(world: &'a World, number: usize, random: Random) -> Self {
        Self { world, name: format!("operator {number}"), random }
    }

    /// Makes some changes.
    pub(super) async fn run(&mut self) {
        let is_busy = self.world.is_busy;
        let changes = if is_busy { 5 + self.random.below(5) } else { self.random.below(4) };
        for _ in 0..changes {
            sleep(self.pause()).await;
            self.change_something().await;
        }
    }

    fn pause(&mut self) -> Duration {
        if self.world.is_busy { self.random.millis(0, 800) } else { self.random.pause() }
    }

    async fn change_something(&mut self) {
        let devices = self.world.history.clients();
        if devices.is_empty() || self.random.chance(20) {
            return match self.random.chance(50) {
                true => self.regenerate().await,
                false => self.pause_and_resume().await,
            };
        }
        let (client, id) = self.random.pick(&devices);
        // Busy operators mostly revoke: several CRLs then follow each other.
        let from = if self.world.is_busy { 3 } else { 0 };
        match from + self.random.below(10 - from) {
            0..3 => self.lift_limit(client, id).await,
            3..5 => self.disable_and_enable(client, id).await,
            5..7 => self.hold_and_release(client, id).await,
            7 => self.revoke(client, id).await,
            8 => self.revoke_one(client, id).await,
            _ => self.request_crl().await,
        }
    }

    /// Replaces the token's secret.
    pub(super) async fn regenerate(&mut self) {
        let world = self.world;
        let _turn = world.token_turn.lock().await;
        let id = world.token.lock().unwrap().current.subject();
        let new = EnrollmentToken::generate(world.project, id, &mut UnwrapErr(SysRng));
        let regenerate = || world.store.regenerate_token(&new, clock::now());
        if self.command("regenerates the token", regenerate).await {
            let mut token = world.token.lock().unwrap();
            let old = std::mem::replace(&mut token.current, new);
            token.replaced.push((old.expose().to_string(), Instant::now()));
        }
    }

    async fn pause_and_resume(&mut self) {
        self.set_status("pauses the token", TokenStatus::Paused, |it| &mut it.paused).await;
        sleep(self.pause()).await;
        self.resume().await;
    }

    /// Resumes the token.
    pub(super) async fn resume(&mut self) {
        self.set_status("resumes the token", TokenStatus::Active, |it| &mut it.resumed).await;
    }

    async fn set_status(
        &mut self,
        what: &str,
        status: TokenStatus,
        which: impl Fn(&mut Token) -> &mut Change,
    ) {
        let world = self.world;
        let _turn = world.token_turn.lock().await;
        let id = {
            let mut token = world.token.lock().unwrap();
            which(&mut token).begin();
            token.current.subject()
        };
        let set = || world.store.set_token_status(world.project, id, status);
        let is_acknowledged = self.command(what, set).await;
        which(&mut world.token.lock().unwrap()).end(is_acknowledged);
    }

    async fn lift_limit(&mut self, client: usize, id: DeviceId) {
        self.world.history.device(id, |device| device.is_unlimited = true);
        let store = &self.world.store;
        let lift = || store.lift_issuance_limit(id, Some(20));
        self.command(&format!("lifts the limit of device {client}"), lift).await;
    }

    async fn disable_and_enable(&mut self, client: usize, id: DeviceId) {
        let store = &self.world.store;
        let disable = || store.set_device_enabled(id, false);
        self.change(&format!("disables device {client}"), id, |it| &mut it.disabled, disable).await;
        sleep(self.pause()).await;
        self.enable(client, id).await;
    }

    /// Enables a device.
    pub(super) async fn enable(&mut self, client: usize, id: DeviceId) {
        let store = &self.world.store;
        let enable = || store.set_device_enabled(id, true);
        self.change(&format!("enables device {client}"), id, |it| &mut it.enabled, enable).await;
    }

    async fn hold_and_release(&mut self, client: usize, id: DeviceId) {
        let store = &self.world.store;
        let hold = || store.revoke_device(id, RevocationReason::CertificateHold, clock::now());
        self.change(&format!("holds device {client}"), id, |it| &mut it.held, hold).await;
        self.request_crl().await;
        if self.random.chance(50) {
            sleep(self.pause()).await;
            let what = format!("releases device {client}");
            let release = || store.release_hold(id);
            self.change(&what, id, |it| &mut it.released_from_hold, release).await;
            self.request_crl().await;
        }
    }

    async fn revoke(&mut self, client: usize, id: DeviceId) {
        let reasons = [RevocationReason::KeyCompromise, RevocationReason::CessationOfOperation];
        let reason = self.random.pick(&reasons);
        let store = &self.world.store;
        let revoke = || store.revoke_device(id, reason, clock::now());
        self.change(&format!("revokes device {client}"), id, |it| &mut it.revoked, revoke).await;
        self.request_crl().await;
    }

    /// Revokes the certificate that a device has.
    async fn revoke_one(&mut self, client: usize, id: DeviceId) {
        let serial = self.world.history.device(id, |device| {
            let serial = device.in_hand.as_ref()?.serial_number.clone();
            device.single_revocations.insert(serial.clone());
            Some(serial)
        });
        let Some(serial) = serial else { return };
        let (store, reason) = (&self.world.store, RevocationReason::Unspecified);
        let revoke = || store.revoke_certificate(id, &serial, reason, clock::now());
        self.command(&format!("revokes a certificate of device {client}"), revoke).await;
        self.request_crl().await;
    }

    /// Requests a CRL, as every command that revokes does.
    pub(super) async fn request_crl(&mut self) {
        let store = &self.world.store;
        self.command("requests a CRL", || store.request_crl("device", clock::now())).await;
    }

    /// Runs a command that changes a device, and records that it was tried and acknowledged.
    async fn change<T, F: Future<Output = Result<T, Error>>>(
        &mut self,
        what: &str,
        id: DeviceId,
        which: impl Fn(&mut Device) -> &mut Change,
        command: impl Fn() -> F,
    ) {
        let history = &self.world.history;
        history.device(id, |device| which(device).begin());
        let is_acknowledged = self.command(what, command).await;
        history.device(id, |device| which(device).end(is_acknowledged));
    }

    /// Runs a command until it is done. Returns false if it was refused, or failed in every attempt.
    async fn command<T, F: Future<Output = Result<T, Error>>>(
        &mut self,
        what: &str,
        command: impl Fn() -> F,
    ) -> bool {
        let history = &self.world.history;
        history.note(&self.name, what);
        for _ in 0..ATTEMPTS {
            match Caller::operate(self.name.clone(), command()).await {
                Ok(_) => {
                    history.note(&self.name, format!("{what}: done"));
                    return true;
                }
                // The device has another status.
                Err(Error::Operator(error)) => {
                    history.note(&self.name, format!("{what}: {error}"));
                    return false;
                }
                Err(error) => {
                    history.note(&self.name, format!("{what}: {error}"));
                    if matches!(error, Error::Refused { .. }) {
                        // Nothing was wrong with the command: no fault of a schedule is for good.
                        history
                            .broken("an operator learns when to retry", format!("{what}: {error}"));
                    }
                    sleep(self.random.millis(500, 20_000)).await;
                }
            }
        }
        false
    }
}
