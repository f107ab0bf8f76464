//! The index of revocations lags behind the table: what was published stays, unless it was released.

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Proxy;
use birthcert_tests::env::{Env, Setup, YEAR};
use birthcert_tests::published_crl::PublishedCrl;
use crl::Publisher;
use lambda::stream::Trigger;
use ledger::store::Policy;
use pki::clock::Timestamp;
use pki::crl::RevocationReason::{CertificateHold, KeyCompromise};

use super::crl::{DAY, QUIET, changes, later, publisher, revoke};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        an_index_that_lags_takes_nothing_back,
        a_publisher_with_a_higher_number_takes_nothing_back,
        another_cas_publisher_denies_no_fewer_devices,
        what_expired_while_the_index_lagged_drops_out,
    ]
}

/// A device with a certificate, and the serial number.
async fn device(env: &Env) -> anyhow::Result<(Enrolled, String)> {
    let device = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&device).await?.serial_number;
    Ok((device, serial))
}

fn sorted<const N: usize>(texts: [&dyn ToString; N]) -> Vec<String> {
    let mut texts = texts.map(ToString::to_string).to_vec();
    texts.sort();
    texts
}

async fn an_index_that_lags_takes_nothing_back(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = publisher(&env).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let nothing = env.dynamodb.index_answers();
    let (gone, gone_serial) = device(&env).await?;
    let (held, held_serial) = device(&env).await?;
    let (back, back_serial) = device(&env).await?;
    revoke(&env, &gone, KeyCompromise).await?;
    revoke(&env, &held, CertificateHold).await?;
    revoke(&env, &back, CertificateHold).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let before = PublishedCrl::of(&env, "device").await?;
    ensure!(before.serials() == sorted([&gone_serial, &held_serial, &back_serial]));
    ensure!(before.denied.len() == 3);

    // Another publisher is answered from before the first revocation, while one hold is released.
    env.store.release_hold(back.device_id).await?;
    env.store.request_crl("device", Timestamp::now()).await?;
    env.dynamodb.lag(&nothing);
    publisher(&env).await?.publish_due(&changes("device")).await?;
    let lagged = PublishedCrl::of(&env, "device").await?;
    ensure!(lagged.crl.number() > before.crl.number());
    ensure!(lagged.serials() == sorted([&gone_serial, &held_serial]), "{:?}", lagged.revoked());
    ensure!(lagged.denied == sorted([&gone.device_id, &held.device_id]), "{:?}", lagged.denied);
    let reasons = |published: &PublishedCrl| {
        let all = published.crl.revoked().map(|entry| (entry.serial.to_string(), entry.reason));
        all.filter(|(serial, _)| *serial != back_serial).collect::<Vec<_>>()
    };
    ensure!(reasons(&lagged) == reasons(&before));
    // It looks once more, as it does after each request, and finds nothing to sign.
    env.kms.take();
    crl.publish_due(&Trigger::Schedule).await?;
    ensure!(PublishedCrl::of(&env, "device").await?.crl.der() == lagged.crl.der());
    // A deleted device stays denied.
    env.store.delete_device(gone.device_id).await?;
    env.store.request_crl("device", Timestamp::now()).await?;
    crl.publish_due(&changes("device")).await?;
    let deleted = PublishedCrl::of(&env, "device").await?;
    ensure!(deleted.revoked() == lagged.revoked() && deleted.denied == lagged.denied);

    // The index has caught up.
    env.dynamodb.mend();
    env.store.release_hold(held.device_id).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let last = PublishedCrl::of(&env, "device").await?;
    ensure!(last.serials() == [gone_serial] && last.denied == [gone.device_id.to_string()]);
    env.verify_ledger(&[held, back]).await
}

/// The publisher with the higher number reads what is published before the other one publishes, and an index
/// that lags. Both are about to write at the same time; the one with the higher number does so last.
async fn a_publisher_with_a_higher_number_takes_nothing_back(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    publisher(&env).await?.publish_due(&Trigger::Schedule).await?;
    let nothing = env.dynamodb.index_answers();
    let (gone, serial) = device(&env).await?;
    revoke(&env, &gone, KeyCompromise).await?;
    env.store.request_crl("device", Timestamp::now()).await?;

    let start = async |past: bool| {
        let dynamodb = Proxy::start(env.direct.aws.endpoint_dynamodb.as_deref().context("set")?);
        let (dynamodb, s3) = (dynamodb.await?, Proxy::start(env.s3.endpoint()).await?);
        if past {
            dynamodb.lag(&nothing);
        }
        s3.hold("PutObject");
        let mut config = env.config.clone();
        config.aws.endpoint_dynamodb = Some(dynamodb.endpoint().to_owned());
        config.aws.endpoint_s3 = Some(s3.endpoint().to_owned());
        anyhow::Ok((Publisher::start(&config, QUIET).await?, dynamodb, s3))
    };
    let (first, _first_dynamodb, first_s3) = start(false).await?;
    let (last, _last_dynamodb, last_s3) = start(true).await?;
    let trigger = changes("device");
    let (mut first, mut last) =
        (Box::pin(first.publish_due(&trigger)), Box::pin(last.publish_due(&trigger)));
    tokio::select! {
        held = first_s3.holds_a_call() => held?,
        done = &mut first => anyhow::bail!("it did not wait: {done:?}"),
    }
    let lower = env.store.crl_state("device").await?.reserved;
    tokio::select! {
        held = last_s3.holds_a_call() => held?,
        done = &mut last => anyhow::bail!("it did not wait: {done:?}"),
    }
    ensure!(env.store.crl_state("device").await?.reserved > lower);
    first_s3.mend();
    first.await?;
    let published = PublishedCrl::of(&env, "device").await?;
    ensure!(published.crl.number() == lower && published.serials() == [serial.clone()]);
    last_s3.mend();
    last.await?;
    let published = PublishedCrl::of(&env, "device").await?;
    ensure!(published.serials() == [serial], "{:?}", published.revoked());
    ensure!(published.denied == [gone.device_id.to_string()], "{:?}", published.denied);
    Ok(())
}

/// All CAs of devices share one deny list.
async fn another_cas_publisher_denies_no_fewer_devices(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    env.store.prepare_authority(&env.certified("device-2", YEAR).await?).await?;
    let crl = publisher(&env).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let nothing = env.dynamodb.index_answers();
    let (gone, _) = device(&env).await?;
    revoke(&env, &gone, KeyCompromise).await?;
    crl.publish_due(&changes("device-2")).await?;
    ensure!(PublishedCrl::of(&env, "device-2").await?.denied == [gone.device_id.to_string()]);

    env.store.request_crl("device", Timestamp::now()).await?;
    env.dynamodb.lag(&nothing);
    crl.publish_due(&changes("device")).await?;
    let published = PublishedCrl::of(&env, "device").await?;
    ensure!(published.denied == [gone.device_id.to_string()], "{:?}", published.denied);
    Ok(())
}

async fn what_expired_while_the_index_lagged_drops_out(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = Setup { policy: Policy::new(2, 24, 10)?, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let crl = publisher(&env).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let nothing = env.dynamodb.index_answers();
    let (gone, serial) = device(&env).await?;
    revoke(&env, &gone, KeyCompromise).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    env.dynamodb.lag(&nothing);
    let at = async |clock: fn() -> Timestamp| {
        later(&env, clock).await?.publish_due(&Trigger::Schedule).await?;
        anyhow::Ok(PublishedCrl::of(&env, "device").await?.serials())
    };
    // On one more CRL after its expiry.
    ensure!(at(|| Timestamp::now().plus(2 * DAY + 3600)).await? == [serial]);
    ensure!(at(|| Timestamp::now().plus(3 * DAY + 3600)).await?.is_empty());
    Ok(())
}
