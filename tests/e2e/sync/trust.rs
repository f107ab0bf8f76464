//! What the agent believes of the index, which nobody signed, and what it goes on from without its state.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::option;
use birthcert_tests::env::YEAR;
use birthcert_tests::pki::{Ca, revoked};
use birthcert_tests::publication::Publisher;
use birthcert_tests::site::{Site, is_refused};
use pki::clock::Timestamp;
use pki::crl::{Contents, VerifiedCrl, denied_digest};
use pki::hex;
use pki::profile::Usage;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::scene::Scene;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![
        an_old_crl_by_another_name_is_not_taken,
        a_name_that_led_elsewhere_leads_back,
        a_servers_ca_dates_no_list_of_devices,
        a_lost_state_takes_nothing_from_the_broker,
        a_ca_that_never_comes_is_not_waited_for_for_ever,
        a_root_that_changed_holds_up_nothing,
    ]
}

/// Publishes an index of these names and CAs, each with a CRL of its name.
fn list(publisher: &Publisher, names: &[(&str, &str)]) {
    let listed = names.iter().map(|(name, ca)| {
        json!({ "name": name, "crl": format!("/crl/{name}.crl"), "certificate": format!("/ca/{ca}.crt") })
    });
    let index = json!({ "authorities": listed.collect::<Vec<_>>() });
    publisher.publication.put("ca/index.json", index.to_string());
}

/// Publishes the certificate and the CRL of another CA under this name, with the digest of a list.
fn publish_other(publisher: &Publisher, name: &str, ca: &Ca, list: &str) {
    let chain = format!("{}{}", ca.certificate.pem(), publisher.root.certificate.pem());
    publisher.publication.put(&format!("ca/{name}.pem"), chain);
    let digest = denied_digest(list.as_bytes());
    publisher.publication.put(&format!("denied/{}.txt", hex(&digest)), list.to_owned());
    let dates = publisher.crl("service", 1, 0);
    let crl = ca.crl(Contents {
        number: 1,
        // Later than those of others.
        this_update: dates.this_update().plus(60),
        next_update: dates.next_update(),
        revoked: &[],
        denied_devices: Some(digest),
        distribution_point: None,
    });
    publisher.publication.put(&format!("crl/{name}.crl"), crl.der().to_vec());
}

fn has(status: &Value, name: &str, number: u64) -> bool {
    let mut all = status["authorities"].as_array().into_iter().flatten();
    all.any(|it| it["name"] == name && it["crl"]["number"] == number)
}

async fn an_old_crl_by_another_name_is_not_taken() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let before = scene.installed()?;
    let publisher = &mut scene.guarded.site.publisher;
    let now = publisher.revoked.clone();
    publisher.revoked.clear();
    let old = publisher.crl("device", 1, 0);
    publisher.publication.put("crl/a.crl", old.der().to_vec());
    publisher.revoked = now;

    let all = [("a", "device"), ("device", "device"), ("service", "service")];
    list(&scene.guarded.site.publisher, &all);
    scene.complains("warning", "its certificate is that of CA device").await?;
    scene.agent.kill().await?;
    scene.agent = scene.guarded.beside.start()?;
    scene.complains("warning", "its certificate is that of CA device").await?;
    ensure!(scene.installed()? == before, "it was installed");
    scene.holds().await?;

    // Nor when it is the only name that the CA has now.
    list(&scene.guarded.site.publisher, &all[..1]);
    scene.complains("warning", "an old CRL, 1: 2 was there already").await?;
    ensure!(scene.installed()? == before, "it was installed");
    scene.holds().await?;
    ensure!(!scene.guarded.beside.directory.join("state/a.pem").exists(), "it was kept");

    // Nor from the disk, whoever wrote it there.
    scene.agent.kill().await?;
    let state = scene.guarded.beside.directory.join("state");
    fs::copy(state.join("device.pem"), state.join("a.pem"))?;
    fs::write(state.join("a.crl"), old.der())?;
    scene.guarded.site.publisher.publish_authorities();
    scene.agent = scene.guarded.beside.start()?;
    scene.agent.has(2).await?;
    ensure!(scene.installed()? == before && !state.join("a.crl").exists(), "it was kept");
    scene.holds().await?;
    scene.recovers().await
}

async fn a_name_that_led_elsewhere_leads_back() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let publisher = &mut scene.guarded.site.publisher;
    let other = publisher.root.subordinate("Server CA", Usage::Server);
    publish_other(publisher, "device-2", &other, "");
    list(publisher, &[("device", "device"), ("device-2", "device-2"), ("service", "service")]);
    scene.agent.until(|status| has(status, "device-2", 1)).await?;

    let publisher = &mut scene.guarded.site.publisher;
    let successor = publisher.root.subordinate("Device CA 2", Usage::Device);
    publisher.authorities.push(("device-2", successor));
    publisher.publish_authorities();
    publisher.publish();
    scene.agent.until(|status| status["applied"] == true && has(status, "device-2-2", 3)).await?;
    let device = scene.guarded.site.device_of("device-2")?;
    scene.guarded.lets_in_soon(&device, scene.tcp()).await?;
    let entry = revoked(&device.leaf.serial_number, Timestamp::now().minus(1));
    scene.guarded.site.publisher.revoked.entry("device-2").or_default().push(entry);
    scene.guarded.site.publisher.publish();
    is_refused(&device, scene.tcp()).await?;
    scene.holds().await
}

async fn a_servers_ca_dates_no_list_of_devices() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let publisher = &mut scene.guarded.site.publisher;
    let server = publisher.root.subordinate("Server CA", Usage::Server);
    publish_other(publisher, "server", &server, "");
    list(publisher, &[("device", "device"), ("server", "server"), ("service", "service")]);
    scene.agent.until(|status| status["applied"] == true && has(status, "server", 1)).await?;
    sleep(Duration::from_secs(1)).await;
    let status = scene.agent.until(|status| status["applied"] == true).await?;
    ensure!(status["denied_devices"] == 1, "{status}");
    scene.holds().await
}

async fn a_lost_state_takes_nothing_from_the_broker() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let before = scene.installed()?;
    let state = scene.guarded.beside.directory.join("state");
    let publication = &scene.guarded.site.publisher.publication;
    let (crl, chain) = (publication.get("crl/device.crl"), publication.get("ca/device.pem"));
    let (crl, chain) = (crl.context("a CRL")?, chain.context("a chain")?);

    scene.agent.kill().await?;
    fs::remove_dir_all(&state)?;
    scene.guarded.site.publisher.publication.remove("crl/device.crl");
    scene.agent = scene.guarded.beside.start()?;
    scene.complains("warning", "it answers 404").await?;
    scene.agent.has(2).await?;
    ensure!(scene.installed()? == before, "it was written");
    scene.holds().await?;

    scene.agent.kill().await?;
    for file in ["device.crl", "device.pem"] {
        fs::remove_file(state.join(file))?;
    }
    scene.guarded.site.publisher.publication.remove("ca/device.pem");
    scene.agent = scene.guarded.beside.start()?;
    scene.complains("failing", "a CRL of a CA that is not known yet").await?;
    sleep(Duration::from_secs(1)).await;
    ensure!(scene.installed()? == before, "it was written");
    scene.holds().await?;

    scene.guarded.site.publisher.publication.put("crl/device.crl", crl);
    scene.guarded.site.publisher.publication.put("ca/device.pem", chain);
    scene.agent.has(2).await?;
    scene.recovers().await
}

async fn a_ca_that_never_comes_is_not_waited_for_for_ever() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    scene.agent.kill().await?;
    for file in ["device.crl", "device.pem"] {
        fs::remove_file(scene.guarded.beside.directory.join("state").join(file))?;
    }
    let publisher = &mut scene.guarded.site.publisher;
    publisher.publish();
    publisher.publication.remove("ca/device.pem");
    // Long enough for the agent to start and complain, on whatever machine.
    publisher.validity = 25;
    let crl = publisher.crl("device", 3, 0).pem()?;
    fs::write(scene.guarded.beside.directory.join("crl.pem"), crl)?;
    scene.agent = scene.guarded.beside.start()?;
    scene.complains("failing", "a CRL of a CA that is not known yet").await?;
    scene.agent.until(|status| status["applied"] == true).await?;
    let crl = scene.installed()?;
    let service = &scene.guarded.site.publisher.ca("service").certificate;
    ensure!(VerifiedCrl::from_pem(&crl, service)?.number() == 3, "{crl}");
    Ok(())
}

/// Publishes the root's own CRL, as it is made by hand: good for a year.
fn publish_roots(publisher: &Publisher) {
    let now = Timestamp::now().minus(60);
    let crl = publisher.root.crl(Contents {
        number: 1,
        this_update: now,
        next_update: now.plus(YEAR),
        revoked: &[],
        denied_devices: None,
        distribution_point: None,
    });
    publisher.publication.put("crl/root.crl", crl.der().to_vec());
}

async fn a_root_that_changed_holds_up_nothing() -> anyhow::Result<()> {
    let mut site = Site::start().await?;
    publish_roots(&site.publisher);
    let options = [["--run".into(), "true".into()], ["--root-crl".into(), "crl/root.crl".into()]];
    let beside = site.beside("command", &options);
    let mut agent = beside.start()?;
    agent.has(1).await?;
    agent.kill().await?;
    let path = beside.directory.join("crl.pem");
    let before = fs::read(&path)?;

    // The index still has an old CA.
    let publisher = &mut site.publisher;
    publisher.root = Ca::root("Root 2");
    let device = publisher.root.subordinate("D", Usage::Device);
    let old = publisher.publication.get("ca/service.pem").context("a chain")?;
    publisher.authorities = vec![("device", device)];
    publisher.publish_authorities();
    publisher.publish();
    publish_roots(publisher);
    publisher.publication.put("ca/service.pem", old);
    list(publisher, &[("device", "device"), ("service", "service")]);
    let root = site.operator.path("root-2.pem");
    fs::write(&root, site.publisher.root.certificate.pem())?;
    let beside = beside.with(option("--root", &root));
    let has_it_all = |status: &Value| {
        status["applied"] == true && has(status, "device", 2) && has(status, "root", 1)
    };
    let mut agent = beside.start()?;
    agent.until(has_it_all).await?;
    let log = beside.log();
    ensure!(
        log.contains("CA device is dropped: its certificate does not lead to the root"),
        "{log}"
    );
    ensure!(log.contains("CA service is dropped"), "{log}");
    let after = fs::read_to_string(&path)?;
    let devices = fs::read(beside.directory.join("crls/device.crl"))?;
    VerifiedCrl::from_der(devices, &site.publisher.ca("device").certificate)?;
    ensure!(after.matches("BEGIN X509 CRL").count() == 2, "{after}");
    ensure!(beside.directory.join("state/device.pem").exists());
    ensure!(!beside.directory.join("state/service.pem").exists(), "it is still kept");
    ensure!(agent.stop().await?.success());

    // Nor where nothing says any more whose the broker's CRLs are.
    fs::remove_dir_all(beside.directory.join("state"))?;
    fs::write(&path, before)?;
    let mut agent = beside.start()?;
    agent.until(has_it_all).await?;
    ensure!(fs::read_to_string(&path)? == after, "something else was written");
    ensure!(agent.stop().await?.success());
    Ok(())
}
