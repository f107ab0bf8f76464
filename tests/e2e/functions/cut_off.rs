//! Issuances that fail, hang or are cut off: the device keeps the certificate that it has, and the
//! issuance does not count.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::{Call, Fault};
use birthcert_tests::env::{Env, Setup};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use http::Request;
use identity::Identity;
use lambda::runtime::Runtime;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Context, RequestExt as _};
use ledger::store::{CertificateStatus, Policy};
use pki::clock::Timestamp;
use pki::crl::RevocationReason;
use pki::token::DeviceToken;
use serde_json::Value;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_failed_issuance_leaves_the_good_certificate,
        a_killed_issuance_leaves_the_good_certificate,
        what_was_cut_off_is_given_back,
        a_supersession_whose_acknowledgement_was_lost,
        an_issuance_that_was_withdrawn_meanwhile_releases_nothing,
        an_overtaken_request_takes_nothing_away,
        a_superseded_certificate_is_not_released,
        nothing_is_recorded_without_time_to_sign,
        kms_hangs_until_the_deadline,
        single_writes_wait_for_transactions,
        guesses_are_refused_by_a_read,
    ]
}

/// Seconds by which the clock of each [`Strict`] is ahead.
static AHEAD: [AtomicU64; 36] = [const { AtomicU64::new(0) }; 36];
/// The number of clocks in use.
static CLOCKS_USED: AtomicUsize = AtomicUsize::new(0);
const CLOCKS: [fn() -> Timestamp; 36] = [
    clock::<0>,
    clock::<1>,
    clock::<2>,
    clock::<3>,
    clock::<4>,
    clock::<5>,
    clock::<6>,
    clock::<7>,
    clock::<8>,
    clock::<9>,
    clock::<10>,
    clock::<11>,
    clock::<12>,
    clock::<13>,
    clock::<14>,
    clock::<15>,
    clock::<16>,
    clock::<17>,
    clock::<18>,
    clock::<19>,
    clock::<20>,
    clock::<21>,
    clock::<22>,
    clock::<23>,
    clock::<24>,
    clock::<25>,
    clock::<26>,
    clock::<27>,
    clock::<28>,
    clock::<29>,
    clock::<30>,
    clock::<31>,
    clock::<32>,
    clock::<33>,
    clock::<34>,
    clock::<35>,
];

fn clock<const N: usize>() -> Timestamp {
    Timestamp::now().plus(AHEAD[N].load(Ordering::SeqCst))
}

/// An authority without a grace period, with a clock of its own.
struct Strict {
    env: Env,
    clock: usize,
}

impl Deref for Strict {
    type Target = Env;

    fn deref(&self) -> &Env {
        &self.env
    }
}

impl Strict {
    /// Starts an authority that issues `limit` certificates to a device.
    async fn start(emulators: &Emulators, backend: Backend, limit: u32) -> anyhow::Result<Self> {
        let number = CLOCKS_USED.fetch_add(1, Ordering::SeqCst);
        let clock = *CLOCKS.get(number).context("too few clocks")?;
        let setup = Setup { policy: Policy::new(365, 0, limit)?, clock, ..Setup::default() };
        Ok(Self { env: Env::with(emulators, backend, setup).await?, clock: number })
    }

    fn now(&self) -> Timestamp {
        CLOCKS[self.clock]()
    }

    fn advance(&self, seconds: u64) {
        AHEAD[self.clock].fetch_add(seconds, Ordering::SeqCst);
    }

    /// Returns true if a certificate is good, and not about to become anything else.
    async fn is_good(&self, device: &Enrolled, serial: &str) -> anyhow::Result<bool> {
        let entries = self.store.device_certificates(device.device_id).await?;
        let entry = entries.into_iter().find(|it| it.serial_number == serial);
        let tomorrow = self.now().plus(24 * 60 * 60);
        Ok(entry.context("the entry")?.status(tomorrow) == CertificateStatus::Good)
    }

    async fn issued(&self, device: &Enrolled) -> anyhow::Result<u32> {
        Ok(self.store.device(device.device_id).await?.context("the device")?.issued)
    }

    /// Starts another instance of the function.
    async fn function(&self) -> anyhow::Result<Identity> {
        let runtime = Runtime { clock: CLOCKS[self.clock], log: |_| {} };
        let function = Identity::start(&self.config, runtime).await?;
        self.dynamodb.take();
        self.kms.take();
        Ok(function)
    }

    /// Asks another instance of the function, which is killed after a moment. It must not have answered.
    async fn ask_and_kill(&self, device: &Enrolled) -> anyhow::Result<()> {
        let function = self.function().await?;
        let answer = function.handle(request(device)?);
        let answer = tokio::time::timeout(Duration::from_millis(700), answer).await;
        ensure!(answer.is_err(), "not killed");
        Ok(())
    }

    /// Asks another instance of the function, which has `time` left. Returns the status.
    async fn ask_in(&self, device: &Enrolled, time: Duration) -> anyhow::Result<u16> {
        let function = self.function().await?;
        let mut context = Context::default();
        context.deadline = u64::try_from((unix_time()? + time).as_millis())?;
        let answer = function.handle(request(device)?.with_lambda_context(context));
        let answer = tokio::time::timeout(time, answer).await;
        Ok(answer.context("Lambda would have ended the function")?.status().as_u16())
    }
}

/// Of two requests at once, the one that is verified last may have been recorded first.
async fn a_superseded_certificate_is_not_released(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    a_slow_signature_is_too_late(emulators, backend, 3, 0).await
}

/// Makes KMS sign slowly for a re-issue, while the device obtains another certificate `later`, in seconds by the
/// functions' clock. The slow request must release nothing, and not count.
async fn a_slow_signature_is_too_late(
    emulators: &Emulators,
    backend: Backend,
    limit: u32,
    later: u64,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, limit).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.api.released(&device).await?;
    let slow = env.function().await?;
    let request = request(&device)?;
    env.kms.fail("Sign", Fault::Slow);
    let (answer, second) = tokio::join!(slow.handle(request), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        env.kms.mend();
        env.advance(later);
        env.api.released(&device).await
    });
    let second = second?.serial_number;
    ensure!(answer.status() == 503, "{}", answer.status());
    ensure!(env.is_good(&device, &second).await? && env.issued(&device).await? == 2);
    env.verify_ledger(&[device]).await
}

/// Returns a request that reached API Gateway now.
fn request(device: &Enrolled) -> anyhow::Result<Request<Body>> {
    arriving(device, u64::try_from(unix_time()?.as_millis())?)
}

/// Returns a request that reached API Gateway at `arrival`, in milliseconds since the Unix epoch.
fn arriving(device: &Enrolled, arrival: u64) -> anyhow::Result<Request<Body>> {
    let mut context = ApiGatewayV2httpRequestContext::default();
    context.time_epoch = arrival.try_into()?;
    Ok(Request::builder()
        .uri("/identity")
        .header("authorization", format!("Bearer {}", device.device_token))
        .body(Body::Empty)?
        .with_raw_http_path("/identity")
        .with_request_context(RequestContext::ApiGatewayV2(context)))
}

fn unix_time() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

async fn a_failed_issuance_leaves_the_good_certificate(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, 3).await?;
    let device = env.api.enrolled(&env.token).await?;
    let first = env.api.released(&device).await?.serial_number;
    for fault in [Fault::Throttled, Fault::Away, Fault::AnswerLost, Fault::WrongSignature] {
        env.kms.fail("Sign", fault);
        let answer = env.api.identity(&device.device_token).await?;
        env.kms.mend();
        ensure!(matches!(answer.status, 500 | 503), "{fault:?}: {}", answer.status);
        ensure!(env.is_good(&device, &first).await?, "{fault:?} took the certificate away");
        ensure!(env.issued(&device).await? == 1, "{fault:?} counts");
    }
    // Neither does a failure to supersede, which comes after the signature.
    for fault in [Fault::Away, Fault::ServerError] {
        env.dynamodb.fail_after(2, "TransactWriteItems", usize::MAX, fault);
        let answer = env.api.identity(&device.device_token).await?;
        env.dynamodb.mend();
        answer.problem(503, "unavailable", &[])?;
        ensure!(env.is_good(&device, &first).await?, "{fault:?} took the certificate away");
    }
    // These two could not be withdrawn either, and count until the limit is reached.
    ensure!(env.issued(&device).await? == 3);
    env.advance(61);
    let second = env.api.released(&device).await?.serial_number;
    ensure!(!env.is_good(&device, &first).await? && env.is_good(&device, &second).await?);
    ensure!(env.issued(&device).await? == 2);
    env.verify_ledger(&[device]).await
}

async fn a_killed_issuance_leaves_the_good_certificate(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, 10).await?;
    let device = env.api.enrolled(&env.token).await?;
    let first = env.api.released(&device).await?.serial_number;
    // Before each of the calls that an issuance makes.
    for skip in 0..3 {
        env.dynamodb.fail_after(skip, "TransactWriteItems", 1, Fault::Hang);
        env.ask_and_kill(&device).await?;
        env.dynamodb.mend();
        ensure!(env.is_good(&device, &first).await?, "killed before write {skip}");
    }
    // The first call is the check at start.
    env.kms.fail_after(1, "Sign", 1, Fault::Hang);
    env.ask_and_kill(&device).await?;
    env.kms.mend();
    ensure!(env.is_good(&device, &first).await?, "killed before the signature");

    let second = env.api.released(&device).await?.serial_number;
    let now = env.now();
    for entry in env.store.device_certificates(device.device_id).await? {
        let is_newest = entry.serial_number == second;
        ensure!((entry.status(now) == CertificateStatus::Good) == is_newest, "{entry:?}");
    }
    env.verify_ledger(&[device]).await
}

async fn what_was_cut_off_is_given_back(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, 3).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.api.released(&device).await?;
    env.kms.fail_after(1, "Sign", usize::MAX, Fault::Hang);
    env.ask_and_kill(&device).await?;
    env.kms.mend();
    // It supersedes the one that was cut off.
    env.api.released(&device).await?;
    ensure!(env.issued(&device).await? == 3);

    // It may still be running.
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(429, "issuance-limit-reached", &[])?;
    env.advance(61);
    env.api.released(&device).await?;
    ensure!(env.issued(&device).await? == 3);
    // Given back once, not each time.
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(429, "issuance-limit-reached", &[])?;
    env.verify_ledger(&[device]).await
}

async fn a_supersession_whose_acknowledgement_was_lost(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, 2).await?;
    let device = env.api.enrolled(&env.token).await?;
    let first = env.api.released(&device).await?.serial_number;
    // No response arrives, so that the withdrawal that follows has to learn what happened. Its own arrives.
    env.dynamodb.fail_after(2, "TransactWriteItems", 3, Fault::AnswerLost);
    let second = env.api.released(&device).await?.serial_number;
    env.dynamodb.mend();
    ensure!(!env.is_good(&device, &first).await? && env.is_good(&device, &second).await?);
    ensure!(env.issued(&device).await? == 2);
    env.verify_ledger(&[device]).await
}

/// A function that was frozen for minutes goes on with an issuance that was given back meanwhile.
async fn an_issuance_that_was_withdrawn_meanwhile_releases_nothing(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    a_slow_signature_is_too_late(emulators, backend, 2, 61).await
}

/// A device that gives up waiting and asks again has the second answer, also if the first request is slow because
/// of a cold start, and reads the clock late.
async fn an_overtaken_request_takes_nothing_away(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, 10).await?;
    let device = env.api.enrolled(&env.token).await?;
    let first = env.api.released(&device).await?.serial_number;
    let function = env.function().await?;
    let ask = async |arrival| {
        let answer = function.handle(arriving(&device, arrival)?).await;
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_slice(answer.body())?;
        anyhow::Ok((status, body["serial_number"].as_str().unwrap_or_default().to_owned()))
    };
    let later = Timestamp::now().plus(1).unix() * 1_000;
    let (status, second) = ask(later).await?;
    ensure!(status == 200, "{status}");
    env.advance(30);
    for earlier in [later - 1, later - 60_000] {
        let (status, _) = ask(earlier).await?;
        ensure!(status == 503, "{earlier}: {status}");
        ensure!(env.is_good(&device, &second).await? && !env.is_good(&device, &first).await?);
    }
    ensure!(env.issued(&device).await? == 2, "the refused request counts");

    // The same time is no earlier one, and a clock that is minutes fast keeps no device out.
    for arrival in [later, later - 60_001] {
        let (status, _) = ask(arrival).await?;
        ensure!(status == 200, "{arrival}: {status}");
    }
    env.verify_ledger(&[device]).await
}

async fn nothing_is_recorded_without_time_to_sign(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, 1).await?;
    let device = env.api.enrolled(&env.token).await?;
    ensure!(env.ask_in(&device, Duration::from_secs(5)).await? == 503);
    ensure!(env.dynamodb.take().is_empty() && env.kms.take().is_empty(), "began in vain");
    ensure!(env.issued(&device).await? == 0);
    env.api.released(&device).await?;
    env.verify_ledger(&[device]).await
}

async fn kms_hangs_until_the_deadline(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, 1).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.kms.fail_after(1, "Sign", usize::MAX, Fault::Hang);
    // The withdrawal is done, too, before Lambda would end the function.
    ensure!(env.ask_in(&device, Duration::from_secs(13)).await? == 503);
    env.kms.mend();
    ensure!(env.issued(&device).await? == 0);
    env.api.released(&device).await?;
    env.verify_ledger(&[device]).await
}

/// A device that keeps requesting certificates does not make an operator's commands fail.
async fn single_writes_wait_for_transactions(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, 1).await?;
    let device = env.api.enrolled(&env.token).await?.device_id;
    let conflict = || env.dynamodb.fail_once("UpdateItem", Fault::SingleConflict);
    conflict();
    env.store.lift_issuance_limit(device, Some(3)).await?;
    conflict();
    env.store.label_device(device, Some(&"pump".parse()?)).await?;
    conflict();
    ensure!(env.store.set_device_enabled(device, false).await?);
    conflict();
    ensure!(env.store.set_device_enabled(device, true).await?);
    env.store.revoke_device(device, RevocationReason::Unspecified, env.now()).await?;
    env.dynamodb.fail_once("DeleteItem", Fault::SingleConflict);
    env.store.delete_device(device).await?;
    ensure!(env.store.device(device).await?.is_none());

    // For as long as it lasts, the advice is to try again.
    let other = env.api.enrolled(&env.token).await?.device_id;
    env.dynamodb.fail("UpdateItem", Fault::SingleConflict);
    let error = env.store.label_device(other, None).await.err().context("no error")?;
    ensure!(error.is_transient(), "{error}");
    Ok(())
}

async fn guesses_are_refused_by_a_read(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Strict::start(emulators, backend, 5).await?;
    let device = env.api.enrolled(&env.token).await?;
    let rng = &mut UnwrapErr(SysRng);
    let guess = DeviceToken::generate(env.project, device.device_id, rng).expose();
    let mut operations = Vec::new();
    for _ in 0..12 {
        env.dynamodb.take();
        env.api.identity(&guess).await?.problem(401, "invalid-device-token", &[&guess])?;
        operations.extend(env.dynamodb.take().into_iter().map(|call| call.operation));
    }
    ensure!(operations[..11].iter().all(|it| it == "TransactWriteItems"), "{operations:?}");
    ensure!(operations[11..] == ["GetItem"], "{operations:?}");
    // The device itself gets its certificate, a round trip later.
    env.api.released(&device).await?;
    let calls = env.dynamodb.take().into_iter().map(|call| call.operation);
    ensure!(calls.eq(["GetItem", "TransactWriteItems"]), "the device pays more");
    env.advance(121);
    env.api.released(&device).await?;
    let of_device = |call: &Call| {
        let partition = call.request()["Key"]["PK"]["S"].as_str();
        partition.is_some_and(|partition| partition.starts_with("DEVICE#"))
    };
    ensure!(!env.dynamodb.take().iter().any(of_device), "the device pays more for ever");
    env.verify_ledger(&[device]).await
}
