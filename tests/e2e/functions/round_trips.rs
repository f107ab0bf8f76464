//! The number of AWS calls per request, counted on the wire.

use anyhow::ensure;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Call;
use birthcert_tests::env::Env;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![two_each_for_a_new_device]
}

async fn two_each_for_a_new_device(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    ensure!(operations(&env) == ["UpdateItem", "PutItem"]);

    // The function has not seen this project before, except for what it loaded at start.
    env.api.released(&device).await?;
    ensure!(operations(&env) == ["TransactWriteItems", "Sign"]);

    // The first attempt fails, and returns the device's item. The last write supersedes.
    let again = ["TransactWriteItems", "TransactWriteItems", "Sign", "TransactWriteItems"];
    env.api.released(&device).await?;
    ensure!(operations(&env) == again);

    // A key of the device's own costs no more, the first time or again.
    let csr = include_str!("../../fixtures/csr/p384.pem");
    let own = env.api.enrolled(&env.token).await?;
    operations(&env);
    env.api.certified(&own, csr).await?;
    ensure!(operations(&env) == ["TransactWriteItems", "Sign"]);
    env.api.certified(&own, csr).await?;
    ensure!(operations(&env) == again);
    // Another device's key is refused once the caller is known.
    env.api.certify(&device, csr).await?.problem(409, "key-in-use", &[])?;
    ensure!(operations(&env) == ["TransactWriteItems", "TransactWriteItems"]);

    let unknown = device.device_token.replace("dt_", "et_");
    env.api.enroll(&unknown).await?;
    ensure!(operations(&env).is_empty(), "a mistyped token costs nothing");
    Ok(())
}

/// Returns the calls since the last time, in order, after checking that each ended before the next
/// began.
fn operations(env: &Env) -> Vec<String> {
    let mut calls: Vec<Call> = [env.dynamodb.take(), env.kms.take()].concat();
    calls.sort_by_key(|call| call.started);
    assert!(calls.windows(2).all(|pair| pair[0].ended <= pair[1].started), "not in sequence");
    calls.into_iter().map(|call| call.operation).collect()
}
