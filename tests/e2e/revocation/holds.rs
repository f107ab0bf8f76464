//! Holds of devices beside holds and releases of single certificates: no order of them leaves a device on
//! hold with a good certificate, or takes back a hold that nobody released.

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::{Env, YEAR};
use ledger::store::{CertificateStatus, DeviceStatus, Store};
use pki::clock::Timestamp;
use pki::crl::RevocationReason::CertificateHold;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_device_is_held_before_a_release_is_written,
        a_certificate_is_released_before_a_hold_is_written,
        a_contended_hold_keeps_single_holds_apart,
        a_hold_by_a_clock_that_is_years_fast_is_no_way_out,
    ]
}

/// A device with two certificates, of which the second is on hold by itself.
struct HalfHeld {
    env: Env,
    device: Enrolled,
    /// Operators whose calls are not held back.
    others: Store,
}

impl HalfHeld {
    async fn start(
        emulators: &Emulators,
        backend: Backend,
        held_at: Timestamp,
    ) -> anyhow::Result<Self> {
        let env = Env::start(emulators, backend).await?;
        let device = env.api.enrolled(&env.token).await?;
        env.api.released(&device).await?;
        let second = env.api.released(&device).await?.serial_number;
        let id = device.device_id;
        env.store.revoke_certificate(id, &second, CertificateHold, held_at).await?;
        let others = Store::new(env.direct.aws.dynamodb()?, &env.config.table_name);
        Ok(Self { env, device, others })
    }

    /// Returns the device's status, and the number of its certificates on hold.
    async fn state(&self) -> anyhow::Result<(DeviceStatus, usize)> {
        let id = self.device.device_id;
        let device = self.others.device(id).await?.context("the device")?;
        let entries = self.others.device_certificates(id).await?;
        let now = Timestamp::now();
        let held = entries.iter().filter(|it| it.status(now) == CertificateStatus::OnHold);
        Ok((device.record.status, held.count()))
    }
}

/// The release is one of a held device by the time it is written.
async fn a_device_is_held_before_a_release_is_written(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let half = HalfHeld::start(emulators, backend, Timestamp::now()).await?;
    let (env, id) = (&half.env, half.device.device_id);
    env.dynamodb.hold("TransactWriteItems");
    let (released, held) = tokio::join!(env.store.release_hold(id), async {
        env.dynamodb.holds_a_call().await?;
        half.others.revoke_device(id, CertificateHold, Timestamp::now()).await?;
        ensure!(half.state().await? == (DeviceStatus::Held, 2));
        env.dynamodb.mend();
        Ok(())
    });
    held?;
    ensure!(released?.changed);
    let state = half.state().await?;
    ensure!(state == (DeviceStatus::Active, 1), "the single hold stays: {state:?}");
    Ok(())
}

async fn a_certificate_is_released_before_a_hold_is_written(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let half = HalfHeld::start(emulators, backend, Timestamp::now()).await?;
    let (env, id) = (&half.env, half.device.device_id);
    env.dynamodb.hold("TransactWriteItems");
    let (held, released) =
        tokio::join!(env.store.revoke_device(id, CertificateHold, Timestamp::now()), async {
            env.dynamodb.holds_a_call().await?;
            half.others.release_hold(id).await?;
            ensure!(half.state().await? == (DeviceStatus::Active, 0));
            env.dynamodb.mend();
            Ok(())
        });
    released?;
    ensure!(held?.certificates == 2, "the released one, too");
    let state = half.state().await?;
    ensure!(state == (DeviceStatus::Held, 2), "a held device has a good certificate: {state:?}");
    Ok(())
}

/// A device that keeps requesting certificates is held first, and its certificates after it.
async fn a_contended_hold_keeps_single_holds_apart(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let fast_clock = Timestamp::now().plus(60);
    let half = HalfHeld::start(emulators, backend, fast_clock).await?;
    let (env, id) = (&half.env, half.device.device_id);
    env.dynamodb.fail_after(0, "TransactWriteItems", 2, Fault::Conflict);
    env.store.revoke_device(id, CertificateHold, Timestamp::now()).await?;
    ensure!(half.state().await? == (DeviceStatus::Held, 2));
    env.store.release_hold(id).await?;
    let state = half.state().await?;
    ensure!(state == (DeviceStatus::Active, 1), "the single hold stays: {state:?}");
    Ok(())
}

/// The hold of the device begins after those of its certificates, which have expired by then, it seems.
async fn a_hold_by_a_clock_that_is_years_fast_is_no_way_out(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let half = HalfHeld::start(emulators, backend, Timestamp::now().plus(50 * YEAR)).await?;
    half.env.store.revoke_device(half.device.device_id, CertificateHold, Timestamp::now()).await?;
    let state = half.state().await?;
    ensure!(state == (DeviceStatus::Held, 2), "a held device has a good certificate: {state:?}");
    Ok(())
}
