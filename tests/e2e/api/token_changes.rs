//! Races between an operator's changes and enrollments with the token: an acknowledged change holds
//! for every request that begins afterwards.

use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::Env;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ledger::Error;
use ledger::store::{Change, DeviceStatus, Store, TokenChanges, TokenStatus};
use pki::clock::Timestamp;
use pki::token::EnrollmentToken;

use super::address_ranges::{ranges, token_for};
use super::uses_around_a_change::UsesAroundAChange;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        paused_in_the_middle_of_64_uses,
        closed_to_a_network_in_the_middle_of_64_uses,
        capped_in_the_middle_of_64_uses,
        a_regeneration_replaces_what_it_has_read,
        a_late_write_changes_no_status,
    ]
}

/// Enrolls from 127.0.0.5 while `change` is made. Every enrollment that begins afterwards gets the
/// 403 of `slug`, and the token's count equals the enrollments let in.
async fn in_the_middle(
    env: &Env,
    token: &EnrollmentToken,
    slug: &str,
    change: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let api = env.api.from_address(IpAddr::from([127, 0, 0, 5]))?;
    let uses = UsesAroundAChange::of(&api, &token.expose(), change).await?;
    uses.are_refused_after_it(slug, 403)?;
    let admitted = uses.admitted() as u64;
    let record = env.store.token(env.project, token.subject()).await?.context("the token")?;
    ensure!(record.uses == admitted, "{} counted, {admitted} admitted", record.uses);
    let devices = env.store.devices(env.project, None).await?.len() as u64;
    ensure!(devices == admitted, "{devices} devices, {admitted} admitted");
    Ok(())
}

async fn paused_in_the_middle_of_64_uses(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let token = token_for(&env, &["127.0.0.0/8"]).await?;
    let pause = async {
        let paused = TokenStatus::Paused;
        Ok(env.store.set_token_status(env.project, token.subject(), paused).await?)
    };
    in_the_middle(&env, &token, "enrollment-token-paused", pause).await
}

async fn closed_to_a_network_in_the_middle_of_64_uses(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let token = token_for(&env, &["127.0.0.0/8"]).await?;
    let close = async {
        // Removed, restored and removed again: an enrollment that was checked against the earlier
        // ranges must not succeed with them.
        for texts in [["127.0.0.1"], ["127.0.0.0/8"], ["127.0.0.1"]] {
            let address_ranges = Change::Set(ranges(&texts)?);
            let changes = TokenChanges { address_ranges, ..TokenChanges::default() };
            env.store.change_token(env.project, token.subject(), &changes).await?;
        }
        Ok(())
    };
    in_the_middle(&env, &token, "address-not-allowed", close).await
}

async fn capped_in_the_middle_of_64_uses(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let token = token_for(&env, &["127.0.0.0/8"]).await?;
    let cap = async {
        let changes = TokenChanges { device_cap: Change::Set(1), ..TokenChanges::default() };
        env.store.change_token(env.project, token.subject(), &changes).await?;
        Ok(())
    };
    in_the_middle(&env, &token, "device-cap-reached", cap).await
}

/// A late write does not replace a newer secret unseen, and a repeated one is recognized.
async fn a_regeneration_replaces_what_it_has_read(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let new = || {
        let rng = &mut UnwrapErr(SysRng);
        EnrollmentToken::generate(env.project, env.token.subject(), rng)
    };
    let (late, newer, last) = (new(), new(), new());
    let others = Store::new(env.direct.aws.dynamodb()?, &env.config.table_name);
    env.dynamodb.take();
    env.dynamodb.hold("UpdateItem");
    let (regenerated, overtaken) =
        tokio::join!(env.store.regenerate_token(&late, Timestamp::now()), async {
            env.dynamodb.holds_a_call().await?;
            others.regenerate_token(&newer, Timestamp::now()).await?;
            env.dynamodb.mend();
            anyhow::Ok(())
        });
    overtaken?;
    regenerated?;
    let calls = env.dynamodb.take();
    let writes = calls.iter().filter(|call| call.operation == "UpdateItem").count();
    ensure!(writes == 2, "the first of {writes} writes replaced what it had not read");
    env.api.enrolled(&late).await?;

    env.dynamodb.fail_after(0, "UpdateItem", 1, Fault::AnswerLost);
    env.store.regenerate_token(&last, Timestamp::now()).await?;
    env.api.enrolled(&last).await?;
    // The log tells a replaced token from an unknown one.
    let [pk, sk] = [format!("TOKENS#{}", env.project), last.subject().to_string()];
    let item = env.direct.aws.dynamodb()?.get_item().table_name(&env.config.table_name);
    let item =
        item.key("PK", AttributeValue::S(pk)).key("SK", AttributeValue::S(sk)).send().await?;
    let previous = item.item.context("the token")?.remove("previous_hash");
    ensure!(previous == Some(AttributeValue::S(late.hash().as_str().to_owned())), "{previous:?}");
    Ok(())
}

/// A write that arrives after an operator has changed the status again, and back, finds that out.
async fn a_late_write_changes_no_status(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let (project, token) = (env.project, env.token.subject());
    let device = env.api.enrolled(&env.token).await?.device_id;
    let others = Store::new(env.direct.aws.dynamodb()?, &env.config.table_name);
    let writes = || {
        let calls = env.dynamodb.take();
        calls.iter().filter(|call| call.operation == "UpdateItem").count()
    };
    others.set_token_status(project, token, TokenStatus::Paused).await?;
    env.dynamodb.take();
    env.dynamodb.hold("UpdateItem");
    let (resumed, meanwhile) =
        tokio::join!(env.store.set_token_status(project, token, TokenStatus::Active), async {
            env.dynamodb.holds_a_call().await?;
            for status in [TokenStatus::Active, TokenStatus::Paused] {
                others.set_token_status(project, token, status).await?;
            }
            env.dynamodb.mend();
            anyhow::Ok(())
        });
    meanwhile?;
    ensure!(matches!(resumed, Err(Error::Contended)) && writes() == 1, "{resumed:?}");
    let token = others.token(project, token).await?.context("the token")?;
    ensure!(token.status == TokenStatus::Paused, "the late write was carried out");

    others.set_device_enabled(device, false).await?;
    env.dynamodb.hold("UpdateItem");
    let (enabled, meanwhile) = tokio::join!(env.store.set_device_enabled(device, true), async {
        env.dynamodb.holds_a_call().await?;
        // The device is disabled already. That this was said nevertheless counts, too.
        ensure!(!others.set_device_enabled(device, false).await?);
        env.dynamodb.mend();
        Ok(())
    });
    meanwhile?;
    ensure!(matches!(enabled, Err(Error::Contended)) && writes() == 1, "{enabled:?}");
    let status = others.device(device).await?.context("the device")?.record.status;
    ensure!(status == DeviceStatus::Disabled, "the late write was carried out");

    // A command whose response is lost says what it did.
    env.dynamodb.fail_once("UpdateItem", Fault::AnswerLost);
    ensure!(env.store.set_device_enabled(device, true).await?);
    Ok(())
}
