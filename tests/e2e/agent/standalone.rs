//! The agent with a command instead of a broker: how it runs, reports and stops.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::broker_host::{BrokerHost, text};
use birthcert_tests::agent::observed_session::SOON;
use birthcert_tests::agent::process::AgentCommand;
use birthcert_tests::pki::ca::Ca;
use birthcert_tests::process::{free_port, tool};
use pki::crl::VerifiedCrl;
use pki::profile::Usage;
use serde_json::{Value, json};
use tokio::time::sleep;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_command_is_run_until_it_succeeds,
        once_does_all_of_it_and_ends,
        two_agents_do_not_share_a_directory,
        its_health_is_served_over_http,
        unchanged_documents_cost_nothing,
        a_new_ca_is_found_and_a_strangers_is_not,
        the_root_crl_is_installed_too,
        a_wrong_command_line_says_so,
    ]
}

struct Hook {
    host: BrokerHost,
    command: AgentCommand,
    ran: PathBuf,
}

impl Hook {
    /// Starts with a command that records each of its runs, and then runs `script`.
    async fn start(script: &str) -> anyhow::Result<Self> {
        let host = BrokerHost::start().await?;
        let ran = host.operator.path("ran");
        let run = format!("wc -l <$BIRTHCERT_DIRECTORY/denied.txt >>{}; {script}", ran.display());
        let command = host.agent_command("command", &[["--run".into(), run]]);
        Ok(Self { host, command, ran })
    }

    /// Returns the number of denied devices at each run.
    fn runs(&self) -> Vec<usize> {
        let text = fs::read_to_string(&self.ran).unwrap_or_default();
        text.lines().map(|line| line.trim().parse().unwrap()).collect()
    }

    fn read(&self, file: &str) -> anyhow::Result<Vec<u8>> {
        fs::read(self.command.directory.join(file)).with_context(|| file.to_owned())
    }
}

async fn a_command_is_run_until_it_succeeds() -> anyhow::Result<()> {
    let mut hook = Hook::start("test -e \"$BIRTHCERT_DIRECTORY/go\"").await?;
    let mut agent = hook.command.start()?;
    let failing = |status: &Value| {
        let text = status["problems"][0]["text"].as_str().unwrap_or_default();
        status["level"] == "failing" && text.contains("exit status: 1")
    };
    agent.until(failing).await?;
    let began = Instant::now();
    while hook.runs().len() < 3 {
        ensure!(began.elapsed() < SOON, "it is not tried again");
        sleep(Duration::from_millis(10)).await;
    }
    let (before, began) = (hook.runs().len(), Instant::now());
    sleep(Duration::from_secs(1)).await;
    let (tries, seconds) = (hook.runs().len() - before, began.elapsed().as_secs_f64());
    ensure!(tries as f64 <= 5.0 * seconds, "{tries} tries in {seconds} seconds");

    fs::write(hook.command.directory.join("go"), "")?;
    agent.has(1).await?;
    let device = hook.host.device()?;
    hook.host.revoke(&device);
    agent.has(2).await?;
    ensure!(hook.runs().last() == Some(&1), "{:?}", hook.runs());
    ensure!(hook.read("denied.txt")? == format!("{}\n", device.id).into_bytes());
    for name in ["device", "service"] {
        let ca = &hook.host.publisher.ca(name).certificate;
        let crl = VerifiedCrl::from_der(hook.read(&format!("crls/{name}.crl"))?, ca)?;
        ensure!(crl.number() == 2);
    }
    // As other programs read them.
    let path = hook.command.directory.join("crl.pem");
    let read = tool::run("openssl", ["crl", "-noout", "-crlnumber", "-in", text(&path)]);
    ensure!(read.await?.output == "crlNumber=0x02");

    // The command does not run without need.
    let runs = hook.runs().len();
    sleep(Duration::from_secs(1)).await;
    agent.kill().await?;
    let mut agent = hook.command.start()?;
    agent.until(|status| status["applied"] == true && status["level"] == "ok").await?;
    ensure!(hook.runs().len() == runs, "{:?}", hook.runs());
    let ended = agent.stop().await?;
    ensure!(ended.success() && hook.command.log().ends_with("stopped\n"), "{ended}");
    Ok(())
}

async fn once_does_all_of_it_and_ends() -> anyhow::Result<()> {
    let mut hook = Hook::start("true").await?;
    let device = hook.host.device()?;
    hook.host.revoke(&device);
    let (ended, printed) = hook.command.once().await?;
    ensure!(ended.success(), "{ended}: {}", hook.command.log());
    ensure!(printed.starts_with("command: up to date; 1 denied devices\nCA device: CRL 2, "));
    ensure!(hook.runs() == [1]);
    let json = hook.command.with(["--output".into(), "json".into()]);
    let (ended, printed) = json.once().await?;
    let status: Value = serde_json::from_str(&printed)?;
    ensure!(ended.success() && status["level"] == "ok" && status["applied"] == true, "{status}");
    ensure!(hook.runs() == [1], "nothing was new");

    hook.host.publisher.publication.set_away(true);
    let (ended, printed) = hook.command.once().await?;
    ensure!(
        ended.code() == Some(1) && printed.contains("ca/index.json: cannot download "),
        "{printed}"
    );
    ensure!(hook.command.log().ends_with("birthcert-agent: not everything is up to date\n"));

    // The operator's command is unchanged.
    hook.host.publisher.publication.set_away(false);
    let line = ["broker", "sync"].into_iter().chain(json.arguments.iter().map(String::as_str));
    let line: Vec<_> = line.chain(["--once"]).collect();
    let ran = hook.host.operator.run_with(&line);
    let status: Value = serde_json::from_str(&ran.await?.done()?)?;
    ensure!(status["denied_devices"] == 1, "{status}");
    Ok(())
}

async fn two_agents_do_not_share_a_directory() -> anyhow::Result<()> {
    let hook = Hook::start("true").await?;
    let mut agent = hook.command.start()?;
    agent.has(1).await?;
    let (ended, _) = hook.command.once().await?;
    ensure!(ended.code() == Some(4), "{ended}");
    ensure!(hook.command.log().contains("another agent is using "));
    agent.kill().await?;
    let (ended, _) = hook.command.once().await?;
    ensure!(ended.success(), "the lock of one that was killed: {ended}");
    Ok(())
}

async fn its_health_is_served_over_http() -> anyhow::Result<()> {
    let mut hook = Hook::start("true").await?;
    let port = free_port()?;
    let command = hook.command.with(["--listen".into(), format!("127.0.0.1:{port}")]);
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let mut agent = command.start()?;
    agent.has(1).await?;
    let device = hook.host.device()?;
    hook.host.revoke(&device);
    agent.has(2).await?;

    let health = reqwest::get(url("/health")).await?;
    ensure!(health.status() == 200 && health.text().await?.starts_with("command: up to date"));
    let status: Value = serde_json::from_str(&reqwest::get(url("/status")).await?.text().await?)?;
    ensure!(status["authorities"][0]["crl"]["number"] == 2, "{status}");
    let metrics = reqwest::get(url("/metrics")).await?.text().await?;
    for line in [
        "birthcert_agent_healthy 1",
        "birthcert_agent_applied 1",
        "birthcert_agent_denied_devices 1",
        "birthcert_agent_crl_number{authority=\"device\"} 2",
        "birthcert_agent_crl_entries{authority=\"device\"} 1",
        "# TYPE birthcert_agent_crls_taken_total counter",
    ] {
        ensure!(metrics.lines().any(|it| it == line), "no {line} in {metrics}");
    }
    ensure!(reqwest::get(url("/")).await?.status() == 404);
    let post = reqwest::Client::new().post(url("/status")).send().await?;
    ensure!(post.status() == 405 && post.headers()["allow"] == "GET, HEAD");

    // Well before a CRL expires, and after.
    hook.host.publisher.validity = 24 * 60 * 60;
    hook.host.publisher.publish();
    agent.until(|status| status["level"] == "warning").await?;
    ensure!(reqwest::get(url("/health")).await?.status() == 200);
    hook.host.publisher.validity = 10;
    hook.host.publisher.publish();
    agent.knows(4).await?;
    hook.host.publisher.publication.set_away(true);
    let deadline = Instant::now() + SOON;
    loop {
        let health = reqwest::get(url("/health")).await?;
        if health.status() == 503 && health.text().await?.contains("CA device's CRL: expired") {
            break;
        }
        ensure!(Instant::now() < deadline, "it says nothing of an expired CRL");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn unchanged_documents_cost_nothing() -> anyhow::Result<()> {
    let hook = Hook::start("true").await?;
    let mut agent = hook.command.start()?;
    agent.has(1).await?;
    let (before, began) = (hook.host.publisher.publication.requests(), Instant::now());
    let asked = || {
        let after = hook.host.publisher.publication.requests();
        (after.0 - before.0, after.1 - before.1)
    };
    while asked().0 < 20 {
        ensure!(began.elapsed() < SOON, "it asks no more");
        sleep(Duration::from_millis(10)).await;
    }
    let ((requests, unchanged), seconds) = (asked(), began.elapsed().as_secs_f64());
    // Two CRLs ten times a second and the index once; fewer on a busy machine.
    ensure!(requests as f64 <= 10.0 + 30.0 * seconds, "{requests} requests in {seconds} seconds");
    // Two requests may still be unanswered, or were at the start.
    ensure!(
        requests.abs_diff(unchanged) <= 2,
        "{requests} requests, of which {unchanged} were answered by 304"
    );

    // Fewer while the server does not answer.
    hook.host.publisher.publication.set_away(true);
    sleep(Duration::from_secs(2)).await;
    let before = hook.host.publisher.publication.requests().0;
    sleep(Duration::from_secs(4)).await;
    let requests = hook.host.publisher.publication.requests().0 - before;
    // The client retries once if a connection breaks without a response.
    ensure!((1..=24).contains(&requests), "{requests} requests in four seconds to one who is away");
    Ok(())
}

async fn a_new_ca_is_found_and_a_strangers_is_not() -> anyhow::Result<()> {
    let mut hook = Hook::start("true").await?;
    let mut agent = hook.command.start()?;
    agent.has(1).await?;
    let publisher = &mut hook.host.publisher;
    let successor = publisher.root.subordinate("Device CA 2", Usage::Device);
    publisher.authorities.push(("device-2", successor));
    publisher.publish_authorities();
    publisher.publish();
    agent.until(|status| status["authorities"].as_array().map(Vec::len) == Some(3)).await?;
    agent.has(2).await?;

    // A CA of another root is rejected, and does not affect the others.
    let stranger = Ca::root("Root").subordinate("Device CA 3", Usage::Device);
    publisher.authorities.push(("device-3", stranger));
    publisher.publish_authorities();
    publisher.publish();
    agent
        .until(|status| {
            let text = status["problems"][0]["text"].as_str().unwrap_or_default();
            text.contains("certificate does not chain to a trusted root")
        })
        .await?;
    ensure!(!hook.command.directory.join("crls/device-3.crl").exists());

    // Removing CAs from the index does not make the agent forget them.
    let publisher = &mut hook.host.publisher;
    publisher.publication.put(
        "ca/index.json",
        json!({ "authorities": [{
        "name": "service", "crl": "/crl/service.crl", "certificate": "/ca/service.crt",
    }] })
        .to_string(),
    );
    // More than ten intervals.
    sleep(Duration::from_millis(1300)).await;
    publisher.publish();
    agent
        .until(|status| {
            let numbers = status["authorities"].as_array().into_iter().flatten();
            numbers.filter(|it| it["crl"]["number"] == 4).count() == 3 && status["applied"] == true
        })
        .await?;
    agent.kill().await?;
    let mut agent = hook.command.start()?;
    agent.until(|status| status["applied"] == true).await?;
    let crl = String::from_utf8(hook.read("crl.pem")?)?;
    ensure!(crl.matches("BEGIN X509 CRL").count() == 3, "{crl}");
    Ok(())
}

async fn the_root_crl_is_installed_too() -> anyhow::Result<()> {
    let hook = Hook::start("true").await?;
    let publisher = &hook.host.publisher;
    let contents = pki::crl::Contents {
        number: 1,
        denied_devices: None,
        this_update: publisher.crl("device", 1, 0).this_update(),
        next_update: publisher.crl("device", 1, 0).next_update(),
        revoked: &[],
        distribution_point: None,
    };
    publisher.publication.put("crl/root.crl", publisher.root.crl(contents).der().to_vec());
    let command = hook.command.with(["--root-crl".into(), "crl/root.crl".into()]);
    let (ended, printed) = command.once().await?;
    ensure!(ended.success() && printed.contains("CA root: CRL 1, 0 entries"), "{printed}");
    let path = hook.command.directory.join("crl.pem");
    let crl = fs::read_to_string(&path)?;
    ensure!(crl.matches("BEGIN X509 CRL").count() == 3, "{crl}");
    // For verifiers that require a CRL of every CA in the chain.
    let leaf = hook.host.device()?;
    let chain = hook.host.operator.path("chain.pem");
    fs::write(&chain, &leaf.leaf.chain_pem)?;
    let root = hook.host.operator.path("broker/root.pem");
    let verified = tool::run(
        "openssl",
        [
            "verify",
            "-crl_check_all",
            "-CRLfile",
            text(&path),
            "-CAfile",
            text(&root),
            "-untrusted",
            text(&chain),
            text(&chain),
        ],
    );
    ensure!(verified.await?.output.ends_with(": OK"));
    Ok(())
}

async fn a_wrong_command_line_says_so() -> anyhow::Result<()> {
    let hook = Hook::start("true").await?;
    for (option, value, code, words) in [
        ("--interval", "1ms", 2, "must be at least 100ms"),
        ("--source", "ftp://x", 2, "must be an http or https URL"),
        ("--root", "/dev/null", 1, "/dev/null contains no certificate"),
        ("--root", "/nonexistent", 1, "cannot read /nonexistent"),
        ("--directory", "/dev/null", 1, "cannot create /dev/null"),
        ("--tls-root", "/nonexistent", 1, "cannot read /nonexistent"),
        ("--listen", "127.0.0.1:1x", 2, "invalid socket address"),
    ] {
        let command = hook.command.with([option.into(), value.into()]);
        fs::write(&command.log, "")?;
        let (ended, _) = command.once().await?;
        ensure!(ended.code() == Some(code), "{option} {value}: {ended}");
        ensure!(command.log().contains(words), "{option} {value}: {}", command.log());
    }
    Ok(())
}
