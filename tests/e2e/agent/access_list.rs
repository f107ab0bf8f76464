//! The operator's access list is missing, or belongs to another user.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::observed_session::is_refused;
use birthcert_tests::agent::process::AgentCommand;
use birthcert_tests::brokers::mosquitto::chown_to_mosquitto;

use super::fixture::Fixture;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_crl_does_not_wait_for_the_access_list,
        the_brokers_user_derives_it_from_roots_file
    ]
}

async fn a_crl_does_not_wait_for_the_access_list() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let rules = fixture.mosquitto.host.operator.path("conf/acl");
    let aside = fixture.mosquitto.host.operator.path("conf/aside");
    fs::rename(&rules, &aside)?;
    fixture.reports("failing", "conf/acl does not exist").await?;
    let late = fixture.mosquitto.host.device()?;
    fixture.mosquitto.host.revoke(&late);
    is_refused(&late, fixture.tcp()).await?;
    let status = fixture.agent.knows(3).await?;
    ensure!(status["level"] == "failing" && status["applied"] == false, "{status}");
    fixture.holds().await?;

    fs::rename(&aside, &rules)?;
    fixture.agent.has(3).await?;
    let acl = fs::read_to_string(fixture.mosquitto.command.directory.join("acl"))?;
    ensure!(acl.contains(&late.id.to_string()), "{acl}");
    fixture.recovers().await
}

async fn the_brokers_user_derives_it_from_roots_file() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    fixture.agent.kill().await?;
    let rules = fixture.mosquitto.host.operator.path("conf/acl");
    let directory = fixture.mosquitto.command.directory.clone();
    chown_to_mosquitto(&directory).await?;
    let broker = fs::metadata(&directory)?;
    let we_are_root = fs::metadata("/proc/self")?.uid() == 0;
    let mut before = String::new();
    if we_are_root {
        chown(&rules, Some(0), Some(0))?;
        before = format!(
            "set -- setpriv --reuid={} --regid={} --clear-groups \"$@\";",
            broker.uid(),
            broker.gid()
        );
    }
    // Readable to the group and to everybody, so that the group's permissions show.
    fs::set_permissions(&rules, fs::Permissions::from_mode(0o664))?;
    let command = AgentCommand { before, ..fixture.mosquitto.command.clone() };
    fixture.agent = command.start()?;
    let late = fixture.mosquitto.host.device()?;
    fixture.mosquitto.host.revoke(&late);
    fixture.agent.has(3).await.with_context(|| command.log())?;
    let made = fs::metadata(directory.join("acl"))?;
    ensure!((made.uid(), made.gid()) == (broker.uid(), broker.gid()));
    let mode = if we_are_root { 0o644 } else { 0o664 };
    ensure!(made.mode() & 0o777 == mode, "{:o}", made.mode());
    fixture.recovers().await
}
