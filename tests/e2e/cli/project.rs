//! `birthcert project`.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use birthcert::id::ProjectId;
use birthcert_tests::api::Enrolled;

use super::start;

pub(super) fn tests() -> Vec<crate::Alone> {
    crate::alone![projects,]
}

async fn projects() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let text = operator.done("project create --name pumps").await?;
    let pumps: ProjectId = text.trim_end().parse().context(text)?;
    let values = "project create --name valves --validity-days 1 --grace-hours 0 \
                  --issuance-limit 1";
    let valves = operator.json(values).await?;
    ensure!(valves["name"] == "valves", "{valves}");
    let policy = &valves["policy"];
    ensure!(policy["validity_days"] == 1 && policy["grace_hours"] == 0, "{valves}");
    ensure!(policy["issuance_limit"] == 1, "{valves}");

    for (numbers, words) in [
        ("--validity-days 0", "1 to 36525 days"),
        ("--validity-days 36526", "1 to 36525 days"),
        ("--grace-hours 8761", "8760 hours at most"),
        ("--issuance-limit 0", "1 at least"),
    ] {
        operator.refused(&format!("project create --name bad {numbers}"), 1, &[words]).await?;
    }
    for numbers in ["--validity-days -1", "--validity-days x", "--grace-hours 1.5"] {
        operator.refused(&format!("project create --name bad {numbers}"), 2, &[]).await?;
    }

    let list = operator.json("project list").await?;
    let listed: BTreeSet<_> = list
        .as_array()
        .context("a list")?
        .iter()
        .map(|it| (it["project_id"].as_str().unwrap(), it["name"].as_str().unwrap()))
        .collect();
    let (pumps, demo) = (pumps.to_string(), stack.state.project_id.as_str());
    let valves = valves["project_id"].as_str().context("an id")?;
    ensure!(listed == BTreeSet::from([(demo, "demo"), (&pumps, "pumps"), (valves, "valves")]));
    let text = operator.done("project list").await?;
    ensure!(text.starts_with("PROJECT "), "{text}");
    ensure!(text.lines().count() == 4 && text.contains(&pumps), "{text}");

    // The policy is what devices get.
    let token = operator.json(&format!("token create --project {valves}")).await?;
    let token = token["enrollment_token"].as_str().context("a token")?;
    let device: Enrolled = stack.api.enroll(token).await?.success()?;
    ensure!(device.project_id == valves);
    stack.api.released(&device).await?;
    let again = stack.api.identity(&device.device_token).await?;
    again.problem(429, "issuance-limit-reached", &[&device.device_token])?;
    stack.stop().await
}
