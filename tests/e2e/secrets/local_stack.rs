//! The local stack, the operator's command, the agent and a ceremony.

use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::process::AgentCommand;
use birthcert_tests::api::{ENROLLMENT_TOKEN, Enrolled};
use birthcert_tests::operator::{CommandOutput, Operator, PASSPHRASE};
use birthcert_tests::process::{free_port, option, tool};
use birthcert_tests::secrets::{Secret, Traces};
use birthcert_tests::stack::Stack;
use http::Method;
use pki::key::KeyPair;
use pki::names::TokenId;
use pki::token::EnrollmentToken;
use serde_json::Value;
use tempfile::TempDir;

use super::verbose::VERBOSE;
use crate::cli::subordinate::other_request;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_stack_with_its_operator_and_agent,
        a_ceremony_with_a_typed_passphrase,
    ]
}

/// The password of the agent's user at RabbitMQ.
const PASSWORD: &str = "a password of the agent's";

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// A run's secrets, and the outputs of its commands.
struct Run {
    operator: Operator,
    secrets: Vec<Secret>,
    traces: Traces,
}

impl Run {
    fn of(operator: Operator) -> Self {
        let verbose = |operator: Operator, (name, value)| operator.with(name, value);
        let operator = VERBOSE.into_iter().fold(operator, verbose);
        Self { operator, secrets: Vec::new(), traces: Traces::default() }
    }

    /// Runs a command, whether it succeeds or not. The places of its outputs have this name.
    async fn tries(&mut self, name: &str, line: &str) -> anyhow::Result<CommandOutput> {
        let ran = self.operator.run(line).await?;
        self.traces.add(format!("stderr: {name}"), ran.stderr());
        self.traces.add(format!("stdout: {name}"), ran.stdout());
        Ok(ran)
    }

    /// Runs a command that succeeds, and returns its standard output.
    async fn does(&mut self, line: &str) -> anyhow::Result<String> {
        self.tries(line, line).await?.done()
    }

    async fn reads(&mut self, line: &str) -> anyhow::Result<Value> {
        let text = self.does(&format!("{line} --output json")).await?;
        serde_json::from_str(&text).context(text)
    }

    /// Runs a command that prints an enrollment token, which belongs only there.
    async fn prints_token(&mut self, line: &str) -> anyhow::Result<String> {
        let printed = self.reads(line).await?;
        let token = printed["enrollment_token"].as_str().context("a token")?.to_owned();
        let secret = Secret::token(&format!("the token of {line}"), &token)?;
        self.secrets.push(secret.belongs_in(&format!("stdout: {line}")));
        Ok(token)
    }

    fn knows(&mut self, secret: Secret) {
        self.secrets.push(secret);
    }

    /// Checks everything, with all files of the operator.
    fn ends(mut self) -> anyhow::Result<()> {
        self.traces.add_files("operator", &self.operator.path("."))?;
        self.traces.hold_no_others(&self.secrets)
    }
}

/// Returns the private key of a root, whose passphrase is in a file.
async fn root_key(directory: &str, passphrase: &str) -> anyhow::Result<String> {
    let (key, passin) = (format!("{directory}/root-key.pem"), format!("file:{passphrase}"));
    let opened = tool::run("openssl", ["pkey", "-in", &key, "-passin", &passin]).await?;
    ensure!(opened.status.success(), "{}", opened.output);
    Ok(opened.output)
}

async fn a_stack_with_its_operator_and_agent() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(&scratch.path().join("stack")).await?;
    let mut run = Run::of(Operator::of(&stack)?);
    let root = stack.data.join("ca").display().to_string();
    let passphrase = fs::read_to_string(stack.data.join("ca/passphrase"))?;
    run.knows(
        Secret::text("the stack's passphrase", passphrase.trim()).belongs_in("stack/ca/passphrase"),
    );
    let key = root_key(&root, &format!("{root}/passphrase")).await?;
    // Only encrypted.
    run.knows(Secret::key("the root's key", &key)?);
    let keys = kms_keys(&stack)?;
    ensure!(keys.len() == 2, "{} keys in KMS", keys.len());
    for pem in keys {
        run.knows(Secret::key("a CA's key", &pem)?.belongs_in("stack/kms/"));
    }

    let first = stack.state.enrollment_token.clone();
    run.knows(Secret::token("the first enrollment token", &first)?.belongs_in("stack/local.json"));
    let created = run.prints_token("token create --device-cap 9").await?;
    let id = EnrollmentToken::parse(&created)?.subject();
    let regenerated = run.prints_token(&format!("token regenerate {id}")).await?;
    let mut devices = Vec::new();
    for token in [&first, &regenerated] {
        devices.push(enrolls_and_gets_identities(&mut run, &stack, token).await?);
    }
    stack.api.enroll(&created).await?.problem(401, "invalid-enrollment-token", &[&created])?;
    puts_secrets_in_wrong_places(&mut run, &stack, &regenerated, &devices[0]).await?;

    operates(&mut run, id, &regenerated, &devices).await?;
    has_a_broker(&mut run, &stack, &root).await?;
    let before = stack.own_store()?.device(devices[1].device_id).await?;
    ensure!(before.is_some(), "the device is in the table");

    run.traces.add_table(&stack.config("").aws, &stack.state.table_name).await?;
    run.traces.add("the stack's stdout", stack.stdout());
    run.traces.add("the stack's stderr", stack.stderr());
    ensure!(stack.stdout().lines().count() > 10, "the log is empty: {}", stack.stdout());
    let data = stack.data.clone();
    // Running and stopped: what a database moves at its end counts, too.
    run.traces.add_files("stack", &data)?;
    stack.stop().await?;
    run.traces.add_files("stack", &data)?;
    run.ends()
}

/// Returns the private keys in the files of the stand-in for KMS, in PEM.
fn kms_keys(stack: &Stack) -> anyhow::Result<Vec<String>> {
    const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
    const END: &str = "-----END PRIVATE KEY-----";
    let mut files = Traces::default();
    files.add_files("kms", &stack.data.join("kms"))?;
    let mut keys = Vec::new();
    for content in files.contents() {
        let text = String::from_utf8_lossy(content).replace("\\n", "\n");
        for block in text.split(BEGIN).skip(1) {
            let body = block.split(END).next().context("an end")?;
            keys.push(format!("{BEGIN}{body}{END}"));
        }
    }
    Ok(keys)
}

async fn enrolls_and_gets_identities(
    run: &mut Run,
    stack: &Stack,
    token: &str,
) -> anyhow::Result<Enrolled> {
    let form = "application/x-www-form-urlencoded";
    let headers = [(ENROLLMENT_TOKEN, token), ("Content-Type", form)];
    let enrolled = stack.api.send(Method::POST, "/enroll", &headers, "label=pump%207").await?;
    let device: Enrolled = enrolled.success()?;
    run.knows(Secret::token("a device token", &device.device_token)?);
    for _ in 0..2 {
        let identity = stack.api.released(&device).await?;
        run.knows(Secret::key("a device's key", &identity.device_private_key_pem)?);
    }
    Ok(device)
}

/// Clients send secrets where they do not belong, and operators paste them into the wrong place.
async fn puts_secrets_in_wrong_places(
    run: &mut Run,
    stack: &Stack,
    enrollment_token: &str,
    device: &Enrolled,
) -> anyhow::Result<()> {
    let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
    let key = KeyPair::generate(&mut rng).private_key_pem()?;
    run.knows(Secret::key("a key in a request", &key)?);
    let device_token = device.device_token.as_str();
    let (bearer, basic) = (format!("Bearer {device_token}"), format!("Basic {device_token}"));
    let twice = format!("{enrollment_token}, {enrollment_token}");
    let mistaken = format!("Bearer {enrollment_token}");
    let pkcs10 = ("Content-Type", "application/pkcs10");
    let json = ("Content-Type", "application/json");
    let path = format!("/identity/{device_token}?token={enrollment_token}");
    let wrapped = serde_json::json!({ "csr_pem": &*key, "token": enrollment_token }).to_string();
    let requests: [(Method, &str, Headers<'_>, &str); 9] = [
        (Method::POST, "/enroll", vec![(ENROLLMENT_TOKEN, device_token)], ""),
        (Method::POST, "/enroll", vec![(ENROLLMENT_TOKEN, &twice)], ""),
        (Method::POST, "/enroll", vec![], enrollment_token),
        (Method::GET, "/identity", vec![("Authorization", &mistaken)], ""),
        (Method::GET, "/identity", vec![("Authorization", &basic)], ""),
        (Method::GET, &path, vec![("Authorization", &bearer)], ""),
        (Method::POST, "/identity", vec![("Authorization", &bearer), pkcs10], &key),
        (Method::POST, "/identity", vec![("Authorization", &bearer), json], &wrapped),
        (Method::POST, "/identity", vec![("Authorization", &bearer), json], device_token),
    ];
    for (number, (method, path, headers, body)) in requests.into_iter().enumerate() {
        let answer = stack.api.send(method, path, &headers, body.to_owned()).await?;
        ensure!(answer.status >= 400, "request {number}: {}", answer.status);
        run.traces.add(format!("the answer to request {number}"), answer.text);
        run.traces.add(format!("its headers ({number})"), format!("{:?}", answer.headers));
    }
    Ok(())
}

async fn operates(
    run: &mut Run,
    token: TokenId,
    enrollment_token: &str,
    devices: &[Enrolled],
) -> anyhow::Result<()> {
    let [one, two] = [devices[0].device_id, devices[1].device_id];
    for line in [
        "project list".to_owned(),
        "project show".to_owned(),
        "token list".to_owned(),
        format!("token show {token}"),
        format!("token devices {token}"),
        format!("token pause {token}"),
        format!("token resume {token}"),
        "device list".to_owned(),
        format!("device show {one}"),
        format!("device label {one} pump"),
        format!("device disable {one}"),
        format!("device enable {one}"),
        format!("device lift-limit {one}"),
        format!("device revoke {one} --reason keyCompromise --yes"),
        format!("device delete {one} --yes"),
        format!("device show {two}"),
        "crl publish --timeout 30".to_owned(),
        "crl status".to_owned(),
        "ca list".to_owned(),
        "ca show device".to_owned(),
    ] {
        run.does(&line).await?;
        // Not all of them work twice.
        run.tries(&line, &format!("{line} --output json")).await?;
    }
    let (pasted, device_token) = (enrollment_token, &devices[0].device_token);
    run.tries("a token in place of its id", &format!("token show {pasted}")).await?;
    run.tries("a token in place of its id", &format!("token pause {pasted}")).await?;
    run.tries("a device token", &format!("device show {device_token}")).await?;
    run.tries("a device token", &format!("device revoke {device_token} --yes")).await?;
    Ok(())
}

/// A broker's certificate and its renewal, and the agent beside a RabbitMQ that is away.
async fn has_a_broker(run: &mut Run, stack: &Stack, root: &str) -> anyhow::Result<()> {
    let broker = |name: &str, pem: &str| {
        anyhow::Ok(Secret::key(name, pem)?.belongs_in("operator/broker/versions/"))
    };
    run.does("broker issue --dns localhost --directory broker").await?;
    let before = run.operator.read("broker/broker-key.pem")?;
    run.does("broker renew --within 400d --directory broker").await?;
    let after = run.operator.read("broker/broker-key.pem")?;
    ensure!(before != after, "the key was not renewed");
    run.knows(broker("the broker's first key", &before)?);
    run.knows(broker("the broker's key", &after)?);
    run.does("broker config mosquitto --output-directory conf --directory broker").await?;
    run.does("broker users nats --file users.conf").await?;
    run.does(&format!(
        "ca subordinate --usage service --root {root} --passphrase-file {root}/passphrase --yes"
    ))
    .await?;

    fs::write(run.operator.path("credentials"), format!("agent:{PASSWORD}\n"))?;
    run.knows(Secret::text("the agent's password", PASSWORD).belongs_in("operator/credentials"));
    let directory = run.operator.path("revocation");
    let management = format!("http://127.0.0.1:{}", free_port()?);
    let options = [
        ["--source".to_owned(), stack.state.api_url.clone()],
        option("--root", &run.operator.path("broker/root.pem")),
        option("--directory", &directory),
        ["--management".to_owned(), management],
        option("--credentials", &run.operator.path("credentials")),
    ];
    let arguments = ["rabbitmq".to_owned()].into_iter().chain(options.into_iter().flatten());
    let verbose: String = VERBOSE.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    let agent = AgentCommand {
        arguments: arguments.collect(),
        directory,
        log: run.operator.path("agent.log"),
        before: format!("export {verbose};"),
    };
    let (_, printed) = agent.once().await?;
    ensure!(
        agent.log().contains("rabbitmq"),
        "the agent did not reach for RabbitMQ: {}",
        agent.log()
    );
    run.traces.add("the agent's stdout", printed);
    Ok(())
}

/// Typed, from a file, and wrong.
async fn a_ceremony_with_a_typed_passphrase() -> anyhow::Result<()> {
    const TYPED: &str = "another horse, typed in";
    const WRONG: &str = "a staple that is wrong";
    let mut run = Run::of(Operator::offline()?);
    let input = include_str!("../../../infra/deploy/ceremony.yaml");
    fs::write(run.operator.path("ceremony.yaml"), input)?;
    for name in ["device", "server"] {
        other_request(&run.operator, name, "prime256v1").await?;
    }
    run.knows(Secret::text("the passphrase", PASSPHRASE).belongs_in("operator/passphrase"));
    run.knows(Secret::text("the typed passphrase", TYPED));
    run.knows(Secret::text("the wrong passphrase", WRONG).belongs_in("operator/wrong"));

    let ceremony = "ca ceremony --input ceremony.yaml";
    run.does(ceremony).await?;
    run.does(&format!("{ceremony} --passphrase-file passphrase --yes")).await?;
    let directory = run.operator.path("root").display().to_string();
    let passphrase = run.operator.path("passphrase").display().to_string();
    run.knows(Secret::key("the root's key", &root_key(&directory, &passphrase).await?)?);
    fs::write(run.operator.path("wrong"), format!("{WRONG}\n"))?;
    let list = "ca root-crl --root root --yes --passphrase-file";
    let refused = run.tries("a wrong passphrase", &format!("{list} wrong")).await?;
    ensure!(refused.stderr().contains("the passphrase is wrong"), "{}", refused.stderr());
    run.does(&format!("{list} passphrase")).await?;

    let mut terminal = run.operator.at_terminal("ca root --directory typed --yes")?;
    for prompt in ["New passphrase for the root's key: ", "Repeat the passphrase: "] {
        terminal.shows(prompt).await?;
        terminal.is_silent().await?;
        terminal.enters(TYPED).await?;
    }
    let (code, shown) = terminal.ended().await?;
    ensure!(code == 0, "{code}: {shown}");
    run.traces.add("the terminal", shown);
    let copy = tool::file(TYPED)?;
    let directory = run.operator.path("typed").display().to_string();
    let copy = copy.path().display().to_string();
    run.knows(Secret::key("the typed root's key", &root_key(&directory, &copy).await?)?);
    run.ends()
}
