//! `birthcert broker issue`, `issue-client`, `renew` and `list`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, bail, ensure};
use birthcert_tests::operator::Operator;
use birthcert_tests::process::metadata::{inode, mode};
use birthcert_tests::process::tool;
use birthcert_tests::stack::Stack;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use birthcert_tests::verifiers::pkilint;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_request_gets_a_certificate_for_its_key,
        the_names_of_a_request_are_shown_before_they_are_taken,
        a_client_has_another_ca_and_never_a_devices_name,
        a_certificate_is_renewed_when_it_is_due_and_not_before,
        a_renewal_that_fails_changes_nothing,
        a_reload_that_failed_is_tried_again,
        a_revoked_certificate_is_not_renewed,
        every_certificate_of_a_service_is_revoked_at_once,
        a_chain_that_somebody_else_put_there_is_not_renewed,
        a_list_says_what_expires_when,
    ]
}

async fn start() -> anyhow::Result<(TempDir, Stack, Operator)> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(&scratch.path().join("stack")).await?;
    let operator = Operator::of(&stack)?;
    Ok((scratch, stack, operator))
}

async fn set_up_services(stack: &Stack, operator: &Operator) -> anyhow::Result<()> {
    let root = stack.data.join("ca");
    let root = root.display();
    let passphrase = format!("--passphrase-file {root}/passphrase");
    operator
        .done(&format!("ca subordinate --usage service --root {root} {passphrase} --yes"))
        .await
        .map(drop)
}

async fn openssl(operator: &Operator, line: &str) -> anyhow::Result<String> {
    let home = operator.path(".");
    let line = format!("cd {} && openssl {line}", home.display());
    let ran = tool::run("sh", ["-c", &line]).await?;
    ensure!(ran.status.success(), "{line}: {}", ran.output);
    Ok(ran.output)
}

/// Checks that a chain is leaf and subordinate, passes the linter, and verifies for these purposes
/// only.
async fn check(operator: &Operator, chain: &str, purposes: &[Purpose]) -> anyhow::Result<String> {
    let (folder, _) = chain.rsplit_once('/').context("a folder")?;
    let root = operator.read(&format!("{folder}/root.pem"))?;
    let chain = operator.read(chain)?;
    let end = "-----END CERTIFICATE-----\n";
    let (leaf, subordinate) = chain.split_once(end).context("two certificates")?;
    ensure!(subordinate.matches(end).count() == 1, "{chain}");
    let leaf = format!("{leaf}{end}");
    for certificate in [leaf.as_str(), subordinate] {
        pkilint::lint(certificate).await?;
    }
    for purpose in [Purpose::Client, Purpose::Server] {
        let wanted = purposes.iter().any(|it| format!("{it:?}") == format!("{purpose:?}"));
        let verdict = openssl::verify(&leaf, subordinate, &root, purpose).await?;
        let is_right =
            if wanted { verdict == Verdict::Accepted } else { verdict.is_another_purpose() };
        ensure!(is_right, "{purpose:?}: {verdict:?}");
    }
    Ok(leaf)
}

async fn a_request_gets_a_certificate_for_its_key() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k.pem \
                   -out r.pem -subj /CN=dev_evil/O=Evil -addext subjectAltName=DNS:evil.example \
                   -addext basicConstraints=CA:TRUE";
    openssl(&operator, request).await?;
    let issue = "broker issue --csr r.pem --dns mqtt.example.com --ip 192.0.2.1 --directory b";
    let issued = operator.json(issue).await?;
    ensure!(issued.get("key").is_none() && !operator.path("b/broker-key.pem").exists());
    let leaf = check(&operator, "b/broker-chain.pem", &[Purpose::Server]).await?;
    let text = openssl::text(&leaf).await?;
    ensure!(!text.to_lowercase().contains("evil"), "{text}");
    for (host, kind, mismatch) in [
        ("mqtt.example.com", "hostname", None),
        ("192.0.2.1", "ip", None),
        ("evil.example", "hostname", Some("hostname mismatch")),
        ("192.0.2.2", "ip", Some("IP address mismatch")),
    ] {
        let verify = format!(
            "verify -CAfile b/root.pem -untrusted b/broker-chain.pem -verify_{kind} {host} \
             b/broker-chain.pem"
        );
        match (openssl(&operator, &verify).await, mismatch) {
            (Ok(_), None) => {}
            (Err(error), Some(mismatch)) if error.to_string().contains(mismatch) => {}
            (verdict, _) => bail!("{host}: {verdict:?}"),
        }
    }
    let certified = openssl(&operator, "x509 -in b/broker-chain.pem -noout -pubkey").await?;
    ensure!(openssl(&operator, "pkey -in k.pem -pubout").await? == certified);

    // The holder has to prove possession of the key; nothing else is accepted.
    let before = stack.signed_except_crls().await?;
    let request = operator.read("r.pem")?;
    let middle = request.len() / 2;
    let changed = if request.as_bytes()[middle] == b'A' { "B" } else { "A" };
    fs::write(
        operator.path("changed.pem"),
        format!("{}{changed}{}", &request[..middle], &request[middle + 1..]),
    )?;
    let wrong = "broker issue --dns a.example --directory c --csr";
    operator.refused(&format!("{wrong} changed.pem"), 1, &["changed.pem"]).await?;
    operator.refused(&format!("{wrong} k.pem"), 1, &["contains a private key"]).await?;
    operator.refused(&format!("{wrong} none.pem"), 1, &["cannot read none.pem"]).await?;
    ensure!(stack.signed_except_crls().await? == before, "something was signed");

    // Renewal requires a new CSR.
    let renew = "broker renew --directory b --within 400d";
    operator.refused(renew, 1, &["generated elsewhere", "--csr"]).await?;
    openssl(
        &operator,
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout \
                        k2.pem -out r2.pem -subj /CN=x",
    )
    .await?;
    operator.done(&format!("{renew} --csr r2.pem")).await?;
    let certified = openssl(&operator, "x509 -in b/broker-chain.pem -noout -pubkey").await?;
    ensure!(openssl(&operator, "pkey -in k2.pem -pubout").await? == certified);
    stack.stop().await
}

async fn the_names_of_a_request_are_shown_before_they_are_taken() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let request = |name: &str, names: &str| {
        format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k.pem -out \
             {name}.pem -subj /CN=x {names}"
        )
    };
    let names = "-addext subjectAltName=DNS:mqtt.example.com,IP:192.0.2.1,IP:2001:db8::1";
    openssl(&operator, &request("good", names)).await?;
    openssl(&operator, &request("none", "")).await?;
    openssl(&operator, &request("mail", "-addext subjectAltName=email:a@example.com")).await?;
    openssl(&operator, &request("wild", "-addext subjectAltName=DNS:*.example.com")).await?;
    let issue = "broker issue --directory b --sans-from-csr --csr";
    let before = stack.signed_except_crls().await?;
    let unseen = operator.run(&format!("{issue} good.pem")).await?;
    ensure!(unseen.code() == Some(4), "{:?}", unseen.code());
    ensure!(unseen.stderr().contains("mqtt.example.com, 192.0.2.1, 2001:db8::1"));
    ensure!(unseen.stderr().contains("--yes"), "{}", unseen.stderr());
    for (name, why) in [("none", "contains no names"), ("mail", "neither"), ("wild", "neither")] {
        operator.refused(&format!("{issue} {name}.pem --yes"), 1, &[why]).await?;
    }
    operator.refused(&format!("{issue} good.pem --dns a.example"), 2, &["--dns"]).await?;
    ensure!(stack.signed_except_crls().await? == before, "something was signed");

    operator.run(&format!("{issue} good.pem --yes")).await?;
    let leaf = check(&operator, "b/broker-chain.pem", &[Purpose::Server]).await?;
    let text = openssl::text(&leaf).await?;
    let names = "DNS:mqtt.example.com, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1";
    ensure!(text.contains("Subject: CN = mqtt.example.com") && text.contains(names), "{text}");
    stack.stop().await
}

async fn a_client_has_another_ca_and_never_a_devices_name() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let issue = "broker issue-client --common-name";
    operator
        .refused(
            &format!("{issue} bridge.example.com --directory c"),
            1,
            &["the CA for services is not set up", "--usage service"],
        )
        .await?;
    set_up_services(&stack, &operator).await?;
    let before = stack.signed_except_crls().await?;
    let device = format!("dev_{}", "0".repeat(22));
    for name in [device.as_str(), "dev_x", "+", "#", "a/b", "*", ">", "a_b", "$SYS"] {
        let refused = format!("{issue} {name} --directory x");
        operator.refused(&refused, 2, &["neither a DNS name nor an IP address"]).await?;
    }
    operator.refused(&format!("{issue} a --peer --directory x"), 2, &["needs a DNS name"]).await?;
    ensure!(stack.signed_except_crls().await? == before, "something was signed");

    operator.done(&format!("{issue} bridge.example.com --directory c")).await?;
    ensure!(mode(&operator.path("c/client-key.pem")) == 0o600);
    let leaf = check(&operator, "c/client-chain.pem", &[Purpose::Client]).await?;
    let text = openssl::text(&leaf).await?;
    ensure!(text.contains("Subject: CN = bridge.example.com"), "{text}");
    ensure!(!text.contains("Alternative Name"), "{text}");
    operator.done(&format!("{issue} 192.0.2.7 --ip 192.0.2.7 --directory d")).await?;
    let leaf = check(&operator, "d/client-chain.pem", &[Purpose::Client]).await?;
    let text = openssl::text(&leaf).await?;
    ensure!(text.contains("CN = 192.0.2.7") && text.contains("IP Address:192.0.2.7"), "{text}");
    operator
        .done(&format!("{issue} n1.example.com --dns n1.example.com --peer --directory p"))
        .await?;
    check(&operator, "p/client-chain.pem", &[Purpose::Client, Purpose::Server]).await?;

    operator.done("broker renew --directory p --within 397d").await?;
    check(&operator, "p/client-chain.pem", &[Purpose::Client, Purpose::Server]).await?;
    stack.stop().await
}

async fn a_certificate_is_renewed_when_it_is_due_and_not_before() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    operator.done("broker issue --dns a.example --ip 192.0.2.1 --days 90 --directory b").await?;
    let chain = operator.read("b/broker-chain.pem")?;
    let touch = "--reload-command=touch reloaded";

    // Not due: nothing happens, without a call to AWS.
    let offline = Operator::offline()?;
    let directory = operator.path("b").display().to_string();
    let ran = offline.run_with(&["broker", "renew", "--directory", &directory, touch]).await?;
    let said = ran.done()?;
    ensure!(said.starts_with("Not due: valid until "), "{said}");
    ensure!(operator.read("b/broker-chain.pem")? == chain && !offline.path("reloaded").exists());

    let key = operator.read("b/broker-key.pem")?;
    let renew = ["broker", "renew", "--directory", "b", "--within", "91d", touch];
    operator.run_with(&renew).await?.done()?;
    ensure!(operator.path("reloaded").exists());
    let renewed = operator.read("b/broker-chain.pem")?;
    ensure!(renewed != chain && operator.read("b/broker-key.pem")? != key, "the same again");
    ensure!(mode(&operator.path("b/broker-key.pem")) == 0o600);
    let leaf = check(&operator, "b/broker-chain.pem", &[Purpose::Server]).await?;
    let text = openssl::text(&leaf).await?;
    ensure!(text.contains("DNS:a.example, IP Address:192.0.2.1"), "{text}");
    for (seconds, expected) in [
        (90 * 86_400 - 600, "Certificate will not expire"),
        (90 * 86_400 + 600, "Certificate will expire"),
    ] {
        let line = format!("x509 -in b/broker-chain.pem -noout -checkend {seconds} || true");
        let verdict = openssl(&operator, &line).await?;
        ensure!(verdict == expected, "{seconds}: {verdict}");
    }
    let certified = openssl(&operator, "x509 -in b/broker-chain.pem -noout -pubkey").await?;
    ensure!(openssl(&operator, "pkey -in b/broker-key.pem -pubout").await? == certified);

    // The previous version stays for a server that is about to read it; the one before that is
    // removed.
    operator.done("broker renew --directory b --within 91d").await?;
    ensure!(fs::read_dir(operator.path("b/versions"))?.count() == 2);
    // Same owner and permissions as before.
    let owner = |file: &str| anyhow::Ok(fs::metadata(operator.path(file))?.uid());
    if owner("b")? == 0 {
        let chown =
            format!("chown -R 65534:65534 {directory} && chmod 640 {directory}/broker-key.pem");
        ensure!(tool::run("sh", ["-c", &chown]).await?.status.success());
        operator.done("broker renew --directory b --within 91d").await?;
        ensure!(owner("b/broker-key.pem")? == 65534 && owner("b/broker-chain.pem")? == 65534);
        ensure!(mode(&operator.path("b/broker-key.pem")) == 0o640);
    }
    for wrong in ["--within 30", "--within soon", "--within -1d"] {
        operator.refused(&format!("broker renew --directory b {wrong}"), 2, &[]).await?;
    }
    operator.refused("broker renew --directory none", 1, &["cannot open none"]).await?;
    fs::create_dir(operator.path("empty"))?;
    operator.refused("broker renew --directory empty", 1, &["broker issue"]).await?;
    stack.stop().await
}

async fn a_renewal_that_fails_changes_nothing() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    operator.done("broker issue --dns a.example --directory b").await?;
    let astray = operator.with("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1");
    let current = fs::read_link(astray.path("b/current"))?;
    let links = inode(&astray.path("b/broker-key.pem"));
    astray.refused("broker renew --directory b --within 400d", 1, &["KMS"]).await?;
    ensure!(fs::read_link(astray.path("b/current"))? == current);
    ensure!(inode(&astray.path("b/broker-key.pem")) == links);

    // Leftovers of an interrupted renewal do not block the next one.
    let right = astray.with("AWS_ENDPOINT_URL_KMS", stack.state.aws_endpoint_url_kms.clone());
    fs::create_dir(right.path("b/versions/.staged"))?;
    fs::write(right.path("b/versions/.staged/broker-key.pem"), "half a ke")?;
    right.done("broker renew --directory b --within 400d").await?;
    let certified = openssl(&right, "x509 -in b/broker-chain.pem -noout -pubkey").await?;
    ensure!(openssl(&right, "pkey -in b/broker-key.pem -pubout").await? == certified);

    // Two concurrent renewals: one succeeds; the other renews too, or says that it has to wait.
    let renew = "broker renew --directory b --within 400d";
    let (one, other) = tokio::join!(right.run(renew), right.run(renew));
    ensure!(one?.stderr().is_empty() || other?.stderr().is_empty(), "neither");
    let certified = openssl(&right, "x509 -in b/broker-chain.pem -noout -pubkey").await?;
    ensure!(openssl(&right, "pkey -in b/broker-key.pem -pubout").await? == certified);
    stack.stop().await
}

async fn a_reload_that_failed_is_tried_again() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    operator.done("broker issue --dns a.example --directory b").await?;
    let fails = "--reload-command=echo no broker is running >&2; exit 3";
    let ran = operator
        .run_with(&["broker", "renew", "--directory", "b", "--within", "400d", fails])
        .await?;
    ran.refused(1, &["exit status: 3", "no broker is running", "repeats the command"])?;
    let renewed = operator.read("b/broker-chain.pem")?;
    // A renewal without the reload command reports the pending one.
    let pending = ["has not succeeded", "--reload-command"];
    operator.refused("broker renew --directory b", 1, &pending).await?;
    let again = ["broker", "renew", "--directory", "b", "--reload-command=echo x >> reloads"];
    for _ in 0..2 {
        operator.run_with(&again).await?.done()?;
    }
    ensure!(operator.read("reloads")? == "x\n", "once it succeeded, it is over");
    ensure!(operator.read("b/broker-chain.pem")? == renewed);
    operator.done("broker renew --directory b").await?;

    // Another renewal does not clear it either.
    operator
        .run_with(&["broker", "renew", "--directory", "b", "--within", "400d", fails])
        .await?
        .refused(1, &["repeats the command"])?;
    let renewal = operator.run("broker renew --directory b --within 400d").await?;
    renewal.refused(1, &pending)?;
    ensure!(operator.read("b/broker-chain.pem")? != renewed);
    operator.refused("broker renew --directory b", 1, &pending).await?;
    operator.run_with(&again).await?.done()?;
    ensure!(operator.read("reloads")? == "x\nx\n");
    stack.stop().await
}

async fn a_revoked_certificate_is_not_renewed() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let issued = operator.json("broker issue --dns a.example --directory b").await?;
    let serial = issued["serial_number"].as_str().context("a serial number")?;
    let revoke = "broker revoke a.example --reason keyCompromise";
    operator.refused(revoke, 4, &["not confirmed", "all certificates of a.example"]).await?;
    operator.refused("broker revoke b.example --yes", 3, &["no certificate", "b.example"]).await?;
    let other = format!("{revoke} --yes --serial {}", "0".repeat(32));
    operator.refused(&other, 3, &["no certificate 000"]).await?;
    let hold = "broker revoke a.example --reason certificateHold --yes";
    operator.refused(hold, 2, &["only devices can be put on hold"]).await?;

    let one = format!("{revoke} --yes --serial {serial}");
    ensure!(operator.json(&one).await?["revoked"] == 1);
    ensure!(operator.json(&one).await?["revoked"] == 0, "it was revoked already");
    let listed = operator.json("broker list").await?;
    ensure!(listed[0]["serial_number"] == serial && listed[0]["status"] == "revoked", "{listed}");
    let before = stack.signed_except_crls().await?;
    let renew = "broker renew --directory b --within 400d";
    operator.refused(renew, 4, &[serial, "is revoked"]).await?;

    // Nor a chain that the ledger does not have.
    let key = format!(r#"{{"PK":{{"S":"SERVER#a.example"}},"SK":{{"S":"CERT#{serial}"}}}}"#);
    let delete = ["dynamodb", "delete-item", "--table-name", "birthcert", "--key", &key];
    aws(&stack, delete.map(str::to_owned).to_vec()).await?;
    operator.refused(renew, 3, &["there is no certificate", serial, "ledger"]).await?;
    ensure!(stack.signed_except_crls().await? == before, "something was signed");
    stack.stop().await
}

/// The files may belong to the broker's user while cron renews them with an operator's rights.
async fn a_chain_that_somebody_else_put_there_is_not_renewed() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    set_up_services(&stack, &operator).await?;
    let issued = operator.json("broker issue --dns a.example --directory b").await?;
    let serial = issued["serial_number"].as_str().context("a serial number")?;
    let before = stack.signed_except_crls().await?;
    for (name, purpose) in [("bank.example", "serverAuth"), ("a.example", "clientAuth")] {
        let own = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout own.pem \
             -out b/current/broker-chain.pem -subj /CN=a.example -set_serial 0x{serial} -days 9 \
             -addext subjectAltName=DNS:{name} -addext extendedKeyUsage={purpose}"
        );
        openssl(&operator, &own).await?;
        let renew = "broker renew --directory b --within 400d";
        operator.refused(renew, 4, &[serial, "its files were changed"]).await?;
    }
    ensure!(stack.signed_except_crls().await? == before, "something was signed");
    stack.stop().await
}

async fn every_certificate_of_a_service_is_revoked_at_once() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let issued = operator.json("broker issue --dns a.example --directory b").await?;
    operator.done("broker renew --directory b --within 400d").await?;
    operator.done("broker issue --dns b.example --directory c").await?;
    let revoked = operator.json("broker revoke a.example --reason keyCompromise --yes").await?;
    ensure!(revoked["revoked"] == 2, "{revoked}");
    operator.refused("broker renew --directory b --within 400d", 4, &["is revoked"]).await?;
    operator.done("broker renew --directory c --within 400d").await?;
    let found = format!("device find {}", issued["serial_number"].as_str().context("it")?);
    let found = operator.json(&found).await?;
    ensure!(found[0]["certificate_status"] == "revoked", "{found}");
    stack.stop().await
}

async fn aws(stack: &Stack, args: Vec<String>) -> anyhow::Result<()> {
    let ran = tokio::process::Command::new(tool::find("aws")?)
        .args(args)
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_DEFAULT_REGION", &stack.state.region)
        .env("AWS_ENDPOINT_URL", &stack.state.aws_endpoint_url_dynamodb)
        .output()
        .await?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

async fn a_list_says_what_expires_when() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let none = operator.done("broker list").await?;
    ensure!(none.starts_with("No certificates were issued"), "{none}");
    set_up_services(&stack, &operator).await?;
    operator.done("broker issue --dns b.example --ip 192.0.2.1 --directory b").await?;
    operator.done("broker issue --dns b.example --directory b2 --days 1").await?;
    operator.done("broker issue-client --common-name c.example --directory c").await?;
    operator.done("broker renew --directory b --within 400d").await?;

    let listed = operator.json("broker list").await?;
    let rows = listed.as_array().context("a list")?;
    let of = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let seen: Vec<_> = rows.iter().map(|it| (of(it, "common_name"), of(it, "role"))).collect();
    let (server, client) = ("server".to_owned(), "client".to_owned());
    let b = ("b.example".to_owned(), server);
    ensure!(seen.iter().filter(|it| **it == b).count() == 3, "{listed}");
    ensure!(seen.contains(&("c.example".into(), client)) && seen.len() == 4, "{listed}");
    let renewed = rows.iter().filter(|it| it["status"] == "renewed").count();
    ensure!(renewed == 1, "{listed}");
    let serials: BTreeSet<_> = rows.iter().map(|it| of(it, "serial_number")).collect();
    ensure!(serials.len() == 4, "{listed}");
    let text = operator.done("broker list").await?;
    ensure!(text.contains("b.example, 192.0.2.1") && text.contains("EXPIRES"), "{text}");
    stack.stop().await
}
