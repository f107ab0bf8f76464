//! The operator's access list is missing, or is somebody else's.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::Beside;
use birthcert_tests::mosquitto::hand_over;
use birthcert_tests::site::is_refused;

use super::scene::Scene;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![a_crl_does_not_wait_for_it, the_brokers_user_makes_it_of_roots]
}

async fn a_crl_does_not_wait_for_it() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let rules = scene.guarded.site.operator.path("conf/acl");
    let aside = scene.guarded.site.operator.path("conf/aside");
    fs::rename(&rules, &aside)?;
    scene.complains("failing", "conf/acl is not there").await?;
    let late = scene.guarded.site.device()?;
    scene.guarded.site.revoke(&late);
    is_refused(&late, scene.tcp()).await?;
    let status = scene.agent.knows(3).await?;
    ensure!(status["level"] == "failing" && status["applied"] == false, "{status}");
    scene.holds().await?;

    fs::rename(&aside, &rules)?;
    scene.agent.has(3).await?;
    let acl = fs::read_to_string(scene.guarded.beside.directory.join("acl"))?;
    ensure!(acl.contains(&late.id.to_string()), "{acl}");
    scene.recovers().await
}

async fn the_brokers_user_makes_it_of_roots() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    scene.agent.kill().await?;
    let rules = scene.guarded.site.operator.path("conf/acl");
    let directory = scene.guarded.beside.directory.clone();
    hand_over(&directory).await?;
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
    // Which nobody but its owner and everybody may read, so that the group shows.
    fs::set_permissions(&rules, fs::Permissions::from_mode(0o664))?;
    let beside = Beside { before, ..scene.guarded.beside.clone() };
    scene.agent = beside.start()?;
    let late = scene.guarded.site.device()?;
    scene.guarded.site.revoke(&late);
    scene.agent.has(3).await.with_context(|| beside.log())?;
    let made = fs::metadata(directory.join("acl"))?;
    ensure!((made.uid(), made.gid()) == (broker.uid(), broker.gid()));
    let mode = if we_are_root { 0o644 } else { 0o664 };
    ensure!(made.mode() & 0o777 == mode, "{:o}", made.mode());
    scene.recovers().await
}
