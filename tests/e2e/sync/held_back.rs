//! Who is in between and can forge nothing, but hold it back, or give it slowly.

use std::time::{Duration, Instant};

use anyhow::ensure;
use birthcert_tests::site::is_refused;

use super::scene::Scene;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![
        an_old_crl_that_is_never_followed_is_told_of,
        a_slow_ca_holds_up_the_others_for_seconds,
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

async fn a_slow_ca_holds_up_the_others_for_seconds() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let publisher = &mut scene.guarded.site.publisher;
    // Long enough for minutes.
    publisher.publication.set_trickling(Some("crl/service.crl"));
    publisher.publish();
    let began = Instant::now();
    scene.complains("warning", "it is too slow").await?;
    ensure!(began.elapsed() < Duration::from_secs(40), "after {:?}", began.elapsed());
    let late = scene.guarded.site.device()?;
    scene.guarded.site.revoke(&late);
    // Two tries at the slow one, of eleven seconds each, are less.
    is_refused(&late, scene.tcp()).await?;
    scene.guarded.site.publisher.publication.set_trickling(None);
    scene.recovers().await
}
