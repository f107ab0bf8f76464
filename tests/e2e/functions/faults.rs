//! Faults of the AWS services: each gives its status, releases nothing, signs nothing that is not
//! on the ledger, and leaves a device that works once the fault is over.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::{Env, Setup, YEAR};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use identity::Identity;
use lambda::Error;
use lambda::runtime::Runtime;
use ledger::IssuerFault;
use ledger::store::{Policy, ProjectRecord};
use ledger::{OperatorError, aws::AwsService};
use pki::authority::Authority;
use pki::clock::Timestamp;
use pki::names::ProjectId;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        kms_fails_and_takes_no_issuance_with_it,
        kms_signs_wrongly,
        kms_has_another_key_at_cold_start,
        dynamodb_fails_while_a_device_enrolls,
        dynamodb_fails_before_the_signature,
        a_record_whose_acknowledgement_was_lost,
        an_enrollment_whose_acknowledgement_was_lost,
        a_new_project_whose_acknowledgement_was_lost,
        a_cold_start_while_aws_is_away,
        the_ca_is_missing,
        the_ca_expires_before_the_leaf,
        the_table_is_missing,
    ]
}

const QUIET: Runtime = Runtime { log: |_| {}, ..Runtime::LAMBDA };

/// Returns an [`Env`] whose policy allows one issuance, so that losing it to a fault shows.
async fn frugal(emulators: &Emulators, backend: Backend) -> anyhow::Result<Env> {
    let setup = Setup { policy: Policy::new(365, 24, 1)?, ..Setup::default() };
    Env::with(emulators, backend, setup).await
}

async fn kms_fails_and_takes_no_issuance_with_it(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = frugal(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let faults = [
        (Fault::Throttled, "busy"),
        (Fault::ServerError, "unavailable"),
        (Fault::Away, "unavailable"),
        (Fault::AnswerLost, "unavailable"),
    ];
    for (fault, slug) in faults {
        env.kms.fail("Sign", fault);
        let answer = env.api.identity(&device.device_token).await?;
        env.kms.mend();
        answer.problem(503, slug, &[&device.device_token]).with_context(|| format!("{fault:?}"))?;
    }
    let identity = env.api.released(&device).await?;

    let entries = env.store.device_certificates(device.device_id).await?;
    ensure!(entries.len() == faults.len() + 1);
    for entry in &entries {
        let released = entry.serial_number == identity.serial_number;
        ensure!(entry.withdrawn_at.is_none() == released, "{entry:?}");
        // Nobody has the others, so that none of them enters the CRL.
        ensure!(entry.revoked_at.is_none(), "{entry:?}");
    }
    // The only issuance is used up now.
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(429, "issuance-limit-reached", &[])?;
    env.verify_ledger(&[device]).await
}

async fn kms_signs_wrongly(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = frugal(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.kms.fail("Sign", Fault::WrongSignature);
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(500, "internal-error", &[&device.device_token])?;
    ensure!(!answer.text.contains("BEGIN"), "released");
    env.kms.mend();
    env.api.released(&device).await?;
    env.verify_ledger(&[device]).await
}

async fn kms_has_another_key_at_cold_start(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    env.kms.fail("GetPublicKey", Fault::OtherKey);
    let started = Identity::start(&env.config, QUIET).await;
    let fault = authority_fault(started.err())?;
    ensure!(matches!(fault, IssuerFault::KeyMismatch { .. }), "{fault}");
    env.kms.mend();
    Identity::start(&env.config, QUIET).await?;
    Ok(())
}

async fn dynamodb_fails_while_a_device_enrolls(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let token = env.token.expose();
    for operation in ["UpdateItem", "PutItem"] {
        for (fault, slug) in [
            (Fault::Throttled, "busy"),
            (Fault::ServerError, "unavailable"),
            (Fault::Away, "unavailable"),
        ] {
            env.dynamodb.fail(operation, fault);
            let answer = env.api.enroll(&token).await?;
            env.dynamodb.mend();
            let case = || format!("{operation} {fault:?}");
            answer.problem(503, slug, &[&token]).with_context(case)?;
        }
    }
    ensure!(env.store.devices(env.project, None).await?.is_empty());
    ensure!(uses(&env).await? == 0, "uses that came to nothing are given back");
    env.api.enrolled(&env.token).await?;
    ensure!(uses(&env).await? == 1);
    Ok(())
}

async fn uses(env: &Env) -> anyhow::Result<u64> {
    let token = env.store.token(env.project, env.token.subject()).await?;
    Ok(token.context("the token")?.uses)
}

async fn dynamodb_fails_before_the_signature(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = frugal(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    for (fault, slug) in [
        (Fault::Throttled, "busy"),
        (Fault::Conflict, "busy"),
        (Fault::ServerError, "unavailable"),
        (Fault::Away, "unavailable"),
    ] {
        env.dynamodb.fail("TransactWriteItems", fault);
        let answer = env.api.identity(&device.device_token).await?;
        env.dynamodb.mend();
        answer.problem(503, slug, &[&device.device_token]).with_context(|| format!("{fault:?}"))?;
    }
    ensure!(env.kms.take().is_empty(), "KMS was asked without a record");
    ensure!(env.store.device_certificates(device.device_id).await?.is_empty());
    env.api.released(&device).await?;
    env.verify_ledger(&[device]).await
}

async fn a_record_whose_acknowledgement_was_lost(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.dynamodb.fail("TransactWriteItems", Fault::AnswerLost);
    let answer = env.api.identity(&device.device_token).await?;
    env.dynamodb.mend();
    answer.problem(503, "unavailable", &[&device.device_token])?;
    ensure!(env.kms.take().is_empty(), "KMS was asked without a record");

    // However often the SDK retried, the ledger has exactly one entry without a certificate. Its withdrawal
    // happened too, although the response was lost again.
    let entries = env.store.device_certificates(device.device_id).await?;
    ensure!(entries.len() == 1, "{} entries", entries.len());

    // The same if the SDK's last attempt fails for another reason.
    env.dynamodb.fail_once("TransactWriteItems", Fault::AnswerLost);
    env.dynamodb.fail_after(0, "TransactWriteItems", 2, Fault::Throttled);
    let answer = env.api.identity(&device.device_token).await?;
    env.dynamodb.mend();
    ensure!(answer.status == 503, "{}", answer.text);
    let state = env.store.device(device.device_id).await?.context("the device")?;
    ensure!(state.issued == 0, "{} issuances of nothing count", state.issued);

    let identity = env.api.released(&device).await?;
    let entries = env.store.device_certificates(device.device_id).await?;
    let live: Vec<_> = entries.iter().filter(|it| it.withdrawn_at.is_none()).collect();
    ensure!(live.len() == 1 && live[0].serial_number == identity.serial_number);
    env.verify_ledger(&[device]).await
}

async fn an_enrollment_whose_acknowledgement_was_lost(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    // The SDK retries, and recognizes its own writes: the use counts once.
    env.dynamodb.fail_once("UpdateItem", Fault::AnswerLost);
    env.dynamodb.fail_once("PutItem", Fault::AnswerLost);
    let device = env.api.enrolled(&env.token).await?;
    ensure!(env.store.devices(env.project, None).await?.len() == 1);
    ensure!(uses(&env).await? == 1);

    // The last attempt of the SDK fails for another reason than the first, which was carried out.
    let token = env.token.expose();
    for operation in ["UpdateItem", "PutItem"] {
        env.dynamodb.fail_once(operation, Fault::AnswerLost);
        env.dynamodb.fail_after(0, operation, 2, Fault::Throttled);
        let answer = env.api.enroll(&token).await?;
        env.dynamodb.mend();
        // The SDK does not retry if many calls of this process failed lately: then it is not the throttling
        // that is reported.
        match operation {
            "UpdateItem" => ensure!(answer.status == 503, "{}", answer.text),
            // The device was added.
            _ => drop(answer.success::<Enrolled>()?),
        }
    }
    ensure!(uses(&env).await? == 2);
    ensure!(env.store.devices(env.project, None).await?.len() == 2);

    // No response arrives however often the SDK retries. The use is given back, as nobody else enrolled.
    env.dynamodb.fail("UpdateItem", Fault::AnswerLost);
    env.api.enroll(&token).await?.problem(503, "unavailable", &[&token])?;
    env.dynamodb.mend();
    ensure!(uses(&env).await? == 2);
    // The device was added, so that its use counts, and the device learns its token.
    env.dynamodb.fail("PutItem", Fault::AnswerLost);
    let other = env.api.enrolled(&env.token).await?;
    env.dynamodb.mend();
    ensure!(uses(&env).await? == 3);
    env.api.released(&other).await?;
    env.api.released(&device).await?;
    env.verify_ledger(&[device, other]).await
}

/// A lost acknowledgement does not tell an operator that the new project existed already.
async fn a_new_project_whose_acknowledgement_was_lost(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let known = env.store.project(env.project).await?.context("a project")?;
    let project_id = ProjectId::generate(&mut UnwrapErr(SysRng));
    let project = ProjectRecord { project_id, name: "lost".parse()?, ..known.clone() };
    env.dynamodb.fail_once("PutItem", Fault::AnswerLost);
    env.store.create_project(&project).await?;
    let other = ProjectRecord { project_id, ..known };
    let again = env.store.create_project(&other).await;
    ensure!(matches!(again, Err(ledger::Error::Operator(OperatorError::Exists(_)))), "{again:?}");
    let kept = env.store.project(project_id).await?.context("a project")?;
    ensure!(kept.name.as_str() == "lost");
    Ok(())
}

/// A function that starts during an outage answers, and recovers by itself.
async fn a_cold_start_while_aws_is_away(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let identity = |function: Identity, token: String| async move {
        let request = http::Request::builder()
            .header("authorization", format!("Bearer {token}"))
            .uri("/identity")
            .body(lambda_http::Body::Empty)?;
        let request = lambda_http::RequestExt::with_raw_http_path(request, "/identity");
        let answer = function.handle(request).await;
        anyhow::Ok((function, answer.status().as_u16()))
    };
    for (proxy, operation) in [(&env.kms, "GetPublicKey"), (&env.dynamodb, "Query")] {
        for fault in [Fault::Away, Fault::Throttled, Fault::ServerError] {
            proxy.fail(operation, fault);
            let function = Identity::start(&env.config, QUIET).await?;
            let (function, status) = identity(function, device.device_token.clone()).await?;
            ensure!(status == 503, "{operation} {fault:?}: {status}");
            proxy.mend();
            let (_, status) = identity(function, device.device_token.clone()).await?;
            ensure!(status == 200, "{operation} {fault:?}, mended: {status}");
        }
    }
    env.verify_ledger(&[device]).await
}

/// Seconds by which this suite's clock is ahead; only grows.
static AHEAD: AtomicU64 = AtomicU64::new(0);

fn ahead() -> Timestamp {
    Timestamp::now().plus(AHEAD.load(Ordering::SeqCst))
}

async fn the_ca_is_missing(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let setup = Setup { clock: ahead, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.api.released(&device).await?;

    let record = env.store.authority("device").await?.context("it is there")?;
    let delete = env.config.aws.dynamodb()?.delete_item().table_name(&env.config.table_name);
    let key = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.into());
    delete.key("PK", key("CA#device")).key("SK", key("ACTIVE")).send().await?;

    // A function that starts now reports what is missing, and does not serve.
    let started = Identity::start(&env.config, QUIET).await;
    ensure!(authority_fault(started.err())? == IssuerFault::Missing);
    // A running function notices within a minute.
    AHEAD.fetch_add(lambda::cache::LIFETIME_SECONDS + 1, Ordering::SeqCst);
    env.kms.take();
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(503, "ca-unavailable", &[&device.device_token])?;
    ensure!(env.kms.take().is_empty(), "KMS was asked");

    env.store.activate_authority(&record.name, None, Timestamp::now()).await?;
    env.api.released(&device).await?;
    env.verify_ledger(&[device]).await
}

/// A certificate does not outlive its CA.
async fn the_ca_expires_before_the_leaf(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = Setup { device_ca_seconds: 29 * YEAR, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let device = env.api.enrolled(&env.token).await?;
    let identity = env.api.released(&device).await?;
    let record = env.store.authority("device").await?.context("the CA")?;
    let authority = Authority::try_from(record)?;
    ensure!(identity.not_after == authority.not_after().to_string(), "{}", identity.not_after);
    env.verify_ledger(&[device]).await
}

async fn the_table_is_missing(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let dynamodb = env.config.aws.dynamodb()?;
    dynamodb.delete_table().table_name(&env.config.table_name).send().await?;

    let token = env.token.expose();
    env.api.enroll(&token).await?.problem(503, "unavailable", &[&token])?;
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(503, "unavailable", &[&device.device_token])?;
    ensure!(env.kms.take().is_empty(), "KMS was asked");
    ensure!(matches!(
        Identity::start(&env.config, QUIET).await.err(),
        Some(Error::Ledger(ledger::Error::Refused { service: AwsService::DynamoDb, .. }))
    ));
    ensure!(matches!(
        enroll::Enroll::start(&env.config, QUIET).await.err(),
        Some(Error::Ledger(ledger::Error::Refused { service: AwsService::DynamoDb, .. }))
    ));
    Ok(())
}

fn authority_fault(error: Option<Error>) -> anyhow::Result<IssuerFault> {
    match error {
        Some(Error::Ledger(ledger::Error::Issuer { fault, .. })) => Ok(fault),
        Some(error) => Err(error.into()),
        None => anyhow::bail!("the function started"),
    }
}
