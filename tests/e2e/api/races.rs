//! Races: concurrent requests for resources that must not be shared.

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Released;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::{Env, Setup};
use futures_util::future::join_all;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ledger::store::{LedgerEntry, Policy};
use pki::clock::Timestamp;
use pki::token::EnrollmentToken;

use super::uses_around_a_change::UsesAroundAChange;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        an_enrollment_token_regenerated_in_the_middle_of_64_uses,
        a_device_cap_holds_against_32_at_once,
        one_device_asks_32_times_at_once,
    ]
}

async fn an_enrollment_token_regenerated_in_the_middle_of_64_uses(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let old = env.token.expose();
    let new = EnrollmentToken::generate(env.project, env.token.subject(), &mut UnwrapErr(SysRng));

    let regenerate = async {
        env.store.regenerate_token(&new, Timestamp::now()).await?;
        Ok(())
    };
    let uses = UsesAroundAChange::of(&env.api, &old, regenerate).await?;
    uses.are_refused_after_it("invalid-enrollment-token", 401)?;
    env.api.enrolled(&new).await?;
    let record = env.store.token(env.project, env.token.subject()).await?.context("the token")?;
    let admitted = uses.admitted() as u64 + 1;
    ensure!(record.uses == admitted, "{} counted, {admitted} admitted", record.uses);
    let devices = env.store.devices(env.project, None).await?.len() as u64;
    ensure!(devices == admitted, "{devices} devices, {admitted} admitted");
    Ok(())
}

async fn a_device_cap_holds_against_32_at_once(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let rng = &mut UnwrapErr(SysRng);
    let capped = EnrollmentToken::generate(env.project, pki::names::TokenId::generate(rng), rng);
    let new = ledger::store::NewToken { device_cap: Some(7), ..Default::default() };
    env.store.create_token(&capped, new, Timestamp::now()).await?;

    let token = capped.expose();
    let answers = join_all((0..32).map(|_| env.api.enroll(&token))).await;
    let mut admitted = 0;
    for answer in answers {
        let answer = answer?;
        match answer.status {
            200 => admitted += 1,
            _ => answer.problem(403, "device-cap-reached", &[&token])?,
        }
    }
    ensure!(admitted == 7, "{admitted} admitted");
    ensure!(env.store.devices(env.project, None).await?.len() == 7);
    Ok(())
}

async fn one_device_asks_32_times_at_once(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    // A limit that some of them reach.
    let setup = Setup { policy: Policy::new(365, 24, 20)?, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let device = env.api.enrolled(&env.token).await?;
    let answers = join_all((0..32).map(|_| env.api.identity(&device.device_token))).await;

    let mut released = Vec::new();
    for answer in answers {
        let answer = answer?;
        match answer.status {
            200 => released.push(answer.success::<Released>()?.serial_number),
            429 => answer.problem(429, "issuance-limit-reached", &[&device.device_token])?,
            _ => answer.problem(503, "busy", &[&device.device_token])?,
        }
    }
    ensure!(!released.is_empty(), "nobody won");
    let entries = env.store.device_certificates(device.device_id).await?;
    // Those that others superseded before they were verified are withdrawn, and do not count.
    let issued = entries.iter().filter(|it| it.withdrawn_at.is_none()).count();
    ensure!(issued <= 20, "{issued} issued");
    for serial in &released {
        let entry = entries.iter().find(|it| it.serial_number == *serial);
        let entry = entry.with_context(|| format!("{serial} is not recorded"))?;
        ensure!(entry.withdrawn_at.is_none(), "{serial} was withdrawn");
    }
    let is_live = |it: &&LedgerEntry| it.superseded_at.is_none() && it.withdrawn_at.is_none();
    let live: Vec<_> = entries.iter().filter(is_live).collect();
    ensure!(live.len() == 1, "{} are live", live.len());
    ensure!(released.contains(&live[0].serial_number), "the live one was released");
    let details = env.store.device(device.device_id).await?.context("the device")?;
    let counted = usize::try_from(details.issued)?;
    ensure!(counted == issued, "{counted} counted, {issued} on the ledger");
    env.verify_ledger(&[device]).await
}
