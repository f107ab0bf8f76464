//! What goes wrong around the agent, or is made to: nobody who is out gets in again, and nobody else is
//! locked out as long as the last good CRL is fresh.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::Beside;
use birthcert_tests::pki::Ca;
use birthcert_tests::process::free_port;
use birthcert_tests::tool;
use pki::crl::{Contents, VerifiedCrl};
use pki::profile::Usage;
use tokio::time::sleep;

use birthcert_tests::site::{SOON, is_refused};

use super::scene::Scene;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![
        a_wrong_crl_changes_nothing,
        a_wrong_list_of_denied_devices_changes_nothing,
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
    let mut scene = Scene::start().await?;
    let before = scene.installed()?;
    let publisher = &mut scene.guarded.site.publisher;
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
        ("an old CRL, 1: 2 was there already", old.der().to_vec()),
        ("another CRL of the number 2", same.der().to_vec()),
        ("expired", expired.der().to_vec()),
        ("is valid from", device.crl(early).der().to_vec()),
    ];
    for (words, crl) in wrong {
        scene.guarded.site.publisher.publication.put(CRL, crl);
        let status = scene.complains("warning", words).await?;
        ensure!(status["level"] == "warning" && status["applied"] == true, "{status}");
        ensure!(scene.installed()? == before, "{words}: it was installed");
        scene.holds().await?;
    }
    scene.guarded.site.publisher.number = 9;
    scene.recovers().await
}

async fn a_wrong_list_of_denied_devices_changes_nothing() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let late = scene.guarded.site.device()?;
    let mut lates = scene.guarded.lets_in(&late, scene.tcp()).await?;
    let site = &mut scene.guarded.site;
    site.revoke_certificate(&late);
    site.publisher.denied.push(late.id);
    site.publisher.publish_crls();
    let (path, list) = (site.publisher.list_path(), site.publisher.list());
    let cut_off = list[..list.len() / 2].to_owned();
    scene.complains("warning", "it answers 404").await?;
    for wrong in [String::new(), cut_off, format!("{list}\n")] {
        scene.guarded.site.publisher.publication.put(&path, wrong);
        scene.complains("warning", "is not the list that the CRL names").await?;
        // The last list stays in force. The CRL does not wait for it.
        scene.holds().await?;
        is_refused(&late, scene.tcp()).await?;
        ensure!(lates.is_heard().await?, "by what list was it cut off?");
    }
    scene.guarded.site.publisher.publication.put(&path, list);
    let number = scene.guarded.site.publisher.number;
    scene.agent.until(|status| status["denied_devices"] == 2 && status["applied"] == true).await?;
    scene.agent.has(number).await?;
    lates.is_cut_off().await?;

    // What the CRL names, and no list of devices: nothing of it gets into the broker's rules.
    scene.guarded.site.publisher.list = Some("admin\ntopic readwrite #\n".into());
    scene.guarded.site.publisher.publish();
    scene.complains("warning", "the list of denied devices has").await?;
    let acl = fs::read_to_string(scene.guarded.beside.directory.join("acl"))?;
    ensure!(!acl.contains("admin"), "{acl}");
    scene.holds().await?;
    scene.guarded.site.publisher.list = None;
    scene.recovers().await
}

async fn a_source_that_is_away_changes_nothing() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let publication = &scene.guarded.site.publisher.publication;
    publication.set_cut_off(true);
    let late = scene.guarded.site.device()?;
    scene.guarded.site.revoke(&late);
    // Half of a CRL is none.
    let status = scene.complains("warning", "GET ").await?;
    ensure!(status["level"] == "warning" && status["applied"] == true, "{status}");
    scene.holds().await?;

    scene.guarded.site.publisher.publication.set_away(true);
    sleep(Duration::from_secs(2)).await;
    scene.holds().await?;
    // Who starts now has what was kept.
    scene.agent.kill().await?;
    scene.agent = scene.guarded.beside.start()?;
    scene.complains("warning", "GET ").await?;
    scene.agent.has(2).await?;
    scene.guarded.stop_broker();
    scene.guarded.start_broker().await?;
    scene.holds().await?;

    scene.guarded.site.publisher.publication.set_cut_off(false);
    scene.guarded.site.publisher.publication.set_away(false);
    scene.agent.has(3).await?;
    is_refused(&late, scene.tcp()).await?;
    scene.recovers().await
}

async fn a_broker_that_is_down_catches_up() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let late = scene.guarded.site.device()?;
    let mut lates = scene.guarded.lets_in(&late, scene.tcp()).await?;
    scene.guarded.stop_broker();
    scene.guarded.site.revoke(&late);
    scene.agent.knows(3).await?;
    let status = scene.complains("failing", "no such process").await?;
    ensure!(status["applied"] == false, "{status}");
    scene.guarded.start_broker().await?;
    // From its first moment, and before the agent noticed.
    ensure!(late.client.connect(scene.tcp()).await?.is_refused(), "it got in");
    ensure!(scene.out.client.connect(scene.tcp()).await?.is_refused(), "it got in again");
    scene.agent.has(3).await?;
    ensure!(lates.device.quiet(SOON).await?, "a session of a broker that ended");
    scene.recovers().await
}

/// Each round revokes a device and kills the agent at another moment of what it then does.
async fn an_agent_killed_at_any_moment_goes_on() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let acl = scene.guarded.beside.directory.join("acl");
    // How long all of it takes here and now, from its start on.
    scene.agent.kill().await?;
    let late = scene.guarded.site.device()?;
    scene.guarded.site.revoke(&late);
    let began = Instant::now();
    scene.agent = scene.guarded.beside.start()?;
    scene.agent.has(3).await?;
    let whole = began.elapsed();
    let mut last = 3;
    for round in 0..60 {
        let late = scene.guarded.site.device()?;
        scene.guarded.site.revoke(&late);
        sleep(whole * round / 30).await;
        scene.agent.kill().await?;

        // Whole, and never older; and with everybody who was out.
        let number =
            number(&scene.installed()?, &scene.guarded.site.publisher.ca("device").certificate)?;
        ensure!(number >= last, "round {round}: {last} became {number}");
        last = number;
        let rules = fs::read_to_string(&acl)?;
        ensure!(rules.contains(&scene.out.id.to_string()), "round {round}: {rules}");
        scene.guarded.reload().await?;
        if round % 10 == 0 {
            scene.holds().await?;
        }
        scene.agent = scene.guarded.beside.start()?;
    }
    scene.agent.has(63).await?;
    ensure!(last > 10, "no round went as far as writing: {last}");
    scene.recovers().await
}

async fn a_full_disk_changes_nothing() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let before = scene.installed()?;
    scene.agent.kill().await?;
    // Files of at most 512 octets: the state's are shorter, the broker's are not. Past it a write is
    // cut short and then fails, as on a full disk.
    let port = free_port()?;
    let limited = Beside {
        before: "trap '' XFSZ; ulimit -S -f 1;".into(),
        ..scene.guarded.beside.with(["--listen".into(), format!("127.0.0.1:{port}")])
    };
    let late = scene.guarded.site.device()?;
    scene.guarded.site.revoke(&late);
    scene.agent = limited.start()?;
    let health = format!("http://127.0.0.1:{port}/health");
    let deadline = Instant::now() + SOON;
    loop {
        // Its log cannot be written either, nor the file with its status.
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
    ensure!(scene.installed()? == before, "it was cut off");
    let left = fs::read_dir(&limited.directory)?.count();
    scene.guarded.reload().await?;
    scene.holds().await?;

    let pid = scene.agent.pid.to_string();
    let freed = tool::run("prlimit", ["--pid", &pid, "--fsize=unlimited"]).await?;
    ensure!(freed.status.success(), "{}", freed.output);
    scene.agent.has(3).await?;
    is_refused(&late, scene.tcp()).await?;
    ensure!(fs::read_dir(&limited.directory)?.count() <= left + 1, "unfinished files are left");
    scene.recovers().await
}

async fn what_somebody_changed_is_put_back() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let good = scene.installed()?;
    let crl = scene.guarded.beside.directory.join("crl.pem");
    for harm in [Some(&good[..good.len() / 2]), Some(""), None] {
        match harm {
            Some(content) => fs::write(&crl, content)?,
            None => fs::remove_file(&crl)?,
        }
        let deadline = Instant::now() + SOON;
        while scene.installed().ok().as_ref() != Some(&good) {
            ensure!(Instant::now() < deadline, "it stays as it is");
            sleep(Duration::from_millis(10)).await;
        }
        scene.agent.has(2).await?;
        scene.holds().await?;
    }
    scene.recovers().await
}

async fn an_expired_crl_locks_everybody_out_until_the_next() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let publisher = &mut scene.guarded.site.publisher;
    let validity = std::mem::replace(&mut publisher.validity, 24 * 60 * 60);
    publisher.publish();
    scene.agent.has(3).await?;
    scene.complains("warning", "expires ").await?;
    scene.holds().await?;
    // Long enough to be taken, on whatever machine.
    scene.guarded.site.publisher.validity = 15;
    scene.guarded.site.publisher.publish();
    scene.complains("failing", "brokers that read it refuse everyone").await?;
    is_refused(&scene.good, scene.tcp()).await?;
    ensure!(scene.out.client.connect(scene.tcp()).await?.is_refused(), "it got in again");
    scene.guarded.site.publisher.validity = validity;
    scene.guarded.site.publisher.publish();
    scene.agent.has(5).await?;
    scene.guarded.lets_in_soon(&scene.good, scene.tcp()).await?;
    scene.recovers().await
}

async fn a_damaged_directory_is_mended() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let before = scene.installed()?;
    let state = scene.guarded.beside.directory.join("state");
    scene.agent.kill().await?;
    scene.guarded.site.publisher.publication.set_away(true);
    for file in ["device.crl", "denied.txt", "device.pem", "applied"] {
        let path = state.join(file);
        let content = fs::read(&path)?;
        fs::write(&path, &content[..content.len() / 2])?;
        scene.agent = scene.guarded.beside.start()?;
        scene.complains("warning", "GET ").await?;
        // What is known is less than what the broker has, and so is not written.
        ensure!(scene.installed()? == before, "{file}: it was written");
        scene.holds().await?;
        scene.agent.kill().await?;
    }
    scene.guarded.site.publisher.publication.set_away(false);
    scene.agent = scene.guarded.beside.start()?;
    scene.agent.has(2).await?;
    scene.recovers().await
}

/// The number of this CA's CRL in a file, all of which are whole.
fn number(pem: &str, ca: &pki::authority::CaCertificate) -> anyhow::Result<u64> {
    const END: &str = "-----END X509 CRL-----\n";
    ensure!(pem.ends_with(END), "{pem}");
    let lists: Vec<_> = pem.split_inclusive(END).collect();
    ensure!(lists.len() == 2, "{} CRLs", lists.len());
    let mut numbers = lists.iter().filter_map(|pem| VerifiedCrl::from_pem(pem, ca).ok());
    Ok(numbers.next().context("no CRL of this CA")?.number())
}
