//! Races between an operator's changes and enrollments with the token: an acknowledged change holds
//! for every request that begins afterwards.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use futures_util::future::join_all;
use ledger::store::{Change, TokenChanges, TokenStatus};
use pki::token::EnrollmentToken;

use super::address_ranges::{ranges, token_for};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        paused_in_the_middle_of_64_uses,
        closed_to_a_network_in_the_middle_of_64_uses,
        capped_in_the_middle_of_64_uses,
    ]
}

/// Enrolls 64 times from 127.0.0.5 while `change` is made: half start before it, the others during
/// it and after. Every enrollment that begins afterwards gets the 403 of `slug`, and the token's
/// count equals the enrollments let in.
async fn in_the_middle(
    env: &Env,
    token: &EnrollmentToken,
    slug: &str,
    change: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let text = token.expose();
    let api = env.api.from_address(IpAddr::from([127, 0, 0, 5]))?;
    // One beforehand, so that a cap of one is reached.
    api.enrolled(token).await?;
    let enroll = |place: u64| {
        let (api, text) = (&api, &text);
        async move {
            if place >= 32 {
                tokio::time::sleep(Duration::from_millis(place - 32)).await;
            }
            let began = Instant::now();
            anyhow::Ok((began, api.enroll(text).await?))
        }
    };
    let change = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        change.await?;
        anyhow::Ok(Instant::now())
    };
    let (answers, acknowledged) = tokio::join!(join_all((0..64).map(enroll)), change);
    let acknowledged = acknowledged?;
    let mut admitted = 1;
    for answer in answers {
        let (began, answer) = answer?;
        if answer.status == 200 {
            ensure!(began < acknowledged, "the token enrolled after its change");
            admitted += 1;
        } else {
            answer.problem(403, slug, &[&text])?;
        }
    }
    // One more, certainly after it.
    api.enroll(&text).await?.problem(403, slug, &[&text])?;
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
