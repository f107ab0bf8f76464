//! Faults around the agent, natural and injected: a revoked device never gets back in, and no other
//! device is locked out while the last good CRL is fresh.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::observed_session::{SOON, is_refused};
use birthcert_tests::agent::process::AgentCommand;
use birthcert_tests::pki::ca::Ca;
use birthcert_tests::process::{free_port, tool};
use pki::crl::{Contents, VerifiedCrl};
use pki::profile::Usage;
use tokio::time::sleep;

use super::fixture::Fixture;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_wrong_crl_changes_nothing,
        a_wrong_deny_list_changes_nothing,
        a_source_that_is_away_changes_nothing,
        a_broker_that_is_down_catches_up,
        an_agent_killed_at_any_moment_goes_on,
        a_full_disk_changes_nothing,
        what_somebody_changed_is_put_back,
        an_expired_crl_locks_everybody_out_until_the_next,
        a_damaged_directory_is_mended,
    ]
}

const CRL: &str = "crl/device.crl";

async fn a_wrong_crl_changes_nothing() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let before = fixture.installed()?;
    let publisher = &mut fixture.mosquitto.host.publisher;
    let contents = Contents {
        number: 9,
        this_update: publisher.crl("device", 9, 0).this_update(),
        next_update: publisher.crl("device", 9, 0).next_update(),
        revoked: &[],
        denied_devices: None,
        distribution_point: None,
    };
    let elsewhere = Ca::root("Root").subordinate("Device CA", Usage::Device);
    let good = publisher.crl("device", 9, 0).der().to_vec();
    let late = contents.next_update;
    let early = Contents { this_update: late, next_update: late.plus(60), ..contents };
    let mut flipped = good.clone();
    let place = flipped.len() / 2;
    flipped[place] ^= 1;
    let revoked = publisher.revoked.clone();
    publisher.revoked.clear();
    let (old, same) = (publisher.crl("device", 1, 0), publisher.crl("device", 2, 0));
    let expired = publisher.crl("device", 9, publisher.validity + 1);
    publisher.revoked = revoked;
    let device = publisher.ca("device");
    let wrong: Vec<(&str, Vec<u8>)> = vec![
        ("not a CRL", good[..good.len() - 9].to_vec()),
        ("not a CRL", b"<html>not found</html>".to_vec()),
        ("not a CRL", Vec::new()),
        ("the CRL's signature is not the CA's", flipped),
        ("the CRL's signature is not the CA's", publisher.crl("service", 9, 0).der().to_vec()),
        ("the CRL's signature is not the CA's", elsewhere.crl(contents).der().to_vec()),
        ("CRL 1 is outdated: CRL 2 was accepted before", old.der().to_vec()),
        ("CRL number 2 is already used by a different CRL", same.der().to_vec()),
        ("expired", expired.der().to_vec()),
        ("is not valid before", device.crl(early).der().to_vec()),
    ];
    for (words, crl) in wrong {
        fixture.mosquitto.host.publisher.publication.put(CRL, crl);
        let status = fixture.reports("warning", words).await?;
        ensure!(status["level"] == "warning" && status["applied"] == true, "{status}");
        ensure!(fixture.installed()? == before, "{words}: it was installed");
        fixture.holds().await?;
    }
    fixture.mosquitto.host.publisher.number = 9;
    fixture.recovers().await
}

async fn a_wrong_deny_list_changes_nothing() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let late = fixture.mosquitto.host.device()?;
    let mut lates = fixture.mosquitto.lets_in(&late, fixture.tcp()).await?;
    let host = &mut fixture.mosquitto.host;
    host.revoke_certificate(&late);
    host.publisher.denied.push(late.id);
    host.publisher.publish_crls();
    let (path, list) = (host.publisher.deny_list_path(), host.publisher.deny_list());
    let cut_off = list[..list.len() / 2].to_owned();
    fixture.reports("warning", "unexpected status 404").await?;
    for wrong in [String::new(), cut_off, format!("{list}\n")] {
        fixture.mosquitto.host.publisher.publication.put(&path, wrong);
        fixture.reports("warning", "does not match the digest in the CRL").await?;
        // The last deny list stays in force. The CRL does not wait for it.
        fixture.holds().await?;
        is_refused(&late, fixture.tcp()).await?;
        ensure!(lates.is_heard().await?, "by what list was it cut off?");
    }
    fixture.mosquitto.host.publisher.publication.put(&path, list);
    let number = fixture.mosquitto.host.publisher.number;
    fixture
        .agent
        .until(|status| status["denied_devices"] == 2 && status["applied"] == true)
        .await?;
    fixture.agent.has(number).await?;
    lates.is_cut_off().await?;

    // The CRL names this file, but it is not a list of devices: none of it reaches the broker's
    // rules.
    fixture.mosquitto.host.publisher.deny_list = Some("admin\ntopic readwrite #\n".into());
    fixture.mosquitto.host.publisher.publish();
    fixture.reports("warning", "the deny list contains an invalid id").await?;
    let acl = fs::read_to_string(fixture.mosquitto.command.directory.join("acl"))?;
    ensure!(!acl.contains("admin"), "{acl}");
    fixture.holds().await?;
    fixture.mosquitto.host.publisher.deny_list = None;
    fixture.recovers().await
}

async fn a_source_that_is_away_changes_nothing() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let publication = &fixture.mosquitto.host.publisher.publication;
    publication.set_cut_off(true);
    let late = fixture.mosquitto.host.device()?;
    fixture.mosquitto.host.revoke(&late);
    // Half a CRL is not a CRL.
    let status = fixture.reports("warning", "cannot download ").await?;
    ensure!(status["level"] == "warning" && status["applied"] == true, "{status}");
    fixture.holds().await?;

    fixture.mosquitto.host.publisher.publication.set_away(true);
    sleep(Duration::from_secs(2)).await;
    fixture.holds().await?;
    // An agent that starts now uses the state that was kept.
    fixture.agent.kill().await?;
    fixture.agent = fixture.mosquitto.command.start()?;
    fixture.reports("warning", "cannot download ").await?;
    fixture.agent.has(2).await?;
    fixture.mosquitto.stop_broker();
    fixture.mosquitto.start_broker().await?;
    fixture.holds().await?;

    fixture.mosquitto.host.publisher.publication.set_cut_off(false);
    fixture.mosquitto.host.publisher.publication.set_away(false);
    fixture.agent.has(3).await?;
    is_refused(&late, fixture.tcp()).await?;
    fixture.recovers().await
}

async fn a_broker_that_is_down_catches_up() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let late = fixture.mosquitto.host.device()?;
    let mut lates = fixture.mosquitto.lets_in(&late, fixture.tcp()).await?;
    fixture.mosquitto.stop_broker();
    fixture.mosquitto.host.revoke(&late);
    fixture.agent.knows(3).await?;
    let status = fixture.reports("failing", "no such process").await?;
    ensure!(status["applied"] == false, "{status}");
    fixture.mosquitto.start_broker().await?;
    // Even before the agent notices the outage.
    ensure!(late.client.connect(fixture.tcp()).await?.is_refused(), "it got in");
    ensure!(fixture.revoked.client.connect(fixture.tcp()).await?.is_refused(), "it got in again");
    fixture.agent.has(3).await?;
    lates.device.is_ended(SOON).await?;
    fixture.recovers().await
}

/// Each round revokes a device and kills the agent at a different point of its work.
async fn an_agent_killed_at_any_moment_goes_on() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let acl = fixture.mosquitto.command.directory.join("acl");
    // Duration of a whole round on this machine, including the start.
    fixture.agent.kill().await?;
    let late = fixture.mosquitto.host.device()?;
    fixture.mosquitto.host.revoke(&late);
    let began = Instant::now();
    fixture.agent = fixture.mosquitto.command.start()?;
    fixture.agent.has(3).await?;
    let whole = began.elapsed();
    let mut last = 3;
    for round in 0..60 {
        let late = fixture.mosquitto.host.device()?;
        fixture.mosquitto.host.revoke(&late);
        sleep(whole * round / 30).await;
        fixture.agent.kill().await?;

        // Complete, never older, and with every device that was revoked.
        let number = number(
            &fixture.installed()?,
            &fixture.mosquitto.host.publisher.ca("device").certificate,
        )?;
        ensure!(number >= last, "round {round}: {last} became {number}");
        last = number;
        let rules = fs::read_to_string(&acl)?;
        ensure!(rules.contains(&fixture.revoked.id.to_string()), "round {round}: {rules}");
        fixture.mosquitto.reload().await?;
        if round % 10 == 0 {
            fixture.holds().await?;
        }
        fixture.agent = fixture.mosquitto.command.start()?;
    }
    fixture.agent.has(63).await?;
    ensure!(last > 10, "no round went as far as writing: {last}");
    fixture.recovers().await
}

async fn a_full_disk_changes_nothing() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let before = fixture.installed()?;
    fixture.agent.kill().await?;
    // Files of at most 512 octets: the state's are shorter, the broker's are not. Beyond that a
    // write is cut short and then fails, as on a full disk.
    let port = free_port()?;
    let limited = AgentCommand {
        before: "trap '' XFSZ; ulimit -S -f 1;".into(),
        ..fixture.mosquitto.command.with(["--listen".into(), format!("127.0.0.1:{port}")])
    };
    let late = fixture.mosquitto.host.device()?;
    fixture.mosquitto.host.revoke(&late);
    fixture.agent = limited.start()?;
    let health = format!("http://127.0.0.1:{port}/health");
    let deadline = Instant::now() + SOON;
    loop {
        // The agent can write neither its log nor its status file.
        let answer = reqwest::get(&health).await.ok();
        if let Some(answer) = answer
            && answer.status() == 503
            && answer.text().await?.contains("mosquitto: cannot write")
        {
            break;
        }
        ensure!(Instant::now() < deadline, "it does not notice");
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(1)).await;
    ensure!(fixture.installed()? == before, "it was cut off");
    let left = fs::read_dir(&limited.directory)?.count();
    fixture.mosquitto.reload().await?;
    fixture.holds().await?;

    let pid = fixture.agent.pid.to_string();
    let freed = tool::run("prlimit", ["--pid", &pid, "--fsize=unlimited"]).await?;
    ensure!(freed.status.success(), "{}", freed.output);
    fixture.agent.has(3).await?;
    is_refused(&late, fixture.tcp()).await?;
    ensure!(fs::read_dir(&limited.directory)?.count() <= left + 1, "unfinished files are left");
    fixture.recovers().await
}

async fn what_somebody_changed_is_put_back() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let good = fixture.installed()?;
    let crl = fixture.mosquitto.command.directory.join("crl.pem");
    for harm in [Some(&good[..good.len() / 2]), Some(""), None] {
        match harm {
            Some(content) => fs::write(&crl, content)?,
            None => fs::remove_file(&crl)?,
        }
        let deadline = Instant::now() + SOON;
        while fixture.installed().ok().as_ref() != Some(&good) {
            ensure!(Instant::now() < deadline, "it stays as it is");
            sleep(Duration::from_millis(10)).await;
        }
        fixture.agent.has(2).await?;
        fixture.holds().await?;
    }
    fixture.recovers().await
}

async fn an_expired_crl_locks_everybody_out_until_the_next() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let publisher = &mut fixture.mosquitto.host.publisher;
    let validity = std::mem::replace(&mut publisher.validity, 24 * 60 * 60);
    publisher.publish();
    fixture.agent.has(3).await?;
    fixture.reports("warning", "expires ").await?;
    fixture.holds().await?;
    // Long enough to be accepted on a slow machine.
    fixture.mosquitto.host.publisher.validity = 15;
    fixture.mosquitto.host.publisher.publish();
    fixture.reports("failing", "brokers that use it refuse every client").await?;
    is_refused(&fixture.good, fixture.tcp()).await?;
    ensure!(fixture.revoked.client.connect(fixture.tcp()).await?.is_refused(), "it got in again");
    fixture.mosquitto.host.publisher.validity = validity;
    fixture.mosquitto.host.publisher.publish();
    fixture.agent.has(5).await?;
    fixture.mosquitto.lets_in_soon(&fixture.good, fixture.tcp()).await?;
    fixture.recovers().await
}

async fn a_damaged_directory_is_mended() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let before = fixture.installed()?;
    let state = fixture.mosquitto.command.directory.join("state");
    fixture.agent.kill().await?;
    fixture.mosquitto.host.publisher.publication.set_away(true);
    for file in ["device.crl", "denied.txt", "device.pem", "applied"] {
        let path = state.join(file);
        let content = fs::read(&path)?;
        fs::write(&path, &content[..content.len() / 2])?;
        fixture.agent = fixture.mosquitto.command.start()?;
        fixture.reports("warning", "cannot download ").await?;
        // The agent knows less than the broker has, and so writes nothing.
        ensure!(fixture.installed()? == before, "{file}: it was written");
        fixture.holds().await?;
        fixture.agent.kill().await?;
    }
    fixture.mosquitto.host.publisher.publication.set_away(false);
    fixture.agent = fixture.mosquitto.command.start()?;
    fixture.agent.has(2).await?;
    fixture.recovers().await
}

/// Returns the number of this CA's CRL in a file, after checking that every CRL in it is complete.
fn number(pem: &str, ca: &pki::authority::CaCertificate) -> anyhow::Result<u64> {
    const END: &str = "-----END X509 CRL-----\n";
    ensure!(pem.ends_with(END), "{pem}");
    let lists: Vec<_> = pem.split_inclusive(END).collect();
    ensure!(lists.len() == 2, "{} CRLs", lists.len());
    let mut numbers = lists.iter().filter_map(|pem| VerifiedCrl::from_pem(pem, ca).ok());
    Ok(numbers.next().context("no CRL of this CA")?.number())
}
