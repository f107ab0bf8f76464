//! `birthcert project`.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use pki::names::ProjectId;
use serde_json::json;

use super::setup::start;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![projects, policies]
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
        ("--grace-hours 8761", "at most 8760 hours"),
        ("--issuance-limit 0", "at least 1"),
        ("--not-after-cap 2020-01-01", "is past"),
    ] {
        operator.refused(&format!("project create --name bad {numbers}"), 2, &[words]).await?;
    }
    for numbers in [
        "--validity-days -1",
        "--validity-days x",
        "--grace-hours 1.5",
        "--not-after-cap tomorrow",
        "--key-kinds dsa",
        "--key-kinds p256,,rsa",
        "--server-generated-keys maybe",
        "--organization=",
    ] {
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

    // Devices get what the policy says.
    let token = operator.json(&format!("token create --project {valves}")).await?;
    let token = token["enrollment_token"].as_str().context("a token")?;
    let device: Enrolled = stack.api.enroll(token).await?.success()?;
    ensure!(device.project_id == valves);
    stack.api.released(&device).await?;
    let again = stack.api.identity(&device.device_token).await?;
    again.problem(429, "issuance-limit-reached", &[&device.device_token])?;
    stack.stop().await
}

async fn policies() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let create = "project create --name meters --not-after-cap 2049-12-31T23:59:59Z \
                  --key-kinds p384,p256 --server-generated-keys refused --organization Meters";
    let created = operator.json(create).await?;
    let project = created["project_id"].as_str().context("an id")?;
    let expected = json!({
        "validity_days": 10957, "grace_hours": 24, "issuance_limit": 10,
        "not_after_cap": 2_524_607_999u64, "key_kinds": ["p256", "p384"],
        "server_generated_keys": false, "organization": "Meters",
    });
    ensure!(created["policy"] == expected, "{created}");
    let show = format!("project show --project {project}");
    ensure!(operator.json(&show).await? == created);
    let text = operator.done(&show).await?;
    for words in ["10957 days, at most until 2049-12-31T23:59:59Z", "p256, p384", "refused"] {
        ensure!(text.contains(words), "{text}");
    }

    // Devices get what the new policy says, also in a project that the function has not loaded.
    let token = operator.json(&format!("token create --project {project}")).await?;
    let token = token["enrollment_token"].as_str().context("a token")?;
    let device: Enrolled = stack.api.enroll(token).await?.success()?;
    let refused = stack.api.identity(&device.device_token).await?;
    refused.problem(403, "generated-keys-not-allowed", &[])?;
    let csr = include_str!("../../fixtures/csr/p384.pem");
    let certified = stack.api.certified(&device, csr).await?;
    ensure!(certified.not_after == "2049-12-31T23:59:59Z", "{}", certified.not_after);

    // Only the given options change.
    let update = format!("project update --project {project}");
    let changed =
        operator.json(&format!("{update} --issuance-limit 20 --no-not-after-cap")).await?;
    let mut expected = created.clone();
    expected["policy"]["issuance_limit"] = 20.into();
    expected["policy"].as_object_mut().context("a policy")?.remove("not_after_cap");
    ensure!(changed == expected, "{changed}");
    let all = "--name water --validity-days 365 --grace-hours 1 --issuance-limit 5 \
               --key-kinds rsa --server-generated-keys allowed --organization Water \
               --not-after-cap 2048-01-01";
    let changed = operator.json(&format!("{update} {all}")).await?;
    let expected = json!({
        "project_id": project, "name": "water", "created_at": created["created_at"],
        "policy": {
            "validity_days": 365, "grace_hours": 1, "issuance_limit": 5, "key_kinds": ["rsa"],
            "server_generated_keys": true, "organization": "Water",
            "not_after_cap": 2_461_449_600u64,
        },
    });
    ensure!(changed == expected, "{changed}");
    ensure!(operator.json(&show).await? == expected);

    // None of these changes anything.
    for (options, words) in [
        ("--validity-days 0", "1 to 36525 days"),
        ("--not-after-cap 2020-01-01", "is past"),
        ("--grace-hours 8761 --name other", "at most 8760 hours"),
    ] {
        operator.refused(&format!("{update} {options}"), 2, &[words]).await?;
    }
    for options in ["", "--organization x --no-organization", "--key-kinds x"] {
        operator.refused(&format!("{update} {options}"), 2, &[]).await?;
    }
    ensure!(operator.json(&show).await? == expected);
    let other = ProjectId::generate(&mut UnwrapErr(SysRng)).to_string();
    for line in ["project show", "project update --name x"] {
        let missing = format!("there is no project {other}");
        operator.refused(&format!("{line} --project {other}"), 3, &[&missing]).await?;
    }
    stack.stop().await
}
