//! `birthcert token`.

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;

use super::setup::start;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![tokens_enroll_by_their_settings,]
}

async fn tokens_enroll_by_their_settings() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let create = async |how: &str| {
        let made = operator.json(&format!("token create {how}")).await?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("text");
        anyhow::Ok((text("token_id")?, text("enrollment_token")?))
    };
    let refused = async |token: &str, status: u16, slug: &str| {
        stack.api.enroll(token).await?.problem(status, slug, &[token])
    };
    let enrolls = async |token: &str| stack.api.enroll(token).await?.success::<Enrolled>();

    let past = "token create --expires-at 2020-02-29T00:00:00Z";
    operator.refused(past, 2, &["--expires-at", "2020-02-29", "is past"]).await?;
    // A token that enrolls devices can be ended immediately.
    let (id, expired) = create("").await?;
    operator.done(&format!("token update {id} --expires-at 2020-02-29")).await?;
    refused(&expired, 401, "invalid-enrollment-token").await?;
    let (_, lasting) = create("--expires-at 2999-12-31T23:59:59Z --batch-label batch-7").await?;
    enrolls(&lasting).await?;
    let (_, capped) = create("--device-cap 1").await?;
    enrolls(&capped).await?;
    refused(&capped, 403, "device-cap-reached").await?;

    let ranges: String = (0..=100).map(|it| format!(" --allow-from 192.0.2.{it}")).collect();
    let many = format!("token create {ranges}");
    operator.refused(&many, 2, &["100"]).await?;

    let (id, token) = create("").await?;
    let paused = operator.done(&format!("token pause {id}")).await?;
    ensure!(paused.trim_end() == format!("{id} is paused"), "{paused}");
    refused(&token, 403, "enrollment-token-paused").await?;
    let resumed = operator.json(&format!("token resume {id}")).await?;
    ensure!(resumed["token_id"] == id && resumed["status"] == "active", "{resumed}");
    enrolls(&token).await?;

    let text = operator.done(&format!("token regenerate {id}")).await?;
    let lines: Vec<_> = text.lines().collect();
    ensure!(lines.len() == 2 && lines[0] == id && lines[1].starts_with("et_"), "{text}");
    refused(&token, 401, "invalid-enrollment-token").await?;
    enrolls(lines[1]).await?;
    // A new secret does not resume a paused token.
    operator.done(&format!("token pause {id}")).await?;
    let again = operator.json(&format!("token regenerate {id}")).await?;
    let again = again["enrollment_token"].as_str().context("a token")?;
    refused(again, 403, "enrollment-token-paused").await?;
    refused(lines[1], 401, "invalid-enrollment-token").await?;
    stack.stop().await
}
