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
        what_comes_late_is_taken,
    ]
}

const CRL: &str = "crl/device.crl";

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
    let publisher = &mut scene.guarded.site.publisher;
    // Long enough for minutes.
    publisher.publication.set_slow(Some(("crl/service.crl", Slow::Trickling)));
    publisher.publish();
    let began = Instant::now();
    scene.complains("warning", "it is too slow").await?;
    ensure!(began.elapsed() < Duration::from_secs(40), "after {:?}", began.elapsed());
    let late = scene.guarded.site.device()?;
    // When the next try has begun, which takes more than ten seconds.
    while !scene.guarded.site.publisher.publication.is_slow() {
        sleep(Duration::from_millis(5)).await;
    }
    scene.guarded.site.revoke(&late);
    is_refused(&late, scene.tcp()).await?;
    ensure!(scene.guarded.site.publisher.publication.is_slow(), "the slow one was waited for");
    scene.guarded.site.publisher.publication.set_slow(None);
    scene.recovers().await
}

async fn what_comes_late_is_taken() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let late = scene.guarded.site.device()?;
    drop(scene.guarded.lets_in(&late, scene.tcp()).await?);
    let slow = Slow::After(Duration::from_secs(4));
    scene.guarded.site.publisher.publication.set_slow(Some((CRL, slow)));
    scene.guarded.site.revoke(&late);
    let status = scene.agent.has(scene.guarded.site.publisher.number).await?;
    ensure!(status["level"] == "ok", "{status}");
    is_refused(&late, scene.tcp()).await?;
    scene.holds().await
}
