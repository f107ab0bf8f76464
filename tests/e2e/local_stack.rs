//! `birthcert-local serve`, as the process that people start.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use birthcert::authority::{AuthorityRecord, CaCertificate};
use birthcert::aws::{AwsConfig, Credentials};
use birthcert::config::Config;
use birthcert::csr::UnsignedCsr;
use birthcert::id::ProjectId;
use birthcert::store::{LedgerEntry, Store};
use birthcert::token::{EnrollmentToken, hex};
use birthcert_local::state::{CREDENTIAL, State};
use birthcert_tests::api::{Answer, Api, Enrolled, Released};
use birthcert_tests::counterparties::binary;
use birthcert_tests::openssl::{self, Purpose, Verdict};
use birthcert_tests::tool;
use futures_util::future::try_join;
use p256::pkcs8::EncodePublicKey as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![
        the_first_start_writes_down_what_a_program_needs,
        everything_it_keeps_is_private,
        a_device_gets_its_identity,
        a_shell_finds_it_by_env,
        a_restart_keeps_everything,
        a_killed_stack_takes_kms_with_it_and_comes_back,
        a_first_start_that_is_killed_is_finished_by_the_next,
        a_signal_ends_it_in_order,
        a_signal_during_the_first_start_is_not_lost,
        a_port_in_use_is_an_error_that_helps,
        a_second_stack_in_one_directory_is_refused,
        it_listens_on_loopback_alone,
        it_logs_events_and_no_secrets,
        every_signature_is_on_the_ledger_or_a_request,
        env_of_no_stack_is_an_error_that_helps,
    ]
}

/// For machines that compile at the same time.
const START: Duration = Duration::from_secs(60);
/// What a person waits for after Ctrl-C.
const STOP: Duration = Duration::from_secs(10);

/// A running `birthcert-local serve`. Dropping it kills it, and by that its KMS process.
pub(crate) struct Stack {
    child: Child,
    pid: u32,
    /// What it wrote to `local.json`.
    pub(crate) state: State,
    /// Its directory.
    pub(crate) data: PathBuf,
    pub(crate) api: Api,
    logs: TempDir,
}

impl Stack {
    /// Starts it in `data` and waits until it is ready.
    pub(crate) async fn start(data: &Path) -> anyhow::Result<Self> {
        let before = inode(&data.join("local.json"));
        let (mut child, logs) = spawn(data, "127.0.0.1:0")?;
        let pid = child.id().context("it runs")?;
        let read = |name: &str| fs::read_to_string(logs.path().join(name)).unwrap_or_default();
        let deadline = Instant::now() + START;
        let state = loop {
            if let Some(status) = child.try_wait()? {
                bail!("it ended: {status}: {}", read("stderr"));
            }
            // Each start puts a new file in the place of the last one's.
            let now = inode(&data.join("local.json"));
            if now.is_some() && now != before {
                break State::read(data)?;
            }
            ensure!(Instant::now() < deadline, "not ready within {START:?}: {}", read("stderr"));
            sleep(Duration::from_millis(5)).await;
        };
        let api = Api::new(state.api_url.clone());
        let stack = Self { child, pid, state, data: data.to_owned(), api, logs };
        stack.api.enroll("").await?.problem(401, "invalid-enrollment-token", &[])?;
        Ok(stack)
    }

    fn stdout(&self) -> String {
        fs::read_to_string(self.logs.path().join("stdout")).unwrap()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.logs.path().join("stderr")).unwrap()
    }

    pub(crate) fn token(&self) -> EnrollmentToken {
        EnrollmentToken::parse(&self.state.enrollment_token).expect("a token")
    }

    pub(crate) fn project(&self) -> ProjectId {
        self.state.project_id.parse().expect("a project")
    }

    /// What a function on this stack would be configured with.
    pub(crate) fn config(&self, table: &str) -> Config {
        Config {
            aws: AwsConfig {
                region: self.state.region.clone(),
                credentials: Credentials::new(CREDENTIAL, CREDENTIAL, None, None, "tests"),
                endpoint_dynamodb: Some(self.state.aws_endpoint_url_dynamodb.clone()),
                endpoint_kms: Some(self.state.aws_endpoint_url_kms.clone()),
                ca_bundle: None,
            },
            table_name: table.to_owned(),
            device_ca: "device".into(),
        }
    }

    pub(crate) fn store(&self, table: &str) -> anyhow::Result<Store> {
        Ok(Store::new(self.config(table).aws.dynamodb()?, table))
    }

    fn own_store(&self) -> anyhow::Result<Store> {
        self.store(&self.state.table_name)
    }

    async fn authority(&self, name: &str) -> anyhow::Result<AuthorityRecord> {
        self.own_store()?.authority(name).await?.with_context(|| format!("no CA {name}"))
    }

    /// Every digest that KMS signed, in order.
    pub(crate) fn signed_digests(&self) -> anyhow::Result<Vec<String>> {
        let journal = fs::read_to_string(self.data.join("kms/signatures.jsonl"))?;
        let digest = |line: &str| {
            let line: Value = serde_json::from_str(line)?;
            Ok(line["digest"].as_str().context("no digest")?.to_owned())
        };
        journal.lines().map(digest).collect()
    }

    /// The digests of all certificates on the ledger, devices' and servers'.
    pub(crate) async fn ledger_digests(&self) -> anyhow::Result<Vec<String>> {
        let mut digests = Vec::new();
        let client = self.config("").aws.dynamodb()?;
        let pages = client.scan().table_name(&self.state.table_name).into_paginator();
        let mut items = pages.items().send();
        while let Some(item) = items.next().await {
            let item = item?;
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
            if text("SK").context("no SK")?.starts_with("CERT#") {
                digests.push(text("tbs_digest").context("no digest")?.to_owned());
            }
        }
        Ok(digests)
    }

    /// The processes that it started: its KMS.
    fn children(&self) -> anyhow::Result<Vec<u32>> {
        let mut children = Vec::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let list = fs::read_to_string(thread?.path().join("children"))?;
            for pid in list.split_whitespace() {
                children.push(pid.parse()?);
            }
        }
        Ok(children)
    }

    fn kms(&self) -> anyhow::Result<u32> {
        match self.children()?[..] {
            [kms] => Ok(kms),
            ref children => bail!("one child expected: {children:?}"),
        }
    }

    fn addresses(&self) -> [&str; 3] {
        let State { api_url, aws_endpoint_url_dynamodb, aws_endpoint_url_kms, .. } = &self.state;
        [api_url, aws_endpoint_url_dynamodb, aws_endpoint_url_kms]
            .map(|url| url.strip_prefix("http://").expect("an http URL"))
    }

    /// Enrolls a device and checks the identity that it gets.
    pub(crate) async fn new_device(&self) -> anyhow::Result<(Enrolled, Released)> {
        self.new_device_with(&self.state.enrollment_token).await
    }

    async fn new_device_with(&self, token: &str) -> anyhow::Result<(Enrolled, Released)> {
        let device: Enrolled = self.api.enroll(token).await?.success()?;
        let identity = self.api.released(&device).await?;
        self.check(&device, &identity).await?;
        Ok((device, identity))
    }

    async fn check(&self, device: &Enrolled, identity: &Released) -> anyhow::Result<()> {
        ensure!(identity.device_id == device.device_id);
        ensure!(identity.ca_certificate_pem == fs::read_to_string(&self.state.root_certificate)?);
        let subordinate = self.authority("device").await?.certificate_pem;
        let leaf = &identity.device_certificate_pem;
        ensure!(identity.certificate_chain_pem == format!("{leaf}{subordinate}"));
        let root = &identity.ca_certificate_pem;
        let verdict = openssl::verify(leaf, &subordinate, root, Purpose::Client).await?;
        ensure!(verdict == Verdict::Accepted, "{verdict:?}");
        Ok(())
    }

    async fn signal(&self, name: &str) -> anyhow::Result<()> {
        send_signal(name, self.pid).await
    }

    /// How it ended, which it must within [`STOP`].
    async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = timeout(STOP, self.child.wait()).await;
        Ok(ended.with_context(|| format!("it did not end within {STOP:?}"))??)
    }

    /// Ends it as Ctrl-C does.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.signal("INT").await?;
        let status = self.ended().await?;
        ensure!(status.success(), "{status}: {}", self.stderr());
        Ok(())
    }

    /// Ends it as a crash does, and waits until its KMS followed.
    async fn kill(mut self) -> anyhow::Result<()> {
        let kms = self.kms()?;
        self.child.kill().await?;
        gone(kms).await
    }
}

/// Starts `serve`, with its output in files.
fn spawn(data: &Path, listen: &str) -> anyhow::Result<(Child, TempDir)> {
    let logs = TempDir::new()?;
    let child = Command::new(binary("birthcert-local")?)
        .args(["serve", "--listen", listen, "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(File::create(logs.path().join("stdout"))?)
        .stderr(File::create(logs.path().join("stderr"))?)
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, logs))
}

/// What a `serve` that cannot run says before it ends.
async fn refused(data: &Path, listen: &str) -> anyhow::Result<String> {
    let (mut child, logs) = spawn(data, listen)?;
    let status = timeout(START, child.wait()).await.context("it went on")??;
    ensure!(status.code() == Some(1), "{status}");
    Ok(fs::read_to_string(logs.path().join("stderr"))?)
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|it| it.ino())
}

/// The shell's own `kill`: it needs no package, and no unsafe code here.
async fn send_signal(name: &str, pid: u32) -> anyhow::Result<()> {
    let kill = format!("kill -{name} {pid}");
    let sent = Command::new("/bin/sh").args(["-c", &kill]).status().await?;
    ensure!(sent.success(), "{kill}: {sent}");
    Ok(())
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses. Z: it ended and nobody has asked how.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

async fn gone(pid: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + STOP;
    while is_running(pid) {
        ensure!(Instant::now() < deadline, "process {pid} still runs after {STOP:?}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn local(args: &[&OsStr]) -> anyhow::Result<std::process::Output> {
    Ok(Command::new(binary("birthcert-local")?).args(args).output().await?)
}

async fn the_first_start_writes_down_what_a_program_needs() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("a stack's own");
    let stack = Stack::start(&data).await?;
    let file = data.join("local.json");
    ensure!(mode(&file) == 0o600, "{:o}", mode(&file));
    let json: BTreeMap<String, String> = serde_json::from_str(&fs::read_to_string(file)?)?;
    let fields = [
        "api_url",
        "aws_endpoint_url_dynamodb",
        "aws_endpoint_url_kms",
        "enrollment_token",
        "project_id",
        "region",
        "root_certificate",
        "table_name",
    ];
    ensure!(json.keys().map(String::as_str).eq(fields), "{:?}", json.keys());
    ensure!(json.values().all(|value| !value.is_empty()));

    let root = Path::new(&json["root_certificate"]);
    ensure!(root.is_absolute() && root.is_file(), "{}", root.display());
    let text = openssl::text(&fs::read_to_string(root)?).await?;
    ensure!(text.contains("CA:TRUE"), "{text}");
    let project: ProjectId = json["project_id"].parse()?;
    ensure!(stack.token().project() == project);
    ensure!(stack.own_store()?.project(project).await?.is_some());
    let [api, dynamodb, kms] = stack.addresses();
    ensure!(BTreeSet::from([api, dynamodb, kms]).len() == 3);

    let ready = format!("{} is ready; {}", json["api_url"], data.join("local.json").display());
    let said = stack.stderr();
    ensure!(said.contains("is for development") && said.contains(&ready), "{said}");
    stack.stop().await
}

async fn everything_it_keeps_is_private() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("stack");
    let stack = Stack::start(&data).await?;
    for folder in [data.clone(), data.join("ca"), data.join("kms")] {
        ensure!(mode(&folder) == 0o700, "{}: {:o}", folder.display(), mode(&folder));
    }
    let mut files = 0;
    for file in fs::read_dir(&data)? {
        let file = file?.path();
        let is_lock = file.file_name() == Some(OsStr::new("lock"));
        if file.is_file() && !is_lock {
            ensure!(mode(&file) == 0o600, "{}: {:o}", file.display(), mode(&file));
            files += 1;
        }
    }
    ensure!(files >= 2, "the table and local.json");
    let mut keys = 0;
    for file in fs::read_dir(data.join("kms"))? {
        let file = file?.path();
        ensure!(mode(&file) == 0o600, "{}: {:o}", file.display(), mode(&file));
        keys += usize::from(fs::read_to_string(&file)?.contains("PRIVATE KEY"));
    }
    ensure!(keys == 2, "{keys} keys for two CAs");

    let root = data.join("ca/root-key.pem");
    ensure!(mode(&root) == 0o600 && mode(&data.join("ca/passphrase")) == 0o600);
    let text = fs::read_to_string(&root)?;
    ensure!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "it is not encrypted");
    let opened = public_key(&root, &data.join("ca/passphrase")).await?;
    let certificate = data.join("ca/root.pem");
    let certified = ["x509", "-noout", "-pubkey", "-in"].map(OsStr::new);
    let certified =
        tool::run("openssl", certified.into_iter().chain([certificate.as_os_str()])).await?;
    ensure!(opened == Some(certified.output), "not the key of the root's certificate");
    let wrong = tool::file("not the passphrase")?;
    ensure!(public_key(&root, wrong.path()).await?.is_none(), "any passphrase opens it");
    stack.stop().await
}

/// The public half of an encrypted key, if the passphrase opens it.
pub(crate) async fn public_key(key: &Path, passphrase: &Path) -> anyhow::Result<Option<String>> {
    let passphrase = format!("file:{}", passphrase.display());
    let args = ["pkey", "-pubout", "-passin", &passphrase, "-in"].map(OsStr::new);
    let opened = tool::run("openssl", args.into_iter().chain([key.as_os_str()])).await?;
    Ok(opened.status.success().then_some(opened.output))
}

async fn a_device_gets_its_identity() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(scratch.path()).await?;
    let (device, identity) = stack.new_device().await?;
    ensure!(device.project_id == stack.state.project_id);
    let text = openssl::text(&identity.device_certificate_pem).await?;
    ensure!(text.contains(&format!("Subject: CN = {}", device.device_id)), "{text}");
    let entries = stack.own_store()?.device_certificates(device.device_id).await?;
    ensure!(entries.len() == 1 && entries[0].serial_number == identity.serial_number);
    stack.stop().await
}

/// Runs a script in a shell that has eaten the output of `env`. It starts from what may be in the
/// environment of somebody who works with AWS.
async fn in_shell(stack: &Stack, script: &str) -> anyhow::Result<String> {
    let home = TempDir::new()?;
    let programs = binary("birthcert-local")?;
    let programs = programs.parent().context("a folder")?;
    let script = format!(
        "set -eu\nexports=$(birthcert-local env --data \"$1\")\neval \"$exports\"\n{script}"
    );
    let output = Command::new("/bin/sh")
        .args(["-c", &script, "sh"])
        .arg(&stack.data)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env("HOME", home.path())
        .env("AWS_PROFILE", "of-another-account")
        .env("AWS_SESSION_TOKEN", "of another account")
        .env("AWS_PAGER", "")
        .env("AWS", tool::find("aws")?)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script}\n{said}");
    Ok(String::from_utf8(output.stdout)?)
}

async fn a_shell_finds_it_by_env() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(&scratch.path().join("it's a $HOME")).await?;
    let (device, _) = stack.new_device().await?;

    let root = in_shell(&stack, "cat \"$BIRTHCERT_ROOT_CERTIFICATE\"").await?;
    ensure!(root == fs::read_to_string(&stack.state.root_certificate)?);
    let shown = in_shell(&stack, "printf %s \"$BIRTHCERT_API_URL $BIRTHCERT_ENROLLMENT_TOKEN\"");
    ensure!(shown.await? == format!("{} {}", stack.state.api_url, stack.state.enrollment_token));

    let list = in_shell(&stack, "birthcert device list --output json").await?;
    let list: Vec<Value> = serde_json::from_str(&list)?;
    ensure!(list.len() == 1 && list[0]["device_id"] == device.device_id.to_string(), "{list:?}");

    let regenerate =
        format!("birthcert token regenerate {} --output json", stack.token().subject());
    let regenerated: Value = serde_json::from_str(&in_shell(&stack, &regenerate).await?)?;
    let new = regenerated["enrollment_token"].as_str().context("a token")?;
    let old = &stack.state.enrollment_token;
    let refused = stack.api.enroll(old).await?;
    refused.problem(401, "invalid-enrollment-token", &[old])?;
    stack.api.enroll(new).await?.success::<Enrolled>()?;

    let keys: Value =
        serde_json::from_str(&in_shell(&stack, "\"$AWS\" kms list-keys --output json").await?)?;
    let listed = keys["Keys"].as_array().context("keys")?;
    let listed: BTreeSet<_> = listed.iter().map(|key| key["KeyArn"].to_string()).collect();
    let mut used = BTreeSet::new();
    for name in ["device", "server"] {
        used.insert(Value::from(stack.authority(name).await?.key_arn).to_string());
    }
    ensure!(listed == used, "{listed:?} instead of {used:?}");

    let describe = "\"$AWS\" dynamodb describe-table --table-name \"$BIRTHCERT_TABLE\" \
                    --output json";
    let table: Value = serde_json::from_str(&in_shell(&stack, describe).await?)?;
    let table = &table["Table"];
    ensure!(table["TableName"] == "birthcert" && table["TableStatus"] == "ACTIVE", "{table}");
    ensure!(table["GlobalSecondaryIndexes"][0]["IndexName"] == "inventory", "{table}");

    // To look was not to touch.
    stack.new_device_with(new).await?;
    ensure!(stack.own_store()?.devices(stack.project(), None).await?.len() == 3);
    stack.stop().await
}

/// What must be the same after a restart.
struct Before {
    state: State,
    authorities: [AuthorityRecord; 2],
    device: Enrolled,
    identity: Released,
    digests: Vec<String>,
}

impl Before {
    async fn new(stack: &Stack) -> anyhow::Result<Self> {
        let (device, identity) = stack.new_device().await?;
        Ok(Self {
            state: stack.state.clone(),
            authorities: [stack.authority("device").await?, stack.authority("server").await?],
            device,
            identity,
            digests: stack.signed_digests()?,
        })
    }

    async fn check(&self, stack: &Stack) -> anyhow::Result<()> {
        let (old, new) = (&self.state, &stack.state);
        ensure!(old.project_id == new.project_id && old.enrollment_token == new.enrollment_token);
        ensure!(old.root_certificate == new.root_certificate);
        ensure!(old.table_name == new.table_name && old.region == new.region);
        for record in &self.authorities {
            ensure!(stack.authority(&record.name).await? == *record);
        }
        ensure!(stack.own_store()?.projects(None).await?.len() == 1);
        ensure!(stack.own_store()?.tokens(stack.project()).await?.len() == 1);
        ensure!(stack.signed_digests()? == self.digests, "the journal changed");

        let again = stack.api.released(&self.device).await?;
        stack.check(&self.device, &again).await?;
        let entries = stack.own_store()?.device_certificates(self.device.device_id).await?;
        let live = |entry: &LedgerEntry| entry.superseded_at.is_none();
        ensure!(entries.len() == 2, "{entries:?}");
        let find = |serial: &str| entries.iter().find(|entry| entry.serial_number == serial);
        let old = find(&self.identity.serial_number).context("the old one is on the ledger")?;
        ensure!(!live(old) && old.revoked_at.is_some(), "not superseded: {old:?}");
        ensure!(find(&again.serial_number).is_some_and(live));
        stack.new_device().await.map(drop)
    }
}

async fn a_restart_keeps_everything() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("stack");
    let stack = Stack::start(&data).await?;
    let before = Before::new(&stack).await?;
    stack.stop().await?;
    let stack = Stack::start(&data).await?;
    before.check(&stack).await?;
    stack.stop().await
}

async fn a_killed_stack_takes_kms_with_it_and_comes_back() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("stack");
    let stack = Stack::start(&data).await?;
    let before = Before::new(&stack).await?;
    stack.kill().await?;
    let stack = Stack::start(&data).await?;
    before.check(&stack).await?;
    stack.stop().await
}

async fn a_first_start_that_is_killed_is_finished_by_the_next() -> anyhow::Result<()> {
    const KILLS: u32 = 8;
    let scratch = TempDir::new()?;
    let started = Instant::now();
    Stack::start(&scratch.path().join("whole")).await?.kill().await?;
    let whole = started.elapsed();

    let often = scratch.path().join("killed often");
    for number in 0..KILLS {
        let delay = whole * number / KILLS;
        let once = scratch.path().join(format!("killed after {delay:?}"));
        for data in [&once, &often] {
            let (mut child, _logs) = spawn(data, "127.0.0.1:0")?;
            sleep(delay).await;
            child.kill().await?;
        }
        works(&once).await.with_context(|| once.display().to_string())?;
    }
    works(&often).await.context("killed often")
}

/// Whether a stack starts in `data` and everything on it works.
async fn works(data: &Path) -> anyhow::Result<()> {
    let stack = Stack::start(data).await?;
    stack.new_device().await?;
    let name = "broker.example.com";
    let folder = data.with_extension("broker");
    let issue = format!("birthcert broker issue --dns {name} --directory '{}'", folder.display());
    in_shell(&stack, &issue).await?;
    let chain = fs::read_to_string(folder.join("broker-chain.pem"))?;
    let root = fs::read_to_string(&stack.state.root_certificate)?;
    let verdict = openssl::verify(&chain, &chain, &root, Purpose::Server).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    ensure!(!data.join("ca.unfinished").exists());
    stack.stop().await
}

async fn a_signal_ends_it_in_order() -> anyhow::Result<()> {
    try_join(ends_in_order("INT", false), ends_in_order("TERM", true)).await.map(drop)
}

async fn ends_in_order(signal: &str, with_unfinished_request: bool) -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let mut stack = Stack::start(scratch.path()).await?;
    // The API's client keeps its connection open.
    stack.new_device().await?;
    let mut unfinished = TcpStream::connect(stack.addresses()[0]).await?;
    if with_unfinished_request {
        unfinished.write_all(b"GET /identity HTTP/1.1\r\nhost:").await?;
    }
    let kms = stack.kms()?;

    stack.signal(signal).await?;
    let status = stack.ended().await?;
    ensure!(status.code() == Some(0), "SIG{signal}: {status}");
    ensure!(!is_running(kms), "its KMS outlived it");
    for address in stack.addresses() {
        ensure!(TcpStream::connect(address).await.is_err(), "{address} is still open");
    }
    let said = stack.stderr();
    ensure!(!said.contains("panicked") && !said.contains("birthcert-local: "), "{said}");
    Ok(())
}

async fn a_signal_during_the_first_start_is_not_lost() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    for attempt in 0..10 {
        let data = scratch.path().join(attempt.to_string());
        let (mut child, logs) = spawn(&data, "127.0.0.1:0")?;
        let said = || fs::read_to_string(logs.path().join("stderr")).unwrap_or_default();
        let deadline = Instant::now() + START;
        while said().is_empty() {
            ensure!(Instant::now() < deadline, "it says nothing");
            sleep(Duration::from_millis(1)).await;
        }
        send_signal("TERM", child.id().context("it runs")?).await?;
        let in_time = !said().contains("is ready");
        let status = timeout(START, child.wait()).await.context("it went on")??;
        ensure!(status.success(), "{status}: {}", said());
        if in_time {
            return works(&data).await;
        }
    }
    bail!("each time the start was over before the signal came")
}

async fn a_port_in_use_is_an_error_that_helps() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let address = taken.local_addr()?.to_string();
    let data = scratch.path().join("stack");
    let said = refused(&data, &address).await?;
    ensure!(said.contains("--listen") && said.contains(&address), "{said}");
    ensure!(!data.join("local.json").exists());
    // What it left does not keep the next one from starting.
    works(&data).await
}

async fn a_second_stack_in_one_directory_is_refused() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("stack");
    let stack = Stack::start(&data).await?;
    let before = fs::read(data.join("local.json"))?;
    let said = refused(&data, "127.0.0.1:0").await?;
    ensure!(said.contains("another birthcert-local runs in"), "{said}");
    ensure!(said.contains(&data.display().to_string()), "{said}");
    ensure!(fs::read(data.join("local.json"))? == before, "the second changed local.json");
    stack.new_device().await?;
    stack.stop().await
}

async fn it_listens_on_loopback_alone() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(scratch.path()).await?;
    stack.new_device().await?;
    let sockets = tool::run("ss", ["-Hltunp"]).await?;
    ensure!(sockets.status.success(), "{}", sockets.output);
    let of = |pid: u32| -> BTreeSet<&str> {
        let owner = format!("pid={pid},");
        let own = sockets.output.lines().filter(|line| line.contains(&owner));
        // Protocol, state, two queues, then the local address.
        own.map(|line| line.split_whitespace().nth(4).expect("an address")).collect()
    };
    let [api, dynamodb, kms] = stack.addresses();
    ensure!(of(stack.pid) == BTreeSet::from([api, dynamodb]), "{}", sockets.output);
    ensure!(of(stack.kms()?) == BTreeSet::from([kms]), "{}", sockets.output);
    for address in [api, dynamodb, kms] {
        ensure!(address.starts_with("127.0.0.1:"), "{address}");
        let port = address.rsplit_once(':').context("a port")?.1;
        let elsewhere = TcpStream::connect(format!("127.0.0.2:{port}")).await;
        ensure!(elsewhere.is_err(), "{address} answers on 127.0.0.2 too");
    }
    stack.stop().await
}

async fn it_logs_events_and_no_secrets() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(scratch.path()).await?;
    let good = stack.state.enrollment_token.clone();
    let admitted = stack.api.enroll(&good).await?;
    let device: Enrolled = admitted.success()?;
    let issued = stack.api.identity(&device.device_token).await?;
    issued.success::<Released>()?;

    // A right token in the wrong place is still a secret.
    let mistyped =
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { 1 } else { 0 });
    let refused = [
        stack.api.enroll(&mistyped).await?,
        stack.api.enroll(&device.device_token).await?,
        stack.api.identity(&good).await?,
        stack.api.identity(&format!("{0}, {0}", device.device_token)).await?,
        stack.api.identity("").await?,
    ];
    for answer in &refused {
        ensure!(answer.status == 401, "{}", answer.text);
    }

    let output = format!("{}{}", stack.stdout(), stack.stderr());
    for token in [&good, &device.device_token, &mistyped] {
        // The secret alone gives it away as much as the whole token does.
        let secret = token.get(47..90).context("a secret")?;
        ensure!(!output.contains(secret), "a token was logged");
    }
    ensure!(!output.contains("PRIVATE KEY"), "a private key was logged");

    let events: Vec<Value> =
        stack.stdout().lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let event = |answer: &Answer| {
        let id = answer.header("x-request-id");
        let of_request: Vec<_> = events.iter().filter(|it| it["request_id"] == id).collect();
        match of_request[..] {
            [event] => Ok(event.clone()),
            _ => bail!("{id} is in the log {} times", of_request.len()),
        }
    };
    let event_of_admission = event(&admitted)?;
    ensure!(event_of_admission["event"] == "enrolled", "{event_of_admission}");
    ensure!(event_of_admission["device_id"] == device.device_id.to_string());
    let event_of_issuance = event(&issued)?;
    ensure!(event_of_issuance["event"] == "issued", "{event_of_issuance}");
    ensure!(event_of_issuance["serial_number"] == issued.json["serial_number"]);
    for answer in &refused {
        let event = event(answer)?;
        let slug = answer.json["type"].as_str().and_then(|it| it.split_once('#')).context("#")?.1;
        ensure!(event["event"] == "refused" && event["problem"] == slug, "{event}");
    }
    stack.stop().await
}

async fn every_signature_is_on_the_ledger_or_a_request() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("stack");
    let stack = Stack::start(&data).await?;
    let (device, _) = stack.new_device().await?;
    stack.api.released(&device).await?;
    stack.new_device().await?;
    let broker = scratch.path().join("broker");
    let issue = format!("birthcert broker issue --ip 127.0.0.1 --directory {}", broker.display());
    in_shell(&stack, &issue).await?;
    // Nothing is signed for these.
    stack.api.identity(&stack.state.enrollment_token).await?.problem(
        401,
        "invalid-device-token",
        &[],
    )?;
    stack.api.enrolled(&stack.token()).await?;

    let mut expected = stack.ledger_digests().await?;
    ensure!(expected.len() == 4, "two, one and one: {expected:?}");
    for name in ["device", "server"] {
        let certificate = stack.authority(name).await?.certificate_pem;
        let certificate = CaCertificate::from_pem(&certificate).map_err(anyhow::Error::msg)?;
        let key = certificate.key().to_public_key_der()?;
        let key: SubjectPublicKeyInfoOwned = der::Decode::from_der(key.as_bytes())?;
        let request = UnsignedCsr::new(certificate.subject().clone(), key)?;
        expected.push(hex(request.digest()));
    }
    let mut signed = stack.signed_digests()?;
    expected.sort();
    signed.sort();
    ensure!(signed == expected, "signed {signed:?}, accounted for {expected:?}");
    stack.stop().await
}

async fn env_of_no_stack_is_an_error_that_helps() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let damaged = scratch.path().join("local.json");
    let args = |data: &'static str| ["env", "--data", data].map(OsStr::new);
    let output = local(&args("/nonexistent")).await?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1), "{}", output.status);
    ensure!(output.stdout.is_empty(), "a shell would evaluate this");
    ensure!(said.contains("cannot read /nonexistent/local.json"), "{said}");
    ensure!(said.contains("birthcert-local serve --data /nonexistent"), "{said}");

    fs::write(&damaged, "{\"api_url\":")?;
    let args = [OsStr::new("env"), OsStr::new("--data"), scratch.path().as_os_str()];
    let output = local(&args).await?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{}", output.status);
    ensure!(said.contains(&format!("{} is damaged", damaged.display())), "{said}");
    Ok(())
}
