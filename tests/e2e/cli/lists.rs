//! Lists and exports of devices.

use std::collections::BTreeSet;

use anyhow::ensure;
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use ledger::store::DeviceQuery;
use pki::clock::Timestamp;
use serde_json::Value;

use super::fleet::{enroll, ids, same, start, token};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        devices_are_listed_by_every_filter,
        pages_have_every_device_once,
        lookalike_items_are_in_no_list,
        exports_are_whole_and_inert,
    ]
}

async fn devices_are_listed_by_every_filter(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let (march, march_token) = token(&operator, "--batch-label March").await?;
    let (_, more_of_march) = token(&operator, "--batch-label March").await?;
    let (_, april) = token(&operator, "--batch-label April").await?;
    let one = enroll(&env, &march_token, "Pump 1").await?;
    let two = enroll(&env, &more_of_march, "big pump 2").await?;
    let three = enroll(&env, &april, "Älter valve").await?;
    let nameless = env.api.enrolled(&env.token).await?;
    operator.done(&format!("device disable {}", two.device_id)).await?;

    for (filters, expected) in [
        ("", vec![&one, &two, &three, &nameless]),
        ("--label pump", vec![&one, &two]),
        ("--label PUMP", vec![&one, &two]),
        ("--label ä", vec![&three]),
        ("--label-prefix Pump", vec![&one]),
        ("--label-prefix ump", vec![]),
        ("--batch-label March", vec![&one, &two]),
        ("--batch March --status active", vec![&one]),
        ("--status disabled", vec![&two]),
        ("--status revoked", vec![]),
        (&*format!("--token {march}"), vec![&one]),
        ("--created-after 2020-01-01", vec![&one, &two, &three, &nameless]),
        ("--created-after 2999-01-01", vec![]),
        ("--created-before 2020-01-01", vec![]),
        ("--created-after 2999-01-01 --created-before 2020-01-01", vec![]),
        (&*format!("--created-before {}", Timestamp::from_unix(three.timestamp)), {
            let all = [&one, &two, &three, &nameless];
            all.into_iter().filter(|it| it.timestamp < three.timestamp).collect()
        }),
        (&*format!("--created-after {}", Timestamp::from_unix(three.timestamp)), {
            let all = [&one, &two, &three, &nameless];
            all.into_iter().filter(|it| it.timestamp >= three.timestamp).collect()
        }),
    ] {
        let listed = operator.json(&format!("device list {filters}")).await?;
        ensure!(same(&listed, &expected), "{filters}: {listed}");
    }
    let none = operator.done("device list --label turbine").await?;
    ensure!(none == "No device of the project matches.\n", "{none}");
    Ok(())
}

async fn pages_have_every_device_once(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let (_, token) = token(&operator, "").await?;
    for place in 0..11 {
        enroll(&env, &token, if place % 2 == 0 { "even" } else { "odd" }).await?;
    }
    let all = ids(&operator.json("device list").await?);
    ensure!(all.len() == 11);
    let backwards: Vec<_> = all.iter().rev().cloned().collect();
    let newest = ids(&operator.json("device list --newest-first").await?);
    ensure!(newest.iter().collect::<BTreeSet<_>>() == all.iter().collect());
    for (how, expected) in [("", &all), ("--newest-first", &newest)] {
        let mut paged = Vec::new();
        loop {
            let after = paged.last().map(|id| format!("--after {id}")).unwrap_or_default();
            let page = operator.json(&format!("device list {how} --limit 3 {after}")).await?;
            let page = ids(&page);
            paged.extend(page.iter().cloned());
            if page.len() < 3 {
                break;
            }
        }
        ensure!(paged == *expected, "{how}: {paged:?}");
    }
    // Within a second DynamoDB chooses the order, and promises only its exact reverse.
    ensure!(newest == backwards || backend != Backend::DynamoDbLocal, "{newest:?}");

    // The limit applies to what passes the filters.
    let even = operator.json("device list --label even --limit 5").await?;
    ensure!(ids(&even).len() == 5, "{even}");
    let last = ids(&even)[4].clone();
    let rest = operator.json(&format!("device list --label even --after {last}")).await?;
    ensure!(ids(&rest).len() == 1, "{rest}");
    Ok(())
}

/// Permission to change tokens, as `enroll` has it, is not enough to add to a list, or to break one.
async fn lookalike_items_are_in_no_list(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let project = env.project;
    let devices = [env.api.enrolled(&env.token).await?, env.api.enrolled(&env.token).await?];
    let text = |text: &str| AttributeValue::S(text.into());
    let forge = async |inventory: &str, created_at: u64| {
        let item = env.direct.aws.dynamodb()?.update_item().table_name(&env.config.table_name);
        item.key("PK", text(&format!("TOKENS#{project}")))
            .key("SK", text(&format!("{inventory} {created_at}")))
            .update_expression("SET inventory = :inventory, created_at = :created_at")
            .expression_attribute_values(":inventory", text(inventory))
            .expression_attribute_values(":created_at", AttributeValue::N(created_at.to_string()))
            .send()
            .await?;
        anyhow::Ok(())
    };
    // The oldest and the newest items of all.
    for created_at in [1, 2, Timestamp::NEVER.unix()] {
        for inventory in ["PROJECTS", "SERVICES", &format!("DEVICES#{project}")] {
            forge(inventory, created_at).await?;
        }
    }
    let projects = env.store.projects(None).await?;
    ensure!(projects.len() == 1 && projects[0].project_id == project, "{projects:?}");
    ensure!(env.store.service_certificates().await?.is_empty());
    ensure!(env.store.devices(project, None).await?.len() == 2);

    let (mut found, mut after) = (BTreeSet::new(), None);
    loop {
        let page = env.store.device_page(project, &DeviceQuery::default(), after, Some(1)).await?;
        found.extend(page.devices.iter().map(|device| device.device_id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    ensure!(found == devices.iter().map(|device| device.device_id).collect(), "{found:?}");
    Ok(())
}

async fn exports_are_whole_and_inert(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let (_, token) = token(&operator, "").await?;
    let labels =
        ["=HYPERLINK(\"http://x\",\"y\")", "+1", "-20 °C", "@SUM(A1)", "a, \"b\"", "plain"];
    let mut devices = Vec::new();
    for label in labels {
        devices.push(enroll(&env, &token, label).await?);
    }
    let json = operator.json("device list").await?;
    let lines = operator.done("device list --output jsonl").await?;
    let lines = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    ensure!(Value::Array(lines) == json);
    ensure!(same(&json, &devices.iter().collect::<Vec<_>>()));

    let csv = operator.done("device list --output csv").await?;
    ensure!(csv.starts_with("device_id,project_id,label,status,token_id,created_at\n"), "{csv}");
    ensure!(csv.lines().count() == 7, "{csv}");
    for cell in [
        r#","'=HYPERLINK(""http://x"",""y"")","#,
        ",'+1,",
        ",'-20 °C,",
        ",'@SUM(A1),",
        r#","a, ""b""","#,
        ",plain,",
    ] {
        ensure!(csv.contains(cell), "no {cell} in {csv}");
    }
    let show = format!("device show {} --output csv", devices[0].device_id);
    operator.refused(&show, 2, &["--output csv is for"]).await?;
    Ok(())
}
