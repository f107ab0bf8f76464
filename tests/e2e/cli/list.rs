//! `birthcert device list` and `token list`.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;
use serde_json::Value;

use super::setup::{fleet, start};

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![lists_show_devices_and_tokens_but_no_secrets,]
}

async fn lists_show_devices_and_tokens_but_no_secrets() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let (project, token) = fleet(&operator).await?;
    let list = |what: &str| format!("{what} list --project {project}");
    let nothing = operator.done(&list("device")).await?;
    ensure!(nothing == "The project has no devices.\n", "{nothing}");

    let mut enrolled = BTreeSet::new();
    for _ in 0..3 {
        let device: Enrolled = stack.api.enroll(&token).await?.success()?;
        enrolled.insert(device.device_id.to_string());
    }
    let all = operator.json(&list("device")).await?;
    let ids = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list");
        list.iter().map(|it| it["device_id"].as_str().expect("an id").to_owned()).collect()
    };
    ensure!(ids(&all).into_iter().collect::<BTreeSet<_>>() == enrolled, "{all}");
    let two = operator.json(&format!("{} --limit 2", list("device"))).await?;
    ensure!(ids(&two) == ids(&all)[..2], "{two}");
    let more = operator.json(&format!("{} --limit 1000000", list("device"))).await?;
    ensure!(more == all);
    operator.refused(&format!("{} --limit 0", list("device")), 2, &["--limit"]).await?;

    let text = operator.done(&list("device")).await?;
    ensure!(text.starts_with("DEVICE ") && text.lines().count() == 4, "{text}");
    ensure!(enrolled.iter().all(|id| text.contains(id)), "{text}");

    let tokens = operator.json(&list("token")).await?;
    ensure!(tokens.as_array().is_some_and(|it| it.len() == 1), "{tokens}");
    ensure!(tokens[0]["uses"] == 3 && tokens[0]["status"] == "active", "{tokens}");
    let table = operator.done(&list("token")).await?;
    ensure!(table.contains("3 of no cap"), "{table}");
    let secret = token.get(47..90).context("a secret")?;
    for shown in [tokens.to_string(), table, all.to_string(), text] {
        ensure!(!shown.contains(secret) && !shown.contains("hash"), "{shown}");
    }
    // Nothing of the other project is shown.
    let demo = operator.json("device list").await?;
    ensure!(demo == Value::Array(Vec::new()), "{demo}");
    stack.stop().await
}
