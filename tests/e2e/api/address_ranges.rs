//! Enrollment tokens restricted to address ranges.

use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use pki::clock::Timestamp;
use pki::names::TokenId;
use pki::names::{AddressRange, AddressRanges};

use birthcert_tests::api::{Api, ENROLLMENT_TOKEN, Enrolled};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use enroll::Enroll;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use http::Method;
use lambda::runtime::Runtime;
use lambda_http::{Context, LambdaEvent};
use ledger::store::{Change, NewToken, TokenChanges, TokenStatus};
use pki::token::EnrollmentToken;
use serde_json::Value;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_token_enrolls_only_from_its_ranges,
        ranges_act_at_once_and_cost_nothing_when_known,
        an_outsider_learns_nothing_about_a_token,
        both_kinds_of_events_say_where_they_come_from,
    ]
}

const OUTSIDE: &str = "address-not-allowed";

pub(crate) fn ranges(texts: &[&str]) -> anyhow::Result<AddressRanges> {
    let ranges = texts.iter().map(|text| text.parse()).collect::<Result<Vec<AddressRange>, _>>()?;
    Ok(ranges.try_into()?)
}

/// Creates a token restricted to these ranges.
pub(crate) async fn token_for(env: &Env, texts: &[&str]) -> anyhow::Result<EnrollmentToken> {
    let rng = &mut UnwrapErr(SysRng);
    let token = EnrollmentToken::generate(env.project, TokenId::generate(rng), rng);
    let new = NewToken { address_ranges: Some(ranges(texts)?), ..NewToken::default() };
    env.store.create_token(&token, new, Timestamp::now()).await?;
    Ok(token)
}

fn at(env: &Env, last: u8) -> anyhow::Result<Api> {
    env.api.from_address(IpAddr::from([127, 0, 0, last]))
}

async fn uses(env: &Env, token: &EnrollmentToken) -> anyhow::Result<u64> {
    Ok(env.store.token(env.project, token.subject()).await?.context("the token")?.uses)
}

async fn a_token_enrolls_only_from_its_ranges(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let token = token_for(&env, &["127.0.0.8/30", "127.0.0.64/32", "2001:db8::/32"]).await?;
    let text = token.expose();
    for (last, is_in) in [(7, false), (8, true), (11, true), (12, false), (64, true), (65, false)] {
        let answer = at(&env, last)?.enroll(&text).await?;
        if is_in {
            answer.success::<Enrolled>()?;
        } else {
            answer.problem(403, OUTSIDE, &[&text])?;
        }
    }
    ensure!(uses(&env, &token).await? == 3);

    // Addresses that the caller claims are ignored.
    for (name, value) in [
        ("X-Forwarded-For", "127.0.0.8"),
        ("Forwarded", "for=127.0.0.8"),
        ("X-Real-IP", "127.0.0.8"),
        ("CF-Connecting-IP", "127.0.0.8"),
    ] {
        let headers = [(ENROLLMENT_TOKEN, text.as_str()), (name, value)];
        let answer = at(&env, 7)?.send(Method::POST, "/enroll", &headers, "").await?;
        answer.problem(403, OUTSIDE, &[&text, "127.0.0"])?;
    }
    ensure!(env.store.devices(env.project, None).await?.len() == 3);
    Ok(())
}

async fn ranges_act_at_once_and_cost_nothing_when_known(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let operations =
        || -> Vec<String> { env.dynamodb.take().into_iter().map(|call| call.operation).collect() };
    let token = token_for(&env, &["127.0.0.0/29"]).await?;
    let (inside, outside) = (at(&env, 1)?, at(&env, 9)?);
    let set = async |to: Change<AddressRanges>| {
        let changes = TokenChanges { address_ranges: to, ..TokenChanges::default() };
        env.store.change_token(env.project, token.subject(), &changes).await?;
        operations();
        anyhow::Ok(())
    };
    let text = token.expose();
    operations();

    inside.enrolled(&token).await?;
    ensure!(operations() == ["UpdateItem", "UpdateItem", "PutItem"], "the first is not known");
    for _ in 0..3 {
        inside.enrolled(&token).await?;
        ensure!(operations() == ["UpdateItem", "PutItem"], "what is known costs nothing");
    }
    outside.enroll(&text).await?.problem(403, OUTSIDE, &[&text])?;
    ensure!(operations() == ["UpdateItem"]);

    // The function has the previous ranges cached at each step.
    set(Change::Set(ranges(&["127.0.0.8/29"])?)).await?;
    inside.enroll(&text).await?.problem(403, OUTSIDE, &[&text])?;
    outside.enrolled(&token).await?;
    set(Change::Remove).await?;
    inside.enrolled(&token).await?;
    outside.enrolled(&token).await?;
    set(Change::Set(ranges(&["127.0.0.0/29"])?)).await?;
    outside.enroll(&text).await?.problem(403, OUTSIDE, &[&text])?;
    inside.enrolled(&token).await?;
    // The order of the ranges does not matter.
    set(Change::Set(ranges(&["192.0.2.0/24", "127.0.0.0/29"])?)).await?;
    inside.enrolled(&token).await?;
    set(Change::Set(ranges(&["127.0.0.0/29", "192.0.2.0/24"])?)).await?;
    inside.enrolled(&token).await?;
    ensure!(operations() == ["UpdateItem", "PutItem"]);
    ensure!(uses(&env, &token).await? == 10);
    Ok(())
}

async fn an_outsider_learns_nothing_about_a_token(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let token = token_for(&env, &["127.0.0.1"]).await?;
    let (inside, outside) = (at(&env, 1)?, at(&env, 2)?);
    let guess = EnrollmentToken::generate(env.project, token.subject(), &mut UnwrapErr(SysRng));
    for caller in [&inside, &outside] {
        let answer = caller.enroll(&guess.expose()).await?;
        answer.problem(401, "invalid-enrollment-token", &[&guess.expose()])?;
    }
    let (project, id, text) = (env.project, token.subject(), token.expose());
    env.store.set_token_status(project, id, TokenStatus::Paused).await?;
    outside.enroll(&text).await?.problem(403, OUTSIDE, &[&text])?;
    inside.enroll(&text).await?.problem(403, "enrollment-token-paused", &[&text])?;
    env.store.set_token_status(project, id, TokenStatus::Active).await?;
    inside.enrolled(&token).await?;
    let capped = TokenChanges { device_cap: Change::Set(1), ..TokenChanges::default() };
    env.store.change_token(project, id, &capped).await?;
    outside.enroll(&text).await?.problem(403, OUTSIDE, &[&text])?;
    inside.enroll(&text).await?.problem(403, "device-cap-reached", &[&text])?;
    let expired = TokenChanges {
        expires_at: Change::Set(Timestamp::from_unix(1)),
        ..TokenChanges::default()
    };
    env.store.change_token(project, id, &expired).await?;
    for caller in [&inside, &outside] {
        caller.enroll(&text).await?.problem(401, "invalid-enrollment-token", &[&text])?;
    }
    Ok(())
}

async fn both_kinds_of_events_say_where_they_come_from(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    const QUIET: Runtime = Runtime { log: |_| {}, ..Runtime::LAMBDA };
    let env = Env::start(emulators, backend).await?;
    let enroll = Enroll::start(&env.config, QUIET).await?;
    let token = token_for(&env, &["192.0.2.0/24", "2001:db8::/32"]).await?;
    for (address, status) in [
        ("192.0.2.7", 200),
        ("::ffff:192.0.2.7", 200),
        ("2001:db8:ffff::1", 200),
        ("192.0.3.7", 403),
        ("::ffff:192.0.3.7", 403),
        ("2001:db9::1", 403),
        ("unknown", 403),
    ] {
        for (name, place) in [
            ("enroll", "/requestContext/http/sourceIp"),
            ("rest-enroll", "/requestContext/identity/sourceIp"),
        ] {
            let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../events/{}.json"), name);
            let text = std::fs::read_to_string(path)?;
            let mut event: Value =
                serde_json::from_str(&text.replace("ENROLLMENT_TOKEN", &token.expose()))?;
            *event.pointer_mut(place).context("a source")? = address.into();
            let event = serde_json::from_str(&event.to_string())?;
            let event = LambdaEvent::new(event, Context::default());
            let answer =
                lambda::function::answer(event, QUIET, |request| enroll.handle(request)).await;
            let answer = serde_json::to_value(answer.map_err(anyhow::Error::from_boxed)?)?;
            ensure!(answer["statusCode"] == status, "{name} from {address}: {answer}");
        }
    }
    Ok(())
}
