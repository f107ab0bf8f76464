//! A rotation's setup and checks.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use birthcert_tests::api::{Enrolled, Released};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::{Env, Setup};
use birthcert_tests::operator::Operator;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use lambda::cache::LIFETIME_SECONDS;
use ledger::store::Policy;
use pki::authority::AuthorityRecord;
use pki::clock::Timestamp;

/// Seconds by which this suite's clock is ahead; only grows. Certificates are backdated by an hour,
/// which is more than all tests of this suite add up to.
pub(super) static AHEAD: AtomicU64 = AtomicU64::new(0);

pub(super) fn ahead() -> Timestamp {
    Timestamp::now().plus(AHEAD.load(Ordering::SeqCst))
}

/// Advances the clock until no function uses cached records any longer.
pub(super) fn a_minute_passes() {
    AHEAD.fetch_add(LIFETIME_SECONDS, Ordering::SeqCst);
}

/// Returns an authority whose functions see [`ahead`], and its operator.
pub(super) async fn start(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<(Env, Operator)> {
    let policy = Policy::new(365, 24, 10_000)?;
    let setup = Setup { clock: ahead, policy, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let operator = Operator::of_env(&env)?;
    Ok((env, operator))
}

/// Writes the files of `record` into the operator's home, and returns the arguments that name them.
pub(super) fn hand_in(operator: &Operator, record: &AuthorityRecord) -> anyhow::Result<String> {
    let name = &record.name;
    fs::write(operator.path(&format!("{name}.pem")), &record.certificate_pem)?;
    fs::write(operator.path(&format!("{name}-root.pem")), &record.root_pem)?;
    let url = record.crl_url.as_deref().context("a CRL")?;
    Ok(format!(
        "--usage {} --certificate {name}.pem --root-certificate {name}-root.pem --key {} \
         --crl-url {url}",
        name.usage(),
        record.key_arn
    ))
}

/// Runs `birthcert ca prepare` for a CA that the root certifies under this name.
pub(super) async fn prepared(
    env: &Env,
    operator: &Operator,
    name: &str,
) -> anyhow::Result<AuthorityRecord> {
    let record = env.certified(name, 60 * birthcert_tests::env::YEAR).await?;
    let files = hand_in(operator, &record)?;
    let said = operator.json(&format!("ca prepare {files} --name {name} --yes")).await?;
    ensure!(said["status"] == "prepared" && said["changed"] == true, "{said}");
    Ok(record)
}

/// Returns every recorded CA with its status.
pub(super) async fn statuses(operator: &Operator) -> anyhow::Result<Vec<(String, String)>> {
    let list = operator.json("ca list").await?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).context("no text");
    let list = list.as_array().context("a list")?;
    list.iter().map(|it| Ok((text(&it["name"])?, text(&it["status"])?))).collect()
}

pub(super) async fn expect(operator: &Operator, wanted: &[(&str, &str)]) -> anyhow::Result<()> {
    let found = statuses(operator).await?;
    let found: Vec<_> = found.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
    ensure!(found == wanted, "{found:?} instead of {wanted:?}");
    Ok(())
}

/// Checks that one of `authorities` issued `identity`, that it verifies up to the root, and that
/// the ledger names the same CA. Returns its name.
pub(super) async fn issuer<'a>(
    env: &Env,
    device: &Enrolled,
    identity: &Released,
    authorities: &'a [AuthorityRecord],
) -> anyhow::Result<&'a str> {
    let leaf = &identity.device_certificate_pem;
    let above = identity.certificate_chain_pem.strip_prefix(leaf.as_str()).context("a chain")?;
    let found = authorities.iter().find(|it| it.certificate_pem == above);
    let issuer = found.context("another CA")?.name.as_str();
    let verdict = openssl::verify(leaf, above, &env.root_pem, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{issuer}: {verdict:?}");
    let entries = env.store.device_certificates(device.device_id).await?;
    let entry = entries.iter().find(|it| it.serial_number == identity.serial_number);
    let ca = &entry.context("not on the ledger")?.ca;
    ensure!(ca == issuer, "the ledger says {ca}, the certificate {issuer}");
    Ok(issuer)
}
