//! Operators' work with tokens and devices, as commands.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::api::{ENROLLMENT_TOKEN, Enrolled};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::operator::Operator;
use http::Method;
use serde_json::Value;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_token_is_shown_and_changed,
        a_device_is_found_by_any_identifier,
        a_device_is_managed,
        irreversible_changes_are_confirmed,
        bulk_revocations_are_previewed_first,
    ]
}

pub(super) async fn start(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<(Env, Operator)> {
    let env = Env::start(emulators, backend).await?;
    let operator = Operator::of_env(&env)?;
    Ok((env, operator))
}

/// Returns the id and the secret of a new token.
pub(super) async fn token(operator: &Operator, how: &str) -> anyhow::Result<(String, String)> {
    let made = operator.json(&format!("token create {how}")).await?;
    let text = |name: &str| made[name].as_str().map(str::to_owned).context("text");
    Ok((text("token_id")?, text("enrollment_token")?))
}

pub(super) async fn enroll(env: &Env, token: &str, label: &str) -> anyhow::Result<Enrolled> {
    let form = "application/x-www-form-urlencoded";
    let label: String = label.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let headers = [(ENROLLMENT_TOKEN, token), ("Content-Type", form)];
    let answer = env.api.send(Method::POST, "/enroll", &headers, format!("label={label}")).await?;
    answer.success()
}

pub(super) fn ids(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|it| it["device_id"].as_str().expect("an id").to_owned()).collect()
}

pub(super) fn same(list: &Value, devices: &[&Enrolled]) -> bool {
    let listed: BTreeSet<_> = ids(list).into_iter().collect();
    listed == devices.iter().map(|it| it.device_id.to_string()).collect()
}

async fn a_token_is_shown_and_changed(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let (id, text) = token(
        &operator,
        "--batch-label March --device-cap 5 --expires-at 2999-01-01 --allow-from 192.0.2.0/24 \
         --allow-from 2001:db8::/32",
    )
    .await?;
    env.api.enroll(&text).await?.problem(403, "address-not-allowed", &[&text])?;
    let shown = operator.done(&format!("token show {id}")).await?;
    for line in
        [&*id, "March", "0 of 5", "192.0.2.0/24, 2001:db8::/32", "2999-01-01T00:00:00Z", "active"]
    {
        ensure!(shown.contains(line), "no {line} in {shown}");
    }
    let before = operator.json(&format!("token show {id}")).await?;
    ensure!(before["address_ranges"] == serde_json::json!(["192.0.2.0/24", "2001:db8::/32"]));

    // Only the given options change.
    let changed =
        operator.json(&format!("token update {id} --allow-from 127.0.0.0/8 --no-expiry")).await?;
    let mut expected = before.clone();
    expected["address_ranges"] = serde_json::json!(["127.0.0.0/8"]);
    expected.as_object_mut().context("an object")?.remove("expires_at");
    ensure!(changed == expected, "{changed}");
    let device = enroll(&env, &text, "pump").await?;
    let line = format!(
        "token update {id} --allow-from-anywhere --no-batch-label --device-cap 1 \
         --expires-at 2998-01-01T00:00:01Z"
    );
    let changed = operator.json(&line).await?;
    let keys: Vec<_> = changed.as_object().context("an object")?.keys().collect();
    ensure!(keys == ["created_at", "device_cap", "expires_at", "status", "token_id", "uses"]);
    env.api.enroll(&text).await?.problem(403, "device-cap-reached", &[&text])?;
    operator.done(&format!("token update {id} --no-device-cap")).await?;
    let second = enroll(&env, &text, "pump").await?;
    ensure!(operator.json(&format!("token show {id}")).await?["uses"] == 2);

    env.api.enrolled(&env.token).await?;
    let came = operator.json(&format!("token devices {id}")).await?;
    ensure!(same(&came, &[&device, &second]), "{came}");
    let [first, last] = &ids(&came)[..] else { anyhow::bail!("{came}") };
    let page = operator.json(&format!("token devices {id} --limit 1")).await?;
    ensure!(ids(&page) == [first.clone()], "{page}");
    let page = operator.json(&format!("token devices {id} --after {first}")).await?;
    ensure!(ids(&page) == [last.clone()], "{page}");
    let csv = operator.done("token list --output csv").await?;
    ensure!(csv.starts_with("token_id,status,uses,") && csv.lines().count() == 3, "{csv}");
    let secret = text.get(47..90).context("a secret")?;
    ensure!(!format!("{before}{shown}{csv}").contains(secret));
    Ok(())
}

async fn a_device_is_found_by_any_identifier(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let (_, token) = token(&operator, "").await?;
    let device = enroll(&env, &token, "pump 7").await?;
    enroll(&env, &token, "valve").await?;
    let released = env.api.released(&device).await?;
    let serial = released.serial_number;
    let colons = serial.as_bytes().chunks(2).map(|it| String::from_utf8_lossy(it).to_uppercase());
    let colons = colons.collect::<Vec<_>>().join(":");
    for what in [&*device.device_id.to_string(), &serial, &colons, "UMP"] {
        let found = operator.json(&format!("device find {what}")).await?;
        ensure!(ids(&found) == [device.device_id.to_string()], "{what}: {found}");
        if what == serial {
            ensure!(found[0]["certificate_status"] == "good", "{found}");
        }
    }
    // A label that looks like a serial number.
    let odd = enroll(&env, &token, &"4".repeat(32)).await?;
    let found = operator.json(&format!("device find --by label {}", "4".repeat(32))).await?;
    ensure!(same(&found, &[&odd]), "{found}");

    let issue = "broker issue --dns broker.example.com --directory broker";
    let server = operator.json(issue).await?["serial_number"].as_str().context("hex")?.to_owned();
    let found = operator.done(&format!("device find {server}")).await?;
    ensure!(found.contains("server broker.example.com"), "{found}");

    operator.done(&format!("device delete {} --yes", device.device_id)).await?;
    for what in [&*device.device_id.to_string(), &serial] {
        let found = operator.json(&format!("device find {what}")).await?;
        ensure!(found[0]["device_id"] == device.device_id.to_string(), "{found}");
        ensure!(found[0]["deleted"] == true, "{found}");
    }
    let shown = operator.done(&format!("device show {}", device.device_id)).await?;
    ensure!(shown.contains("deleted") && shown.contains(&serial), "{shown}");
    ensure!(shown.contains("cessationOfOperation"), "{shown}");
    Ok(())
}

async fn a_device_is_managed(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let (token_id, token) = token(&operator, "--batch-label March").await?;
    let device = enroll(&env, &token, "old").await?;
    let id = device.device_id;
    let labelled = operator.run_with(&["device", "label", &id.to_string(), "new one"]).await?;
    ensure!(labelled.done()? == format!("{id} is labelled new one\n"));
    ensure!(operator.json("device list --label new").await?[0]["label"] == "new one");
    for _ in 0..2 {
        env.api.released(&device).await?;
    }

    let shown = operator.json(&format!("device show {id}")).await?;
    ensure!(shown["issued"] == 2 && shown["project_issuance_limit"] == 10, "{shown}");
    ensure!(shown["token_id"] == token_id && shown["batch_label"] == "March", "{shown}");
    // Within a second the ledger's order is arbitrary.
    let certificates = shown["certificates"].as_array().context("a list")?;
    let statuses: BTreeSet<_> =
        certificates.iter().filter_map(|it| it["status"].as_str()).collect();
    ensure!(certificates.len() == 2 && statuses == ["good", "superseded"].into(), "{shown}");
    let text = operator.done(&format!("device show {id}")).await?;
    let lines = ["new one", "March", "2 of 10, the project's limit", "superseded", "good"];
    ensure!(lines.iter().all(|it| text.contains(it)), "{text}");

    // Eight more certificates may be issued anyway.
    let lift = format!("device lift-limit {id} --more 5");
    let lifted = operator.json(&lift).await?;
    ensure!(lifted["changed"] == false && lifted["issuance_limit"].is_null(), "{lifted}");
    let text = operator.done(&lift).await?;
    ensure!(
        text == format!("{id} has obtained 2 of 10 certificates; 8 left, nothing changed\n"),
        "{text}"
    );
    ensure!(operator.done(&format!("device show {id}")).await?.contains("2 of 10, the project's"));
    let lifted = operator.json(&format!("device lift-limit {id} --more 40")).await?;
    ensure!(lifted["issued"] == 2 && lifted["issuance_limit"] == 42, "{lifted}");
    ensure!(
        operator.done(&format!("device show {id}")).await?.contains("2 of 42, the device's limit")
    );
    ensure!(operator.json(&lift).await?["issuance_limit"] == 42, "it was lowered");
    for changed in [true, false] {
        let reset = operator.json(&format!("device lift-limit {id} --reset")).await?;
        ensure!(reset["changed"] == changed, "{reset}");
    }
    operator.done(&format!("device label {id} --remove")).await?;
    let shown = operator.json(&format!("device show {id}")).await?;
    ensure!(shown.get("label").is_none() && shown.get("issuance_limit").is_none(), "{shown}");

    let disabled = operator.done(&format!("device disable {id}")).await?;
    ensure!(disabled == format!("{id} is disabled\n"), "{disabled}");
    let again = operator.json(&format!("device disable {id}")).await?;
    ensure!(again["changed"] == false, "{again}");
    ensure!(env.api.identity(&device.device_token).await?.status == 401);
    operator.done(&format!("device enable {id}")).await?;
    env.api.released(&device).await?;
    for shown in [shown.to_string(), text] {
        ensure!(!shown.contains("hash") && !shown.contains(&device.device_token[47..90]));
    }
    Ok(())
}

async fn irreversible_changes_are_confirmed(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let id = device.device_id;
    let serial = env.api.released(&device).await?.serial_number;
    for line in [
        format!("device revoke {id}"),
        format!("device revoke {id} --serial {serial}"),
        format!("device delete {id}"),
    ] {
        operator.refused(&line, 4, &["nothing was done", "--yes"]).await?;
    }
    let held = format!("device delete {id} --reason certificateHold --yes");
    operator.refused(&held, 4, &["on hold"]).await?;
    let serial = env.api.released(&device).await?.serial_number;

    let one = format!("device revoke {id} --serial {serial} --reason keycompromise --yes");
    let done = operator.done(&one).await?;
    ensure!(done == format!("certificate {serial} of {id} is revoked\n"), "{done}");
    ensure!(operator.json(&one).await?["changed"] == false);
    let hold = operator.done(&format!("device revoke {id} --reason certificateHold -y")).await?;
    ensure!(hold == format!("{id} is on hold; certificates: 1\n"), "{hold}");
    ensure!(env.api.identity(&device.device_token).await?.status == 401);
    let back = operator.json(&format!("device unrevoke {id} --yes")).await?;
    ensure!(back["changed"] == true && back["certificates"] == 1, "{back}");
    env.api.released(&device).await?;

    let gone = operator.json(&format!("device revoke {id} --yes")).await?;
    ensure!(gone["certificates"] == 2, "{gone}");
    let again = operator.done(&format!("device revoke {id} --yes")).await?;
    ensure!(again == format!("{id} is already revoked\n"), "{again}");
    let is_revoked = format!("device {id} is revoked");
    for line in ["enable", "disable", "release-hold --yes", "revoke --reason certificateHold -y"] {
        operator.refused(&format!("device {line} {id}"), 4, &[&is_revoked]).await?;
    }
    Ok(())
}

async fn bulk_revocations_are_previewed_first(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let (march, march_token) = token(&operator, "--batch-label March").await?;
    let mut batch = Vec::new();
    for place in 0..12 {
        let device = enroll(&env, &march_token, &format!("pump {place}")).await?;
        if place % 3 == 0 {
            env.api.released(&device).await?;
        }
        batch.push(device);
    }
    let other = env.api.enrolled(&env.token).await?;
    let active = async || {
        let listed = operator.json("device list --status active").await?;
        anyhow::Ok(ids(&listed).len())
    };

    let plan = operator.json("device revoke --batch-label March").await?;
    ensure!(plan["dry_run"] == true && plan["selected"] == 12, "{plan}");
    let text = operator.done(&format!("device revoke --token {march}")).await?;
    ensure!(text.contains("nothing was done. With --yes, this would revoke 12 devices"), "{text}");
    ensure!(active().await? == 13, "a dry run changes nothing");

    // By label, from a file that also names an unknown device, and by the whole batch.
    let hold = "device revoke --label-prefix pump --label 11 --reason certificateHold --yes";
    ensure!(operator.json(hold).await?["changed"] == 1);
    let unknown = format!("dev_{}", "0".repeat(22));
    let list = format!("# stolen\n{}\n\n{unknown}\n{}\n", batch[0].device_id, batch[1].device_id);
    fs::write(operator.path("stolen.txt"), list)?;
    let ran = operator.run("device revoke --file stolen.txt --yes --output json").await?;
    let summary: Value =
        serde_json::from_str(&ran.partly(&["1 of 3 devices", "rerun the same command"])?)?;
    ensure!(summary["changed"] == 2 && summary["certificates"] == 1, "{summary}");
    ensure!(summary["failures"][0]["device_id"] == unknown, "{summary}");
    let why = summary["failures"][0]["error"].as_str().context("a text")?;
    ensure!(why.starts_with("there is no device"), "{summary}");
    ensure!(active().await? == 10);
    fs::write(operator.path("bad.txt"), format!("{}\ntok_x\n", batch[2].device_id))?;
    operator.refused("device revoke --file bad.txt --yes", 1, &["bad.txt", "line 2"]).await?;
    // A variable that a script forgot to set does not select the whole fleet.
    for filter in ["--label=", "--label-prefix=", "--batch-label=", "--token=", "--status="] {
        operator.refused(&format!("device revoke {filter} --yes"), 2, &["value"]).await?;
    }
    ensure!(active().await? == 10, "a file with a mistake does nothing");

    let all = "device revoke --batch-label March --reason keyCompromise --yes --concurrency 4";
    let summary = operator.json(all).await?;
    ensure!(summary["changed"] == 10 && summary["unchanged"] == 2, "{summary}");
    ensure!(summary["certificates"] == 3 && summary["untried"] == 0, "{summary}");
    let again = operator.json(all).await?;
    ensure!(again["changed"] == 0 && again["unchanged"] == 12, "{again}");
    for device in &batch {
        ensure!(env.api.identity(&device.device_token).await?.status == 401);
    }
    env.api.released(&other).await?;
    batch.push(other);
    env.verify_ledger(&batch).await
}
