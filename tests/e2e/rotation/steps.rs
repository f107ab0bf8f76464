//! The steps of a rotation: dry runs, repetition, interruption and concurrency.

use anyhow::{Context as _, ensure};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::{Env, YEAR};
use birthcert_tests::operator::Operator;
use futures_util::future::join_all;
use ledger::store::ActivationOutcome;
use ledger::{Error, OperatorError};
use pki::authority::{AuthorityName, AuthorityStatus};
use pki::clock::Timestamp;
use pki::profile::Usage;

use super::setup::{expect, hand_in, prepared, start};

pub(super) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        each_step_is_rehearsed_and_may_be_repeated,
        an_interrupted_rotation_goes_on,
        a_write_whose_acknowledgement_was_lost,
        two_operators_switch_at_once,
        one_retires_what_another_activates,
    ]
}

async fn each_step_is_rehearsed_and_may_be_repeated(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let second = env.certified("device-2", 60 * YEAR).await?;
    let prepare = format!("ca prepare {}", hand_in(&operator, &second)?);
    let (old, new, server) = (("device", "active"), ("device-2", "prepared"), ("server", "active"));

    // The name is the next number, and repeating the command with the same certificate keeps it.
    let rehearsed = operator.done(&prepare).await?;
    ensure!(rehearsed.contains("record the CA \"device-2\" as prepared"), "{rehearsed}");
    ensure!(rehearsed.contains("Certificate of CN=Test device-2 CA"), "{rehearsed}");
    expect(&operator, &[old, server]).await?;
    for changed in [true, false] {
        let said = operator.json(&format!("{prepare} --yes")).await?;
        ensure!(said["name"] == "device-2" && said["changed"] == changed, "{said}");
        expect(&operator, &[old, new, server]).await?;
    }
    let said = operator.done(&prepare).await?;
    ensure!(said.contains("The CA \"device-2\" is already prepared."), "{said}");

    let rehearsed = operator.json("ca activate --name device-2").await?;
    let steps = rehearsed["steps"].as_array().context("steps")?;
    ensure!(steps.len() == 2 && rehearsed["dry_run"] == true, "{rehearsed}");
    expect(&operator, &[old, new, server]).await?;
    let switched = operator.json("ca activate --name device-2 --yes").await?;
    ensure!(switched["changed"] == true && switched["retired"] == "device", "{switched}");
    let again = operator.json("ca activate --name device-2").await?;
    ensure!(again["changed"] == false && again["retired"].is_null(), "{again}");
    let (old, new) = (("device", "retired"), ("device-2", "active"));
    expect(&operator, &[old, new, server]).await?;

    let shown = operator.json("ca show device-2").await?;
    ensure!(shown["status"] == "active" && shown["key_arn"] == second.key_arn.as_str(), "{shown}");
    ensure!(shown["certificate"]["subject"] == "CN=Test device-2 CA", "{shown}");
    let days = shown["days_left"].as_u64().context("days")?;
    ensure!((21_900..=21_915).contains(&days), "{days} of sixty years");
    let text = operator.done("ca show device").await?;
    for words in ["retired since", "key in KMS", "http://crl.example.com/device.crl", "SHA-256"] {
        ensure!(text.contains(words), "no {words} in {text}");
    }
    let table = operator.done("ca list").await?;
    ensure!(table.starts_with("NAME      STATUS   SINCE"), "{table}");
    Ok(())
}

/// The operator who continues has no files of the one who began.
async fn an_interrupted_rotation_goes_on(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    prepared(&env, &operator, "device-2").await?;
    let other = Operator::of_env(&env)?;
    expect(&other, &[("device", "active"), ("device-2", "prepared"), ("server", "active")]).await?;
    other.done("ca activate --name device-2 --yes").await?;

    // Abandoned after preparing, and resumed.
    prepared(&env, &other, "device-3").await?;
    for changed in [true, false] {
        let said = operator.json("ca retire device-3 --yes").await?;
        ensure!(said["status"] == "retired" && said["changed"] == changed, "{said}");
    }
    let said = operator.done("ca retire device-3").await?;
    ensure!(said.contains("is already retired"), "{said}");
    operator.done("ca activate --name device-3 --yes").await?;
    expect(
        &operator,
        &[
            ("device", "retired"),
            ("device-2", "retired"),
            ("device-3", "active"),
            ("server", "active"),
        ],
    )
    .await?;

    // The first CA of a usage, recorded and not activated.
    let service = env.certified("service", YEAR).await?;
    env.store.prepare_authority(&service).await?;
    let activate = format!("ca activate {} --yes", hand_in(&operator, &service)?);
    for changed in [true, false] {
        let said = operator.json(&activate).await?;
        ensure!(said["status"] == "active" && said["changed"] == changed, "{said}");
    }
    Ok(())
}

async fn a_write_whose_acknowledgement_was_lost(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    // The SDK retries, and recognizes its own write.
    env.dynamodb.fail_once("PutItem", Fault::AnswerLost);
    prepared(&env, &operator, "device-2").await?;
    prepared(&env, &operator, "device-3").await?;
    env.dynamodb.fail_once("TransactWriteItems", Fault::AnswerLost);
    operator.done("ca retire device-3 --yes").await?;
    env.dynamodb.fail_once("TransactWriteItems", Fault::AnswerLost);
    operator.done("ca activate --name device-2 --yes").await?;
    let switched = [("device", "retired"), ("device-2", "active"), ("device-3", "retired")];
    expect(&operator, &[&switched[..], &[("server", "active")]].concat()).await?;

    // No request arrives: nothing changed, and repeating the command succeeds.
    env.dynamodb.fail("TransactWriteItems", Fault::Away);
    let activate = "ca activate --name device --yes";
    operator.refused(activate, 1, &["DynamoDB is unavailable"]).await?;
    env.dynamodb.mend();
    expect(&operator, &[&switched[..], &[("server", "active")]].concat()).await?;
    operator.done(activate).await.map(drop)
}

/// Returns the only active CA.
async fn active(env: &Env) -> anyhow::Result<AuthorityName> {
    let all = env.store.authorities().await?;
    let devices = all.iter().filter(|it| it.record.name.usage() == Usage::Device);
    let active: Vec<_> = devices.filter(|it| it.status == AuthorityStatus::Active).collect();
    ensure!(active.len() == 1, "{} are active", active.len());
    let name = active[0].record.name.clone();
    let issuing = env.store.active_authority(Usage::Device).await?.context("none issues")?;
    ensure!(issuing.name == name);
    Ok(name)
}

async fn two_operators_switch_at_once(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let mut names: Vec<AuthorityName> = Vec::new();
    for number in 2..=5 {
        names.push(prepared(&env, &operator, &format!("device-{number}")).await?.name);
    }
    let first: AuthorityName = "device".parse()?;
    let switch = |name| env.store.activate_authority(name, Some(&first), Timestamp::now());
    let outcomes = join_all(names.iter().map(switch)).await;
    let mut winners = Vec::new();
    for (name, outcome) in names.iter().zip(outcomes) {
        match outcome {
            Ok(outcome) => {
                ensure!(outcome == ActivationOutcome::Activated);
                winners.push(name.clone());
            }
            Err(ledger::Error::Operator(OperatorError::AuthorityStatus {
                status: AuthorityStatus::Active,
                ..
            })) => {}
            Err(Error::Contended) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // None, if each blocked the other.
    ensure!(winners.len() <= 1, "{winners:?}");
    let now = active(&env).await?;
    ensure!(now == winners.first().cloned().unwrap_or(first), "{now}");
    Ok(())
}

async fn one_retires_what_another_activates(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let first: AuthorityName = "device".parse()?;
    for number in 2..=4 {
        let name = prepared(&env, &operator, &format!("device-{number}")).await?.name;
        let before = active(&env).await?;
        let (retired, activated) = tokio::join!(
            env.store.retire_authority(&name, Timestamp::now()),
            env.store.activate_authority(&name, Some(&before), Timestamp::now()),
        );
        let now = active(&env).await?;
        // In either order: a CA is retired only if it does not issue.
        match (&retired, &activated) {
            (_, Ok(_)) => ensure!(now == name, "{retired:?} {activated:?}"),
            (_, Err(Error::Contended)) => ensure!(now == before, "{retired:?} {activated:?}"),
            _ => anyhow::bail!("{retired:?} {activated:?}"),
        }
        ensure!(matches!(
            retired,
            Ok(true)
                | Err(ledger::Error::Operator(OperatorError::AuthorityStatus { .. })
                    | Error::Contended)
        ));
        env.store.activate_authority(&first, Some(&now), Timestamp::now()).await?;
    }
    Ok(())
}
