//! Invalid command lines, failures on the way to AWS, and the help texts.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::ensure;
use birthcert_tests::operator::Operator;
use futures_util::future::try_join_all;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use pki::names::{DeviceId, ProjectId, TokenId};
use tokio::net::{TcpListener, TcpSocket};

use super::setup::{TABLE, fleet, start};

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        what_is_missing_is_named,
        malformed_arguments_are_usage_errors,
        without_region_or_credentials,
        endpoints_that_do_not_answer,
        every_command_has_help,
        completions_are_what_the_shell_reads,
        exit_codes_are_documented,
    ]
}

async fn what_is_missing_is_named() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let rng = &mut UnwrapErr(SysRng);
    let project = ProjectId::generate(rng).to_string();
    let token = TokenId::generate(rng).to_string();
    let no_project = format!("there is no project {project}");
    for line in ["token create", "token list", "device list", "device find pump"] {
        operator.refused(&format!("{line} --project {project}"), 3, &[&no_project]).await?;
    }
    let no_token = format!("there is no token {token}");
    for line in ["pause", "resume", "regenerate", "show", "devices", "update --no-expiry"] {
        let line = format!("token {line}");
        operator.refused(&format!("{line} {token}"), 3, &[&no_token]).await?;
        let elsewhere = format!("{line} --project {project} {token}");
        operator.refused(&elsewhere, 3, &[&project]).await?;
    }
    operator.refused(&format!("device list --token {token}"), 3, &[&no_token]).await?;
    operator
        .refused("device list --batch-label May", 3, &["no token with the batch label"])
        .await?;
    let device = DeviceId::generate(rng).to_string();
    let no_device = format!("there is no device {device}");
    for line in [
        "show",
        "find",
        "disable",
        "enable",
        "label --remove",
        "lift-limit",
        "revoke --yes",
        "release-hold --yes",
        "delete --yes",
        "list --after",
    ] {
        operator.refused(&format!("device {line} {device}"), 3, &[&no_device]).await?;
    }
    let serial = "4".repeat(32);
    operator.refused(&format!("device find {serial}"), 3, &["no certificate", &serial]).await?;
    operator.refused("device find nothing", 3, &["no device with \"nothing\""]).await?;
    // A token of one project is not valid in another.
    let (other, _) = fleet(&operator).await?;
    let demo = stack.token().subject().to_string();
    let elsewhere = format!("token pause --project {other} {demo}");
    operator
        .refused(&elsewhere, 3, &[&format!("there is no token {demo} in project {other}")])
        .await?;
    ensure!(stack.api.enroll(&stack.state.enrollment_token).await?.status == 200);

    stack.store(TABLE)?.create_table().await?;
    let issue = format!("--table {TABLE} broker issue --dns localhost --directory b");
    operator.refused(&issue, 1, &["the CA for servers is not set up", "ca subordinate"]).await?;
    operator.refused("--table no-such-table project list", 1, &["not found"]).await?;
    stack.stop().await
}

async fn malformed_arguments_are_usage_errors() -> anyhow::Result<()> {
    // None of these gets far enough to need anything.
    let operator = Operator::offline()?;
    let id = "0".repeat(22);
    for (line, words) in [
        ("device list --project proj_x".to_owned(), "proj_ and 22"),
        (format!("device list --project tok_{id}"), "proj_ and 22"),
        (format!("device list --project proj_{id}0"), "proj_ and 22"),
        (format!("token pause --project proj_{id} tok_x"), "tok_ and 22"),
        (format!("token pause --project proj_{id} proj_{id}"), "tok_ and 22"),
        (format!("token pause --project proj_{id}"), "<TOKEN>"),
        ("token list".to_owned(), "--project"),
        // Before anything is done whose result could not be printed.
        ("ca root --directory root --yes --output csv".to_owned(), "--output csv is for"),
        ("project create --name x --output csv".to_owned(), "--output csv is for"),
        ("broker revoke localhost --yes --output csv".to_owned(), "--output csv is for"),
        ("broker renew --directory broker --output csv".to_owned(), "--output csv is for"),
        (format!("token create --project proj_{id} --expires-at tomorrow"), "--expires-at"),
        (format!("token create --project proj_{id} --expires-at 2027-02-30T00:00:00Z"), "expires"),
        (format!("token create --project proj_{id} --device-cap many"), "--device-cap"),
        (format!("token create --project proj_{id} --device-cap 0"), "--device-cap"),
        (format!("token create --project proj_{id} --batch-label="), "the label is empty"),
        ("project create --name \u{1b}[2J".to_owned(), "control characters"),
        ("project create --name pump\u{200b}7".to_owned(), "invisible characters"),
        (format!("device list --project proj_{id} --limit=-1"), "--limit"),
        (format!("device list --project proj_{id} --status lost"), "held"),
        (format!("device list --project proj_{id} --created-after May"), "2027-01-31"),
        (format!("token create --project proj_{id} --allow-from 10.0.0.7/8"), "10.0.0.0/8"),
        (format!("token create --project proj_{id} --allow-from factory"), "203.0.113.0/24"),
        (format!("token update --project proj_{id} tok_{id}"), "--no-expiry"),
        (
            format!(
                "token update --project proj_{id} tok_{id} --no-expiry --expires-at 2030-01-01"
            ),
            "cannot be used with",
        ),
        ("device revoke".to_owned(), "<DEVICE>"),
        (format!("device revoke dev_{id} --token tok_{id}"), "cannot be used with"),
        (format!("device revoke dev_{id} --reason stolen"), "keyCompromise"),
        (format!("device revoke dev_{id} --reason removeFromCRL"), "certificateHold"),
        (format!("device revoke dev_{id} --serial 12"), "32 hexadecimal digits"),
        (format!("device revoke --token tok_{id} --serial {}", "4".repeat(32)), "--serial"),
        (format!("device label dev_{id}"), "LABEL"),
        ("completions tcsh".to_owned(), "bash"),
        ("ca request --usage mail --csr x".to_owned(), "mail"),
        ("ca root".to_owned(), "--directory"),
        ("project create".to_owned(), "--name"),
        ("project list --output yaml".to_owned(), "yaml"),
        ("project delete".to_owned(), "delete"),
    ] {
        operator.refused(&line, 2, &[words]).await?;
    }
    // A script's unset variable does not select the whole project.
    operator.run_with(&["device", "find", ""]).await?.refused(2, &["<WHAT>"])?;
    let operator = operator.with("BIRTHCERT_PROJECT", "nonsense");
    operator.refused("device list", 2, &["nonsense", "proj_ and 22"]).await
}

async fn without_region_or_credentials() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let operator = operator.without("AWS_REGION");
    for line in ["project list", "device list", "ca request --usage device --csr x.csr --yes"] {
        operator.refused(line, 1, &["no AWS region", "AWS_REGION", "birthcert-local env"]).await?;
    }
    let operator = operator.with("AWS_REGION", "us-east-1").without("AWS_SECRET_ACCESS_KEY");
    for line in ["project list", "ca request --usage device --csr x.csr --yes"] {
        operator.refused(line, 1, &["no credentials"]).await?;
    }
    // A file works as well as the environment.
    let operator = operator.without("AWS_REGION").without("AWS_ACCESS_KEY_ID");
    fs::create_dir(operator.path(".aws"))?;
    let config = "[default]\nregion=us-east-1\naws_access_key_id=a\naws_secret_access_key=b\n";
    fs::write(operator.path(".aws/config"), config)?;
    operator.done("project list").await?;
    stack.stop().await
}

async fn endpoints_that_do_not_answer() -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_secs(20);
    let (_scratch, stack, operator) = start().await?;
    // A port that is taken, but that nothing listens on.
    let closed = TcpSocket::new_v4()?;
    closed.bind("127.0.0.1:0".parse()?)?;
    let closed_url = format!("http://{}", closed.local_addr()?);
    // The kernel accepts connections to it, and nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let silent_url = format!("http://{}", silent.local_addr()?);
    let mut cases = Vec::new();
    for (url, words) in [(&closed_url, "Connection refused"), (&silent_url, "timeout")] {
        for (variable, service, line) in [
            ("AWS_ENDPOINT_URL_DYNAMODB", "DynamoDB", "project list"),
            ("AWS_ENDPOINT_URL_KMS", "KMS", "ca request --usage device --csr new.csr --yes"),
        ] {
            let operator = Operator::of(&stack)?.with(variable, url);
            cases.push(async move { operator.refused(line, 1, &[service, words]).await });
        }
    }
    let started = Instant::now();
    try_join_all(cases).await?;
    ensure!(started.elapsed() < LIMIT, "{:?}", started.elapsed());

    // Commands that do not use them require neither.
    let offline = operator
        .with("AWS_ENDPOINT_URL_DYNAMODB", &closed_url)
        .with("AWS_ENDPOINT_URL_KMS", &closed_url);
    offline.create_root().await?;
    stack.stop().await
}

/// Returns every command that help lists, with its help. Each name begins with a space; the empty
/// name is `birthcert` itself.
pub(super) async fn commands(operator: &Operator) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut commands = vec![String::new()];
    while let Some(command) = commands.pop() {
        let help = operator.done(&format!("{command} --help")).await?;
        let listed = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        let names = listed.lines().take_while(|line| !line.is_empty());
        // The second line of a description is indented further.
        let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for name in names.filter_map(|line| line.split_whitespace().next()) {
            if name != "help" {
                commands.push(format!("{command} {name}"));
            }
        }
        found.insert(command, help);
    }
    Ok(found)
}

async fn every_command_has_help() -> anyhow::Result<()> {
    let operator = Operator::offline()?;
    let found = commands(&operator).await?;
    for (command, help) in &found {
        ensure!(help.contains(&format!("Usage: birthcert{command}")), "{command}: {help}");
        let is_group = help.contains("Commands:\n");
        ensure!(is_group || help.contains("Example"), "no example: {command}: {help}");
    }
    // Commands for machines without network have no table option.
    for (command, has_table) in [(" ca list", true), (" ca root", false), (" ca certify", false)] {
        let help = &found[command];
        let shown = ["--table", "--stack"].map(|option| help.contains(option));
        ensure!(shown == [has_table; 2], "{command}: {help}");
    }
    // Global options that a script passes to every command are harmless there.
    operator.done("--table x ca root --directory x").await?;
    operator.done("ca root --directory x --table x").await?;
    for command in [
        "",
        " broker issue",
        " broker issue-client",
        " broker renew",
        " broker list",
        " broker users",
        " broker config",
        " broker config mosquitto",
        " broker config aws-iot",
        " ca activate",
        " ca ceremony",
        " ca certify",
        " ca list",
        " ca prepare",
        " ca retire",
        " ca show",
        " ca request",
        " ca root",
        " ca root-crl",
        " ca subordinate",
        " completions",
        " device delete",
        " device disable",
        " device enable",
        " device find",
        " device label",
        " device lift-limit",
        " device release-hold",
        " device revoke",
        " device show",
        " token devices",
        " token show",
        " token update",
        " device list",
        " project create",
        " project list",
        " token create",
        " token list",
        " token pause",
        " token regenerate",
        " token resume",
    ] {
        ensure!(
            found.contains_key(command),
            "no help lists birthcert{command}: {:?}",
            found.keys()
        );
    }
    let version = operator.done("--version").await?;
    ensure!(version.starts_with("birthcert "), "{version}");
    Ok(())
}

async fn completions_are_what_the_shell_reads() -> anyhow::Result<()> {
    // Neither AWS nor a region is required.
    let operator = Operator::offline()?;
    for (shell, words) in [
        ("bash", "complete -F _birthcert"),
        ("zsh", "#compdef birthcert"),
        ("fish", "complete -c birthcert"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = operator.done(&format!("completions {shell}")).await?;
        ensure!(script.contains(words) && script.contains("lift-limit"), "{shell}: {script}");
    }
    // Bash's completions of "birthcert device re".
    let script = operator.path("completions.bash");
    fs::write(&script, operator.done("completions bash").await?)?;
    let ask = "source \"$0\"; COMP_WORDS=(birthcert device re); COMP_CWORD=2; \
               _birthcert birthcert re device; echo \"${COMPREPLY[@]}\"";
    let output = tokio::process::Command::new("bash").args(["-c", ask]).arg(&script).output();
    let offered = String::from_utf8(output.await?.stdout)?;
    ensure!(offered.trim() == "revoke release-hold", "{offered}");
    Ok(())
}

async fn exit_codes_are_documented() -> anyhow::Result<()> {
    let help = Operator::offline()?.done("--help").await?;
    let codes = help.split_once("Exit codes:").map_or("", |(_, rest)| rest);
    for code in 0..=5 {
        ensure!(codes.contains(&format!("\n  {code}  ")), "{code}: {help}");
    }
    Ok(())
}
