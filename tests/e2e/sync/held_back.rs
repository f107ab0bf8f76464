//! Who is in between and can forge nothing, but hold it back, or give it slowly.

use std::time::{Duration, Instant};

use anyhow::ensure;
use birthcert_tests::publication::Slow;
use birthcert_tests::site::is_refused;
use tokio::time::sleep;

use super::scene::Scene;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![
        an_old_crl_that_is_never_followed_is_told_of,
        a_slow_ca_holds_up_no_other,
        a_crl_that_comes_late_is_taken,
        a_list_that_comes_late_is_told_of_and_taken,
    ]
}

const CRL: &str = "crl/device.crl";
/// Longer than anything is waited for by all else.
const LATE: Slow = Slow::After(Duration::from_secs(4));

async fn an_old_crl_that_is_never_followed_is_told_of() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let publisher = &mut scene.guarded.site.publisher;
    publisher.number = 3;
    let day_old = publisher.crl("device", 3, 24 * 60 * 60);
    publisher.publication.put(CRL, day_old.der().to_vec());
    // Everything else is as it should be, and answered by 304.
    let status = scene.complains("warning", "somebody may hold back what is newer").await?;
    ensure!(status["level"] == "warning" && status["problems"][0]["about"] == "CA device's CRL");
    ensure!(status["problems"].as_array().is_some_and(|it| it.len() == 1), "{status}");
    scene.holds().await?;
    scene.recovers().await
}

async fn a_slow_ca_holds_up_no_other() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let late = scene.guarded.site.device()?;
    drop(scene.guarded.lets_in(&late, scene.tcp()).await?);
    let publisher = &mut scene.guarded.site.publisher;
    publisher.publication.set_slow(Some(("crl/service.crl", Slow::Trickling)));
    publisher.publish();
    // It is given up after 26 seconds.
    let deadline = Instant::now() + Duration::from_secs(20);
    while publisher.publication.slow_answers() != (1, true) {
        ensure!(Instant::now() < deadline, "nobody asks for it");
        sleep(Duration::from_millis(5)).await;
    }
    scene.guarded.site.revoke(&late);
    is_refused(&late, scene.tcp()).await?;
    let slow = scene.guarded.site.publisher.publication.slow_answers();
    ensure!(slow == (1, true), "it was waited for: {slow:?}");
    scene.complains("warning", "it is too slow").await?;
    scene.guarded.site.publisher.publication.set_slow(None);
    scene.recovers().await
}

async fn a_crl_that_comes_late_is_taken() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let late = scene.guarded.site.device()?;
    drop(scene.guarded.lets_in(&late, scene.tcp()).await?);
    scene.guarded.site.publisher.publication.set_slow(Some((CRL, LATE)));
    scene.guarded.site.revoke(&late);
    let status = scene.agent.has(scene.guarded.site.publisher.number).await?;
    ensure!(status["level"] == "ok", "{status}");
    is_refused(&late, scene.tcp()).await?;
    scene.holds().await
}

async fn a_list_that_comes_late_is_told_of_and_taken() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let late = scene.guarded.site.device()?;
    drop(scene.guarded.lets_in(&late, scene.tcp()).await?);
    scene.guarded.site.publisher.publication.set_slow(Some(("denied/", LATE)));
    scene.guarded.site.revoke(&late);
    let status = scene.complains("warning", "is still coming").await?;
    ensure!(status["denied_devices"] == 1, "{status}");
    // By the CRL, which is there.
    is_refused(&late, scene.tcp()).await?;
    let status = scene.agent.has(scene.guarded.site.publisher.number).await?;
    ensure!(status["level"] == "ok" && status["denied_devices"] == 2, "{status}");
    scene.holds().await
}
