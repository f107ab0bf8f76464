//! Trust in the index, which is unsigned, and recovery after the agent's state is lost.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::broker_host::BrokerHost;
use birthcert_tests::agent::observed_session::is_refused;
use birthcert_tests::agent::publisher::Publisher;
use birthcert_tests::env::YEAR;
use birthcert_tests::pki::ca::{Ca, revoked};
use birthcert_tests::process::option;
use pki::clock::Timestamp;
use pki::crl::{Contents, VerifiedCrl, denied_digest};
use pki::hex;
use pki::profile::Usage;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::fixture::Fixture;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        an_old_crl_by_another_name_is_not_taken,
        a_name_that_pointed_elsewhere_is_corrected,
        a_server_ca_does_not_date_the_deny_list,
        a_lost_state_takes_nothing_from_the_broker,
        waiting_for_a_missing_ca_ends,
        a_changed_root_blocks_nothing,
    ]
}

/// Publishes an index of these names and CAs, each with a CRL of that name.
fn list(publisher: &Publisher, names: &[(&str, &str)]) {
    let listed = names.iter().map(|(name, ca)| {
        json!({ "name": name, "crl": format!("/crl/{name}.crl"), "certificate": format!("/ca/{ca}.crt") })
    });
    let index = json!({ "authorities": listed.collect::<Vec<_>>() });
    publisher.publication.put("ca/index.json", index.to_string());
}

/// Publishes another CA's certificate and CRL under this name, with the digest of a deny list.
fn publish_other(publisher: &Publisher, name: &str, ca: &Ca, list: &str) {
    let chain = format!("{}{}", ca.certificate.pem(), publisher.root.certificate.pem());
    publisher.publication.put(&format!("ca/{name}.pem"), chain);
    let digest = denied_digest(list.as_bytes());
    publisher.publication.put(&format!("denied/{}.txt", hex(&digest)), list.to_owned());
    let dates = publisher.crl("service", 1, 0);
    let crl = ca.crl(Contents {
        number: 1,
        // Later than those of the other CAs.
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
    let mut fixture = Fixture::start().await?;
    let before = fixture.installed()?;
    let publisher = &mut fixture.mosquitto.host.publisher;
    let now = publisher.revoked.clone();
    publisher.revoked.clear();
    let old = publisher.crl("device", 1, 0);
    publisher.publication.put("crl/a.crl", old.der().to_vec());
    publisher.revoked = now;

    let all = [("a", "device"), ("device", "device"), ("service", "service")];
    list(&fixture.mosquitto.host.publisher, &all);
    fixture.reports("warning", "certificate has the same key as CA device").await?;
    fixture.agent.kill().await?;
    fixture.agent = fixture.mosquitto.command.start()?;
    fixture.reports("warning", "certificate has the same key as CA device").await?;
    ensure!(fixture.installed()? == before, "it was installed");
    fixture.holds().await?;

    // Nor if it is the CA's only name in the index.
    list(&fixture.mosquitto.host.publisher, &all[..1]);
    fixture.reports("warning", "CRL 1 is outdated: CRL 2 was accepted before").await?;
    ensure!(fixture.installed()? == before, "it was installed");
    fixture.holds().await?;
    ensure!(!fixture.mosquitto.command.directory.join("state/a.pem").exists(), "it was kept");

    // Nor from the disk, whoever wrote it there.
    fixture.agent.kill().await?;
    let state = fixture.mosquitto.command.directory.join("state");
    fs::copy(state.join("device.pem"), state.join("a.pem"))?;
    fs::write(state.join("a.crl"), old.der())?;
    fixture.mosquitto.host.publisher.publish_authorities();
    fixture.agent = fixture.mosquitto.command.start()?;
    fixture.agent.has(2).await?;
    ensure!(fixture.installed()? == before && !state.join("a.crl").exists(), "it was kept");
    fixture.holds().await?;
    fixture.recovers().await
}

async fn a_name_that_pointed_elsewhere_is_corrected() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let publisher = &mut fixture.mosquitto.host.publisher;
    let other = publisher.root.subordinate("Server CA", Usage::Server);
    publish_other(publisher, "device-2", &other, "");
    list(publisher, &[("device", "device"), ("device-2", "device-2"), ("service", "service")]);
    fixture.agent.until(|status| has(status, "device-2", 1)).await?;

    let publisher = &mut fixture.mosquitto.host.publisher;
    let successor = publisher.root.subordinate("Device CA 2", Usage::Device);
    publisher.authorities.push(("device-2", successor));
    publisher.publish_authorities();
    publisher.publish();
    fixture.agent.until(|status| status["applied"] == true && has(status, "device-2-2", 3)).await?;
    let device = fixture.mosquitto.host.device_of("device-2")?;
    fixture.mosquitto.lets_in_soon(&device, fixture.tcp()).await?;
    let entry = revoked(&device.leaf.serial_number, Timestamp::now().minus(1));
    fixture.mosquitto.host.publisher.revoked.entry("device-2").or_default().push(entry);
    fixture.mosquitto.host.publisher.publish();
    is_refused(&device, fixture.tcp()).await?;
    fixture.holds().await
}

async fn a_server_ca_does_not_date_the_deny_list() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let publisher = &mut fixture.mosquitto.host.publisher;
    let server = publisher.root.subordinate("Server CA", Usage::Server);
    publish_other(publisher, "server", &server, "");
    list(publisher, &[("device", "device"), ("server", "server"), ("service", "service")]);
    fixture.agent.until(|status| status["applied"] == true && has(status, "server", 1)).await?;
    sleep(Duration::from_secs(1)).await;
    let status = fixture.agent.until(|status| status["applied"] == true).await?;
    ensure!(status["denied_devices"] == 1, "{status}");
    fixture.holds().await
}

async fn a_lost_state_takes_nothing_from_the_broker() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let before = fixture.installed()?;
    let state = fixture.mosquitto.command.directory.join("state");
    let publication = &fixture.mosquitto.host.publisher.publication;
    let (crl, chain) = (publication.get("crl/device.crl"), publication.get("ca/device.pem"));
    let (crl, chain) = (crl.context("a CRL")?, chain.context("a chain")?);

    fixture.agent.kill().await?;
    fs::remove_dir_all(&state)?;
    fixture.mosquitto.host.publisher.publication.remove("crl/device.crl");
    fixture.agent = fixture.mosquitto.command.start()?;
    fixture.reports("warning", "unexpected status 404").await?;
    fixture.agent.has(2).await?;
    ensure!(fixture.installed()? == before, "it was written");
    fixture.holds().await?;

    fixture.agent.kill().await?;
    for file in ["device.crl", "device.pem"] {
        fs::remove_file(state.join(file))?;
    }
    fixture.mosquitto.host.publisher.publication.remove("ca/device.pem");
    fixture.agent = fixture.mosquitto.command.start()?;
    fixture.reports("failing", "a CRL of a CA that is not verified yet").await?;
    sleep(Duration::from_secs(1)).await;
    ensure!(fixture.installed()? == before, "it was written");
    fixture.holds().await?;

    fixture.mosquitto.host.publisher.publication.put("crl/device.crl", crl);
    fixture.mosquitto.host.publisher.publication.put("ca/device.pem", chain);
    fixture.agent.has(2).await?;
    fixture.recovers().await
}

async fn waiting_for_a_missing_ca_ends() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    fixture.agent.kill().await?;
    for file in ["device.crl", "device.pem"] {
        fs::remove_file(fixture.mosquitto.command.directory.join("state").join(file))?;
    }
    let publisher = &mut fixture.mosquitto.host.publisher;
    publisher.publish();
    publisher.publication.remove("ca/device.pem");
    // Long enough for the agent to start and report, even on a slow machine.
    publisher.validity = 25;
    let crl = publisher.crl("device", 3, 0).pem()?;
    fs::write(fixture.mosquitto.command.directory.join("crl.pem"), crl)?;
    fixture.agent = fixture.mosquitto.command.start()?;
    fixture.reports("failing", "a CRL of a CA that is not verified yet").await?;
    fixture.agent.until(|status| status["applied"] == true).await?;
    let crl = fixture.installed()?;
    let service = &fixture.mosquitto.host.publisher.ca("service").certificate;
    ensure!(VerifiedCrl::from_pem(&crl, service)?.number() == 3, "{crl}");
    Ok(())
}

/// Publishes the root's own CRL, valid for a year, as operators make it by hand.
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

async fn a_changed_root_blocks_nothing() -> anyhow::Result<()> {
    let mut host = BrokerHost::start().await?;
    publish_roots(&host.publisher);
    let options = [["--run".into(), "true".into()], ["--root-crl".into(), "crl/root.crl".into()]];
    let command = host.agent_command("command", &options);
    let mut agent = command.start()?;
    agent.has(1).await?;
    agent.kill().await?;
    let path = command.directory.join("crl.pem");
    let before = fs::read(&path)?;

    // The index still lists an old CA.
    let publisher = &mut host.publisher;
    publisher.root = Ca::root("Root 2");
    let device = publisher.root.subordinate("D", Usage::Device);
    let old = publisher.publication.get("ca/service.pem").context("a chain")?;
    publisher.authorities = vec![("device", device)];
    publisher.publish_authorities();
    publisher.publish();
    publish_roots(publisher);
    publisher.publication.put("ca/service.pem", old);
    list(publisher, &[("device", "device"), ("service", "service")]);
    let root = host.operator.path("root-2.pem");
    fs::write(&root, host.publisher.root.certificate.pem())?;
    let command = command.with(option("--root", &root));
    let has_it_all = |status: &Value| {
        status["applied"] == true && has(status, "device", 2) && has(status, "root", 1)
    };
    let mut agent = command.start()?;
    agent.until(has_it_all).await?;
    let log = command.log();
    ensure!(
        log.contains("dropping CA device: certificate does not chain to a trusted root"),
        "{log}"
    );
    ensure!(log.contains("dropping CA service"), "{log}");
    let after = fs::read_to_string(&path)?;
    let devices = fs::read(command.directory.join("crls/device.crl"))?;
    VerifiedCrl::from_der(devices, &host.publisher.ca("device").certificate)?;
    ensure!(after.matches("BEGIN X509 CRL").count() == 2, "{after}");
    ensure!(command.directory.join("state/device.pem").exists());
    ensure!(!command.directory.join("state/service.pem").exists(), "it is still kept");
    ensure!(agent.stop().await?.success());

    // Nor if nothing records any longer which CAs issued the broker's CRLs.
    fs::remove_dir_all(command.directory.join("state"))?;
    fs::write(&path, before)?;
    let mut agent = command.start()?;
    agent.until(has_it_all).await?;
    ensure!(fs::read_to_string(&path)? == after, "something else was written");
    ensure!(agent.stop().await?.success());
    Ok(())
}
