//! `--output json`, of every command.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::operator::Operator;
use birthcert_tests::stack::Stack;
use pki::clock::Timestamp;
use serde_json::Value;

use super::setup::start;
use super::usage::commands;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![times_are_numbers_in_the_json_of_every_command]
}

async fn times_are_numbers_in_the_json_of_every_command() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let mut seen = Seen { operator: &operator, commands: BTreeSet::new() };
    ceremonies(&stack, &mut seen).await?;
    fleets(&stack, &mut seen).await?;
    brokers(&mut seen).await?;

    let all = commands(&Operator::offline()?).await?;
    let is_group = |name: &str| all.keys().any(|it| it.starts_with(&format!("{name} ")));
    // The first prints no JSON; the others run until they are stopped.
    let is_other = |name: &str| name == "completions" || name.starts_with("broker sync");
    let leaves = all.keys().map(|it| it.trim()).filter(|it| !is_group(&format!(" {it}")));
    let left: Vec<_> =
        leaves.filter(|it| !it.is_empty() && !is_other(it) && !seen.has(it)).collect();
    ensure!(left.is_empty(), "not looked at: {left:?}");
    stack.stop().await
}

/// An operator and the commands that they ran.
struct Seen<'a> {
    operator: &'a Operator,
    commands: BTreeSet<String>,
}

impl Seen<'_> {
    /// Runs a command, records it, and checks its output.
    async fn json(&mut self, line: &str) -> anyhow::Result<Value> {
        let json = self.operator.json(line).await?;
        check(&json, line)?;
        self.commands.insert(format!("{line} "));
        Ok(json)
    }

    fn has(&self, command: &str) -> bool {
        self.commands.iter().any(|it| it.starts_with(&format!("{command} ")))
    }
}

/// Checks that no value is a time in text form.
fn check(value: &Value, line: &str) -> anyhow::Result<()> {
    match value {
        Value::String(text) => ensure!(text.parse::<Timestamp>().is_err(), "{line}: {text}"),
        Value::Array(items) => items.iter().try_for_each(|it| check(it, line))?,
        Value::Object(fields) => {
            for (name, value) in fields {
                check(value, line)?;
                let is_time =
                    name.ends_with("_at") || ["not_after", "next_update"].contains(&&**name);
                ensure!(!is_time || value.is_u64() || value.is_null(), "{line}: {name} {value}");
            }
        }
        _ => {}
    }
    Ok(())
}

async fn ceremonies(stack: &Stack, seen: &mut Seen<'_>) -> anyhow::Result<()> {
    let own = stack.data.join("ca");
    let root = format!("--root {0} --passphrase-file {0}/passphrase", own.display());
    let pem = own.join("root.pem");
    for more in ["", " --yes"] {
        seen.json(&format!("ca root --directory root --passphrase-file passphrase{more}")).await?;
        seen.json(&format!("ca request --usage device --name device-2 --csr 2.csr{more}")).await?;
        let certify = "ca certify --usage device --name device-2 --csr 2.csr --certificate 2.pem";
        if more.is_empty() {
            continue;
        }
        seen.json(&format!("{certify} {root}")).await?;
        seen.json(&format!("{certify} {root}{more}")).await?;
    }
    fs::write(
        seen.operator.path("ceremony.yaml"),
        "directory: third\nroot:\n  common_name: Third\n  key: file\n",
    )?;
    let pem = pem.display();
    let prepare = format!("ca prepare --usage device --certificate 2.pem --root-certificate {pem}");
    for more in ["", " --yes"] {
        let ceremony = "ca ceremony --input ceremony.yaml --passphrase-file passphrase";
        seen.json(&format!("{ceremony}{more}")).await?;
        seen.json(&format!("ca root-crl {root}{more}")).await?;
        seen.json(&format!("ca subordinate --usage service {root}{more}")).await?;
        seen.json(&format!("{prepare}{more}")).await?;
    }
    seen.json("crl publish").await?;
    seen.json("crl status").await?;
    for line in ["ca activate --name device-2", "ca activate --name device"] {
        seen.json(line).await?;
        seen.json(&format!("{line} --yes")).await?;
    }
    seen.json("ca retire device-2").await?;
    seen.json("ca list").await?;
    seen.json("ca show device").await.map(drop)
}

async fn fleets(stack: &Stack, seen: &mut Seen<'_>) -> anyhow::Result<()> {
    seen.json("project create --name pumps --not-after-cap 2049-12-31").await?;
    seen.json("project update --not-after-cap 2049-12-31").await?;
    seen.json("project show").await?;
    seen.json("project list").await?;

    let made = seen.json("token create --expires-at 2999-01-01").await?;
    let token = made["token_id"].as_str().context("an id")?;
    for line in ["show", "pause", "resume", "regenerate", "show", "devices"] {
        seen.json(&format!("token {line} {token}")).await?;
    }
    seen.json(&format!("token update {token} --device-cap 5")).await?;
    seen.json("token list").await?;

    let (device, identity) = stack.new_device().await?;
    let id = device.device_id;
    for line in ["show", "find", "disable", "enable", "label --remove", "lift-limit --more 50"] {
        seen.json(&format!("device {line} {id}")).await?;
    }
    seen.json(&format!("device find {}", identity.serial_number)).await?;
    seen.json("device list").await?;
    seen.json(&format!("device revoke {id} --reason certificateHold --yes")).await?;
    seen.json(&format!("device release-hold {id} --yes")).await?;
    seen.json("device revoke --status active").await?;
    seen.json(&format!("device revoke {id} --yes")).await?;
    seen.json(&format!("device show {id}")).await?;
    seen.json(&format!("device delete {id} --yes")).await.map(drop)
}

async fn brokers(seen: &mut Seen<'_>) -> anyhow::Result<()> {
    seen.json("broker issue --dns a.example --directory b").await?;
    seen.json("broker issue-client --common-name c.example --directory c").await?;
    seen.json("broker renew --directory b").await?;
    seen.json("broker renew --directory b --within 400d").await?;
    seen.json("broker revoke a.example --yes").await?;
    seen.json("broker list").await?;
    for broker in ["rabbitmq", "nats"] {
        seen.json(&format!("broker users {broker} --file {broker}.users")).await?;
    }
    for broker in ["mosquitto", "rabbitmq", "nats", "emqx", "hivemq"] {
        let line = format!("broker config {broker} --output-directory for-{broker}");
        seen.json(&line).await?;
    }
    // The command also prints a note for people.
    let aws_iot = "broker config aws-iot --output-directory iot --output json";
    check(&serde_json::from_str(seen.operator.run(aws_iot).await?.stdout())?, aws_iot)?;
    seen.commands.insert(aws_iot.to_owned());
    Ok(())
}
