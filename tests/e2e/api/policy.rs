//! A project's policy, as its devices see it.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::{Env, Setup};
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use birthcert_tests::verifiers::pkilint;
use der::DecodePem as _;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use lambda::cache::LIFETIME_SECONDS;
use ledger::store::{Change, Policy, PolicyTerms, ProjectChanges, ProjectTerms};
use pki::clock::Timestamp;
use pki::key::{KeyKind, KeyKinds};
use pki::token::DeviceToken;
use x509_cert::Certificate;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        only_the_kinds_of_keys_that_are_allowed,
        devices_that_make_their_own_keys,
        no_certificate_lives_beyond_the_cap,
        the_organization_is_in_the_subject,
        a_change_is_in_force_within_a_minute,
    ]
}

async fn with(
    emulators: &Emulators,
    backend: Backend,
    terms: impl FnOnce(&mut PolicyTerms),
) -> anyhow::Result<Env> {
    let mut policy = PolicyTerms::from(Policy::default());
    terms(&mut policy);
    let setup = Setup { policy: policy.try_into()?, ..Setup::default() };
    Env::with(emulators, backend, setup).await
}

fn fixture(name: &str) -> anyhow::Result<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/csr");
    Ok(std::fs::read_to_string(format!("{folder}/{name}.pem"))?)
}

async fn only_the_kinds_of_keys_that_are_allowed(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let allowed = KeyKinds::only(KeyKind::Ed25519);
    let env = with(emulators, backend, |terms| terms.key_kinds = allowed).await?;
    let device = env.api.enrolled(&env.token).await?;
    for name in ["p256", "p384", "rsa"] {
        let answer = env.api.certify(&device, &fixture(name)?).await?;
        answer.problem(403, "key-kind-not-allowed", &[&device.device_token])?;
        let detail = answer.json["detail"].as_str().context("a detail")?;
        ensure!(detail.ends_with("these kinds: ed25519."), "{detail}");
    }
    ensure!(env.store.device_certificates(device.device_id).await?.is_empty());
    env.api.certified(&device, &fixture("ed25519")?).await?;
    // Key kinds restrict the keys that devices bring, not those that they are given.
    env.api.released(&device).await?;
    env.verify_ledger(&[device]).await
}

async fn devices_that_make_their_own_keys(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = with(emulators, backend, |terms| terms.server_generated_keys = false).await?;
    let device = env.api.enrolled(&env.token).await?;
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(403, "generated-keys-not-allowed", &[&device.device_token])?;
    ensure!(env.store.device_certificates(device.device_id).await?.is_empty());
    ensure!(env.kms.take().is_empty(), "KMS was asked");
    // Other callers do not learn of it.
    let rng = &mut UnwrapErr(SysRng);
    let impostor = DeviceToken::generate(env.project, device.device_id, rng).expose();
    env.api.identity(&impostor).await?.problem(401, "invalid-device-token", &[&impostor])?;

    env.api.certified(&device, &fixture("p256")?).await?;
    env.store.set_device_enabled(device.device_id, false).await?;
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(401, "invalid-device-token", &[&device.device_token])?;
    env.verify_ledger(&[device]).await
}

async fn no_certificate_lives_beyond_the_cap(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let cap: Timestamp = "2049-12-31T23:59:59Z".parse()?;
    let env = with(emulators, backend, |terms| terms.not_after_cap = Some(cap)).await?;
    let device = env.api.enrolled(&env.token).await?;
    let given = env.api.released(&device).await?;
    ensure!(given.not_after == "2049-12-31T23:59:59Z", "{}", given.not_after);
    let own = env.api.certified(&device, &fixture("p256")?).await?;
    ensure!(own.not_after == given.not_after);
    pkilint::lint(&own.device_certificate_pem).await?;
    let entries = env.store.device_certificates(device.device_id).await?;
    ensure!(entries.iter().all(|entry| entry.not_after == cap), "{entries:?}");
    env.verify_ledger(&[device]).await?;

    // A time in the past, which operators cannot set.
    let past = Timestamp::now().minus(1);
    let env = with(emulators, backend, |terms| terms.not_after_cap = Some(past)).await?;
    let device = env.api.enrolled(&env.token).await?;
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(503, "ca-unavailable", &[&device.device_token])?;
    ensure!(env.kms.take().is_empty(), "KMS was asked");
    Ok(())
}

async fn the_organization_is_in_the_subject(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let organization = "Pumps, Inc. + Söhne".parse()?;
    let env = with(emulators, backend, |terms| terms.organization = Some(organization)).await?;
    let device = env.api.enrolled(&env.token).await?;
    let identity = env.api.released(&device).await?;
    let certified = env.api.certified(&device, &fixture("rsa")?).await?;
    for leaf in [&identity.device_certificate_pem, &certified.device_certificate_pem] {
        let read = Certificate::from_pem(leaf)?;
        let subject = read.tbs_certificate().subject();
        ensure!(subject.len() == 2, "{subject}");
        let common_name = subject.common_name()?.context("a common name")?.value().to_string();
        ensure!(common_name == device.device_id.to_string());
        let organization = subject.organization()?.context("an organization")?;
        ensure!(organization.value() == "Pumps, Inc. + Söhne", "{organization:?}");
        pkilint::lint(leaf).await?;
    }
    let (leaf, chain) = (&certified.device_certificate_pem, &certified.certificate_chain_pem);
    let subordinate = chain.strip_prefix(leaf.as_str()).context("the leaf comes first")?;
    let verdict = openssl::verify(leaf, subordinate, &env.root_pem, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    env.verify_ledger(&[device]).await
}

static AHEAD: AtomicU64 = AtomicU64::new(0);

fn ahead() -> Timestamp {
    Timestamp::now().plus(AHEAD.load(Ordering::SeqCst))
}

async fn a_change_is_in_force_within_a_minute(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = Setup { clock: ahead, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.api.released(&device).await?;
    let change = async |terms| {
        let changes = ProjectChanges::new(terms, Timestamp::now())?;
        anyhow::Ok(env.store.change_project(env.project, &changes).await?)
    };
    let changed = change(ProjectTerms {
        server_generated_keys: Some(false),
        key_kinds: Some(KeyKinds::only(KeyKind::P384)),
        validity_days: Some(7),
        organization: Change::Set("Pumps".parse()?),
        not_after_cap: Change::Set("2049-12-31T23:59:59Z".parse()?),
        name: Some("renamed".parse()?),
        ..ProjectTerms::default()
    })
    .await?;
    ensure!(changed.name.as_str() == "renamed");
    ensure!(changed.policy.terms().validity_days == 7);
    ensure!(changed.policy.terms().issuance_limit == Policy::DEFAULT_ISSUANCE_LIMIT);
    ensure!(env.store.project(env.project).await? == Some(changed));

    AHEAD.fetch_add(LIFETIME_SECONDS + 1, Ordering::SeqCst);
    let answer = env.api.identity(&device.device_token).await?;
    answer.problem(403, "generated-keys-not-allowed", &[])?;
    let answer = env.api.certify(&device, &fixture("p256")?).await?;
    answer.problem(403, "key-kind-not-allowed", &[])?;
    let certified = env.api.certified(&device, &fixture("p384")?).await?;
    let leaf = Certificate::from_pem(&certified.device_certificate_pem)?;
    ensure!(leaf.tbs_certificate().subject().to_string().contains("O=Pumps"));

    // And back again.
    let changed = change(ProjectTerms {
        server_generated_keys: Some(true),
        organization: Change::Remove,
        not_after_cap: Change::Remove,
        ..ProjectTerms::default()
    })
    .await?;
    ensure!(changed.policy.terms().organization.is_none());
    ensure!(changed.policy.terms().not_after_cap.is_none());
    AHEAD.fetch_add(LIFETIME_SECONDS + 1, Ordering::SeqCst);
    env.api.released(&device).await?;
    env.verify_ledger(&[device]).await
}
