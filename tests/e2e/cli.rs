//! `birthcert`, as the process that operators start, on a stack of each test's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert::id::{ProjectId, TokenId};
use birthcert::world::World;
use birthcert_local::gateway::{self, Functions};
use birthcert_tests::api::{Api, Enrolled, Released};
use birthcert_tests::counterparties::binary;
use birthcert_tests::openssl::{self, Purpose, Verdict};
use birthcert_tests::{pkilint, tool};
use der::pem::{self, LineEnding};
use enroll::Enroll;
use futures_util::future::try_join_all;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use identity::Identity;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::Command;
use tokio::time::timeout;

use crate::local_stack::{Stack, mode, public_key};

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![
        a_root_needs_no_network_and_no_aws,
        a_root_is_never_overwritten,
        a_root_wants_a_passphrase,
        a_subordinate_in_three_steps_on_three_machines,
        a_subordinate_in_one_go,
        a_root_certifies_only_what_a_key_signed,
        only_a_ca_that_can_issue_is_activated,
        projects,
        tokens_enroll_as_they_are_told,
        lists_show_devices_and_tokens_but_no_secrets,
        a_broker_gets_its_certificate,
        a_broker_certificate_that_cannot_be_written_is_not_signed,
        brokers_have_proper_names,
        what_is_missing_is_named,
        malformed_arguments_are_usage_errors,
        without_region_or_credentials,
        endpoints_that_do_not_answer,
        every_command_has_help,
    ]
}

const PASSPHRASE: &str = "correct horse battery staple";
/// A table that `birthcert-local` did not make.
const TABLE: &str = "fleet-two";
/// Far more than any command needs.
const RUN_LIMIT: Duration = Duration::from_secs(60);
const QUIET: World = World { log: |_| {}, ..World::REAL };

/// Somebody at a machine of their own: its home is empty and holds their files, and its environment
/// is what they were given.
struct Operator {
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

struct Ran {
    command: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Operator {
    /// At a machine that knows nothing of AWS.
    fn offline() -> anyhow::Result<Self> {
        let home = TempDir::new()?;
        fs::write(home.path().join("passphrase"), format!("{PASSPHRASE}\nnot this line\n"))?;
        Ok(Self { home, variables: Vec::new() })
    }

    /// Who was given the way to `stack`.
    fn of(stack: &Stack) -> anyhow::Result<Self> {
        let state = &stack.state;
        let mut operator = Self::offline()?;
        operator.variables = vec![
            // The tests stay on loopback.
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("AWS_ACCESS_KEY_ID", "local".into()),
            ("AWS_SECRET_ACCESS_KEY", "local".into()),
            ("AWS_REGION", state.region.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", state.aws_endpoint_url_dynamodb.clone()),
            ("AWS_ENDPOINT_URL_KMS", state.aws_endpoint_url_kms.clone()),
            ("BIRTHCERT_PROJECT", state.project_id.clone()),
        ];
        Ok(operator)
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self = self.without(name);
        self.variables.push((name, value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(variable, _)| *variable != name);
        self
    }

    fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(file)
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.path(file)).with_context(|| file.to_owned())
    }

    /// Carries a file over to another machine.
    fn hand(&self, file: &str, other: &Self) -> anyhow::Result<()> {
        fs::copy(
            self.path(file),
            other.path(Path::new(file).file_name().unwrap().to_str().unwrap()),
        )?;
        Ok(())
    }

    /// Types a command whose arguments have no white space, at home and without a terminal.
    async fn run(&self, line: &str) -> anyhow::Result<Ran> {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>()).await
    }

    async fn run_with(&self, args: &[&str]) -> anyhow::Result<Ran> {
        let running = Command::new(binary("birthcert")?)
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let command = args.join(" ");
        let output = timeout(RUN_LIMIT, running)
            .await
            .with_context(|| format!("{command} did not end within {RUN_LIMIT:?}"))??;
        Ok(Ran {
            command,
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    async fn done(&self, line: &str) -> anyhow::Result<String> {
        self.run(line).await?.done()
    }

    async fn json(&self, line: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.done(&format!("{line} --output json")).await?)?)
    }

    /// The command fails, changes nothing in the home, and says all of `words`.
    async fn refused(&self, line: &str, code: i32, words: &[&str]) -> anyhow::Result<()> {
        let before = self.files()?;
        self.run(line).await?.refused(code, words)?;
        ensure!(self.files()? == before, "{line}: it changed files");
        Ok(())
    }

    /// Every file at home and what is in it.
    fn files(&self) -> anyhow::Result<BTreeSet<(PathBuf, Vec<u8>)>> {
        let mut files = BTreeSet::new();
        let mut folders = vec![self.home.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs::read(&path)?;
                    files.insert((path, content));
                }
            }
        }
        Ok(files)
    }

    /// Makes a root in the directory `root`.
    async fn makes_root(&self) -> anyhow::Result<()> {
        self.done("ca root --directory root --passphrase-file passphrase").await.map(drop)
    }
}

impl Ran {
    fn done(self) -> anyhow::Result<String> {
        ensure!(self.code == Some(0), "{}: {:?} {}", self.command, self.code, self.stderr);
        ensure!(self.stderr.is_empty(), "{}: {}", self.command, self.stderr);
        Ok(self.stdout)
    }

    fn refused(self, code: i32, words: &[&str]) -> anyhow::Result<()> {
        let Self { command, stdout, stderr, .. } = &self;
        ensure!(self.code == Some(code), "{command}: {:?} {stdout}{stderr}", self.code);
        ensure!(stdout.is_empty(), "{command}: {stdout}");
        let program = if code == 2 { "error: " } else { "birthcert: " };
        ensure!(stderr.starts_with(program), "{command}: {stderr}");
        ensure!(!stderr.contains("panicked"), "{command}: {stderr}");
        // The SDK's errors as dumps of its types are nobody's to read.
        ensure!(!stderr.contains("ServiceError"), "{command}: {stderr}");
        for word in words {
            ensure!(stderr.contains(word), "{command}: no {word:?} in {stderr}");
        }
        Ok(())
    }
}

async fn start() -> anyhow::Result<(TempDir, Stack, Operator)> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(&scratch.path().join("stack")).await?;
    let operator = Operator::of(&stack)?;
    Ok((scratch, stack, operator))
}

/// A stack with a second table, where nothing is set up, and its operator.
async fn start_with_table() -> anyhow::Result<(TempDir, Stack, Operator)> {
    let (scratch, stack, operator) = start().await?;
    stack.store(TABLE)?.create_table().await?;
    Ok((scratch, stack, operator.with("BIRTHCERT_TABLE", TABLE)))
}

async fn a_root_needs_no_network_and_no_aws() -> anyhow::Result<()> {
    let operator = Operator::offline()?;
    let make = "ca root --directory new/root --organization Thistle --passphrase-file passphrase";
    let made = operator.json(make).await?;
    ensure!(made["key"] == "new/root/root-key.pem", "{made}");
    ensure!(made["certificate"] == "new/root/root.pem", "{made}");
    let files = operator.files()?;
    ensure!(files.len() == 3, "its two files and the passphrase: {:?}", files.len());
    ensure!(mode(&operator.path("new/root/root-key.pem")) == 0o600);
    ensure!(mode(&operator.path("new/root")) == 0o700);

    let key = operator.path("new/root/root-key.pem");
    let right = tool::file(PASSPHRASE)?;
    let opened = public_key(&key, right.path()).await?;
    let certificate = operator.path("new/root/root.pem");
    let certificate_path = certificate.to_str().context("UTF-8")?;
    let certified =
        tool::run("openssl", ["x509", "-noout", "-pubkey", "-in", certificate_path]).await?;
    ensure!(opened == Some(certified.output), "another key than the certificate's");
    let wrong = tool::file("correct horse battery stable")?;
    ensure!(public_key(&key, wrong.path()).await?.is_none(), "any passphrase opens it");

    let root = fs::read_to_string(&certificate)?;
    pkilint::lint(&root).await?;
    let strictly = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile"];
    let args = strictly.into_iter().chain([certificate_path; 2]);
    let verified = tool::run("openssl", args).await?;
    ensure!(verified.status.success(), "{}", verified.output);
    let text = openssl::text(&root).await?;
    ensure!(text.contains("Subject: O = Thistle, CN = birthcert root"), "{text}");
    ensure!(text.contains("Not After : Dec 31 23:59:59 9999 GMT"), "{text}");
    Ok(())
}

async fn a_root_is_never_overwritten() -> anyhow::Result<()> {
    let operator = Operator::offline()?;
    operator.makes_root().await?;
    let again = "ca root --directory root --passphrase-file passphrase";
    operator.refused(again, 1, &["exists already and is never overwritten"]).await?;
    // Half a root is not completed either: its halves would not belong together.
    for (kept, lost) in [("root.pem", "root-key.pem"), ("root-key.pem", "root.pem")] {
        let half = format!("only-{kept}");
        fs::create_dir(operator.path(&half))?;
        fs::copy(operator.path(&format!("root/{kept}")), operator.path(&format!("{half}/{kept}")))?;
        let again = format!("ca root --directory {half} --passphrase-file passphrase");
        operator.refused(&again, 1, &[kept, "never overwritten"]).await?;
        ensure!(!operator.path(&format!("{half}/{lost}")).exists());
    }
    Ok(())
}

async fn a_root_wants_a_passphrase() -> anyhow::Result<()> {
    const MAKE: &str = "ca root --directory root";
    const VARIABLE: &str = "BIRTHCERT_ROOT_PASSPHRASE";
    let operator = Operator::offline()?;
    fs::write(operator.path("short"), "elevenchars\n")?;
    fs::write(operator.path("empty"), "\nsecond line, long enough\n")?;
    let from = |file: &str| format!("{MAKE} --passphrase-file {file}");
    operator.refused(&from("short"), 1, &["12 characters at least"]).await?;
    operator.refused(&from("empty"), 1, &["empty is empty"]).await?;
    operator.refused(&from("absent"), 1, &["cannot read absent"]).await?;
    operator.refused(MAKE, 1, &["no passphrase", "--passphrase-file", VARIABLE]).await?;
    let operator = operator.with(VARIABLE, "");
    operator.refused(MAKE, 1, &["12 characters at least"]).await?;
    let operator = operator.with(VARIABLE, "elevenchars");
    operator.refused(MAKE, 1, &["12 characters at least"]).await?;
    ensure!(!operator.path("root").exists());

    // Characters, not bytes; and never on a command line.
    let operator = operator.with(VARIABLE, "zwölf Zeichen");
    operator.refused(&format!("{MAKE} --passphrase x"), 2, &["--passphrase"]).await?;
    operator.done(MAKE).await?;
    let passphrase = tool::file("zwölf Zeichen")?;
    let key = operator.path("root/root-key.pem");
    ensure!(public_key(&key, passphrase.path()).await?.is_some(), "another passphrase");

    // A file that was named wins.
    operator.done("ca root --directory other --passphrase-file passphrase").await?;
    let passphrase = tool::file(PASSPHRASE)?;
    let key = operator.path("other/root-key.pem");
    ensure!(public_key(&key, passphrase.path()).await?.is_some(), "another passphrase");
    Ok(())
}

/// A subordinate's certificate as RFC 5280 and this product's profile want it.
async fn check_subordinate(certificate: &str, root: &str, purpose: &str) -> anyhow::Result<()> {
    pkilint::lint(certificate).await?;
    let text = openssl::text(certificate).await?;
    let after = |title: &str| {
        let mut lines = text.lines().map(str::trim).skip_while(move |line| *line != title);
        lines.nth(1).unwrap_or_default().to_owned()
    };
    ensure!(after("X509v3 Basic Constraints: critical") == "CA:TRUE, pathlen:0", "{text}");
    ensure!(after("X509v3 Key Usage: critical") == "Certificate Sign, CRL Sign", "{text}");
    ensure!(after("X509v3 Extended Key Usage:") == purpose, "{text}");
    let (certificate, root) = (tool::file(certificate)?, tool::file(root)?);
    let verify = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile"].map(Path::new);
    let args = verify.into_iter().chain([root.path(), certificate.path()]);
    let verified = tool::run("openssl", args).await?;
    ensure!(verified.status.success(), "{}", verified.output);
    Ok(())
}

const CLIENTS: &str = "TLS Web Client Authentication";
const SERVERS: &str = "TLS Web Server Authentication";

async fn a_subordinate_in_three_steps_on_three_machines() -> anyhow::Result<()> {
    let (_scratch, stack, requester) = start_with_table().await?;
    let ceremony = Operator::offline()?;
    let activator = Operator::of(&stack)?.with("BIRTHCERT_TABLE", TABLE);
    ceremony.makes_root().await?;

    let requested = requester.json("ca request --usage device --csr device.csr").await?;
    let key_arn = requested["key_arn"].as_str().context("an ARN")?;
    ensure!(key_arn.starts_with("arn:aws:kms:us-east-1:"), "{requested}");
    let again = "ca request --usage device --csr device.csr";
    requester.refused(again, 1, &["device.csr exists already"]).await?;
    // It goes on with the key it has.
    let again = requester.json("ca request --usage device --csr again.csr").await?;
    ensure!(again["key_arn"] == key_arn, "{again} instead of {key_arn}");
    let csr = requester.path("device.csr");
    let csr = csr.to_str().context("UTF-8")?;
    let verified = tool::run("openssl", ["req", "-verify", "-noout", "-in", csr]).await?;
    ensure!(verified.status.success(), "{}", verified.output);

    requester.hand("device.csr", &ceremony)?;
    let certify = "ca certify --usage device --csr device.csr --certificate device.pem --root root \
                   --passphrase-file passphrase --organization Thistle --valid-years 40 \
                   --root-crl-url http://crl.example.com/root.crl";
    ceremony.done(certify).await?;
    ceremony.refused(certify, 1, &["device.pem exists already"]).await?;
    let (certificate, root) = (ceremony.read("device.pem")?, ceremony.read("root/root.pem")?);
    check_subordinate(&certificate, &root, CLIENTS).await?;
    let text = openssl::text(&certificate).await?;
    ensure!(text.contains("Subject: O = Thistle, CN = birthcert device CA"), "{text}");
    ensure!(text.contains("URI:http://crl.example.com/root.crl"), "{text}");

    ceremony.hand("device.pem", &activator)?;
    ceremony.hand("root/root.pem", &activator)?;
    let activate = "ca activate --usage device --certificate device.pem \
                    --root-certificate root.pem --crl-url http://crl.example.com/device.crl";
    let active = activator.json(activate).await?;
    ensure!(active["name"] == "device" && active["key_arn"] == key_arn, "{active}");
    activator.refused(activate, 1, &["there is a CA named device already"]).await?;
    let record = stack.store(TABLE)?.authority("device").await?.context("it is there")?;
    ensure!(record.certificate_pem == certificate && record.root_pem == root);

    let (project, token) = fleet(&activator).await?;
    let identity = identity_from(&stack, &token).await?;
    let leaf = &identity.device_certificate_pem;
    let verdict = openssl::verify(leaf, &certificate, &root, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    let text = openssl::text(leaf).await?;
    ensure!(text.contains("URI:http://crl.example.com/device.crl"), "{text}");
    let devices = activator.json(&format!("device list --project {project}")).await?;
    ensure!(devices[0]["device_id"] == identity.device_id.to_string(), "{devices}");
    stack.stop().await
}

/// A new project and a token for it.
async fn fleet(operator: &Operator) -> anyhow::Result<(String, String)> {
    let project = operator.done("project create --name fleet").await?.trim_end().to_owned();
    let token = operator.json(&format!("token create --project {project}")).await?;
    Ok((project, token["enrollment_token"].as_str().context("a token")?.to_owned()))
}

/// What a device gets from functions that serve the second table.
async fn identity_from(stack: &Stack, token: &str) -> anyhow::Result<Released> {
    let config = stack.config(TABLE);
    let enroll = Enroll::start(&config, QUIET).await?;
    let identity = Identity::start(&config, QUIET).await?;
    let functions = Arc::new(Functions { world: QUIET, enroll, identity });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let api = Api::new(format!("http://{}", listener.local_addr()?));
    let gateway = tokio::spawn(gateway::serve(listener, functions, std::future::pending()));
    let device: Enrolled = api.enroll(token).await?.success()?;
    let identity = api.released(&device).await;
    gateway.abort();
    identity
}

async fn a_subordinate_in_one_go() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start_with_table().await?;
    operator.makes_root().await?;
    let root = operator.read("root/root.pem")?;
    let wrong = operator.path("wrong");
    fs::write(wrong, "not the passphrase")?;
    for (usage, purpose) in [("device", CLIENTS), ("server", SERVERS)] {
        let subordinate = format!("ca subordinate --usage {usage} --root root --passphrase-file");
        let faulty = format!("{subordinate} wrong");
        operator.refused(&faulty, 1, &["the passphrase is wrong"]).await?;
        ensure!(stack.store(TABLE)?.authority(usage).await?.is_none());

        let right = format!("{subordinate} passphrase");
        let said = operator.done(&right).await?;
        ensure!(said.contains(&format!("The CA \"{usage}\" can issue.")), "{said}");
        let record = stack.store(TABLE)?.authority(usage).await?.context("it is there")?;
        check_subordinate(&record.certificate_pem, &root, purpose).await?;
        operator.refused(&right, 1, &[&format!("there is a CA named {usage} already")]).await?;
        ensure!(stack.store(TABLE)?.authority(usage).await? == Some(record));
    }

    let (_, token) = fleet(&operator).await?;
    let identity = identity_from(&stack, &token).await?;
    ensure!(identity.ca_certificate_pem == root);
    operator.done("broker issue --dns localhost --directory broker").await?;
    ensure!(operator.read("broker/root.pem")? == root);
    stack.stop().await
}

async fn a_root_certifies_only_what_a_key_signed() -> anyhow::Result<()> {
    let (_scratch, stack, requester) = start_with_table().await?;
    let ceremony = Operator::offline()?;
    ceremony.makes_root().await?;
    requester.done("ca request --usage device --csr good.csr").await?;
    requester.hand("good.csr", &ceremony)?;
    let certify = |csr: &str, more: &str| {
        format!("ca certify --usage device --csr {csr} --certificate new.pem --root root {more}")
    };
    let right = "--passphrase-file passphrase";

    let good = ceremony.read("good.csr")?;
    let (label, request) = pem::decode_vec(good.as_bytes()).map_err(anyhow::Error::msg)?;
    let name = request.windows(6).position(|bytes| bytes == b"device").context("its name")?;
    for (place, file) in [(request.len() - 1, "signature.csr"), (name, "subject.csr")] {
        let mut tampered = request.clone();
        tampered[place] ^= 1;
        let tampered = pem::encode_string(label, LineEnding::LF, &tampered);
        fs::write(ceremony.path(file), tampered.map_err(anyhow::Error::msg)?)?;
        ceremony.refused(&certify(file, right), 1, &["not signed with its own key"]).await?;
    }
    fs::write(ceremony.path("half.csr"), &good[..good.len() / 2])?;
    ceremony.refused(&certify("half.csr", right), 1, &["not PEM"]).await?;
    ceremony.refused(&certify("root/root.pem", right), 1, &["CERTIFICATE REQUEST"]).await?;
    ceremony.refused(&certify("absent.csr", right), 1, &["cannot read absent.csr"]).await?;
    other_request(&ceremony, "p384", "secp384r1").await?;
    ceremony.refused(&certify("p384.csr", right), 1, &["not on P-256"]).await?;

    fs::write(ceremony.path("wrong"), "not the passphrase")?;
    let wrong = certify("good.csr", "--passphrase-file wrong");
    ceremony.refused(&wrong, 1, &["the passphrase is wrong"]).await?;
    ceremony.refused(&certify("good.csr", ""), 1, &["no passphrase"]).await?;
    for years in ["0", "NaN", "inf", "1001"] {
        let faulty = certify("good.csr", &format!("{right} --valid-years {years}"));
        ceremony.refused(&faulty, 1, &["--valid-years must be between"]).await?;
    }
    let namesake = ["--common-name", "birthcert root"];
    let namesake: Vec<_> = certify("good.csr", right)
        .split_whitespace()
        .map(str::to_owned)
        .chain(namesake.map(str::to_owned))
        .collect();
    let namesake: Vec<_> = namesake.iter().map(String::as_str).collect();
    ceremony.run_with(&namesake).await?.refused(1, &["another name than its root's"])?;
    for url in ["crl.example.com/root.crl", "http://crl.example.com/é"] {
        let faulty = certify("good.csr", &format!("{right} --root-crl-url {url}"));
        ceremony.refused(&faulty, 2, &["--root-crl-url"]).await?;
    }
    ensure!(!ceremony.path("new.pem").exists());

    // The key of another root beside the certificate.
    ceremony.done("ca root --directory second --passphrase-file passphrase").await?;
    fs::copy(ceremony.path("second/root.pem"), ceremony.path("root/root.pem"))?;
    let mixed = certify("good.csr", right);
    ceremony.refused(&mixed, 1, &["root-key.pem is not the key of root.pem"]).await?;
    stack.stop().await
}

/// A request of a key that OpenSSL has, in `{name}.csr`.
async fn other_request(operator: &Operator, name: &str, curve: &str) -> anyhow::Result<()> {
    let key = operator.path(&format!("{name}-key.pem"));
    let csr = operator.path(&format!("{name}.csr"));
    let curve = format!("ec_paramgen_curve:{curve}");
    let request = ["req", "-new", "-newkey", "ec", "-pkeyopt", &curve, "-nodes", "-subj", "/CN=x"];
    let (key, csr) = (key.to_str().context("UTF-8")?, csr.to_str().context("UTF-8")?);
    let made = tool::run("openssl", request.into_iter().chain(["-keyout", key, "-out", csr]));
    let made = made.await?;
    ensure!(made.status.success(), "{}", made.output);
    Ok(())
}

async fn only_a_ca_that_can_issue_is_activated() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start_with_table().await?;
    operator.makes_root().await?;
    // It has the same name as the first.
    operator.done("ca root --directory second --passphrase-file passphrase").await?;
    let certify = |usage: &str, csr: &str, root: &str, certificate: &str| {
        format!(
            "ca certify --usage {usage} --csr {csr} --root {root} --certificate {certificate} \
             --passphrase-file passphrase"
        )
    };
    let activate = |certificate: &str, root: &str| {
        format!("ca activate --usage device --certificate {certificate} --root-certificate {root}")
    };
    operator.done("ca request --usage device --csr good.csr").await?;
    operator.done(&certify("device", "good.csr", "root", "good.pem")).await?;

    other_request(&operator, "other", "prime256v1").await?;
    operator.done(&certify("device", "other.csr", "root", "other.pem")).await?;
    let other_key = "the key in KMS is not the one in its certificate";
    operator.refused(&activate("other.pem", "root/root.pem"), 1, &[other_key]).await?;
    operator.done("ca request --usage server --csr server.csr").await?;
    let key =
        format!("{} --key alias/birthcert-{TABLE}-server", activate("good.pem", "root/root.pem"));
    operator.refused(&key, 1, &[other_key]).await?;
    let key = format!("{} --key alias/nothing", activate("good.pem", "root/root.pem"));
    operator.refused(&key, 1, &["KMS cannot describe the key alias/nothing"]).await?;

    let wrong_root = activate("good.pem", "second/root.pem");
    operator.refused(&wrong_root, 1, &["not issued by its root"]).await?;
    let not_a_root = activate("good.pem", "good.pem");
    operator.refused(&not_a_root, 1, &["the root is not self-signed"]).await?;
    let not_a_subordinate = activate("good.csr", "root/root.pem");
    operator.refused(&not_a_subordinate, 1, &["PEM of a CERTIFICATE REQUEST"]).await?;
    let root_itself = activate("root/root.pem", "root/root.pem");
    operator.refused(&root_itself, 1, &["its extKeyUsage is another"]).await?;

    // Right in all but what it is for: once active, it would be in the way for good.
    operator.done(&certify("server", "good.csr", "root", "for-servers.pem")).await?;
    let wrong_usage = activate("for-servers.pem", "root/root.pem");
    operator.refused(&wrong_usage, 1, &["its extKeyUsage is another"]).await?;
    let crl = format!("{} --crl-url crl.example.com", activate("good.pem", "root/root.pem"));
    operator.refused(&crl, 2, &["--crl-url"]).await?;

    ensure!(stack.store(TABLE)?.authority("device").await?.is_none(), "one was activated");
    operator.done(&activate("good.pem", "root/root.pem")).await?;
    stack.stop().await
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
        ("--grace-hours 8761", "8760 hours at most"),
        ("--issuance-limit 0", "1 at least"),
    ] {
        operator.refused(&format!("project create --name bad {numbers}"), 1, &[words]).await?;
    }
    for numbers in ["--validity-days -1", "--validity-days x", "--grace-hours 1.5"] {
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

    // The policy is what devices get.
    let token = operator.json(&format!("token create --project {valves}")).await?;
    let token = token["enrollment_token"].as_str().context("a token")?;
    let device: Enrolled = stack.api.enroll(token).await?.success()?;
    ensure!(device.project_id == valves);
    stack.api.released(&device).await?;
    let again = stack.api.identity(&device.device_token).await?;
    again.problem(429, "issuance-limit-reached", &[&device.device_token])?;
    stack.stop().await
}

async fn tokens_enroll_as_they_are_told() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let create = async |how: &str| {
        let made = operator.json(&format!("token create {how}")).await?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("text");
        anyhow::Ok((text("token_id")?, text("enrollment_token")?))
    };
    let refused = async |token: &str, status: u16, slug: &str| {
        stack.api.enroll(token).await?.problem(status, slug, &[token])
    };
    let enrolls = async |token: &str| stack.api.enroll(token).await?.success::<Enrolled>();

    let (_, expired) = create("--expires-at 2020-02-29T00:00:00Z").await?;
    refused(&expired, 401, "invalid-enrollment-token").await?;
    let (_, lasting) = create("--expires-at 2999-12-31T23:59:59Z --batch-label batch-7").await?;
    enrolls(&lasting).await?;
    let (_, capped) = create("--device-cap 1").await?;
    enrolls(&capped).await?;
    refused(&capped, 403, "device-cap-reached").await?;

    let (id, token) = create("").await?;
    let paused = operator.done(&format!("token pause {id}")).await?;
    ensure!(paused.trim_end() == format!("{id} is paused"), "{paused}");
    refused(&token, 403, "enrollment-token-paused").await?;
    let resumed = operator.json(&format!("token resume {id}")).await?;
    ensure!(resumed["token_id"] == id && resumed["status"] == "active", "{resumed}");
    enrolls(&token).await?;

    let text = operator.done(&format!("token regenerate {id}")).await?;
    let lines: Vec<_> = text.lines().collect();
    ensure!(lines.len() == 2 && lines[0] == id && lines[1].starts_with("et_"), "{text}");
    refused(&token, 401, "invalid-enrollment-token").await?;
    enrolls(lines[1]).await?;
    // A new secret does not resume.
    operator.done(&format!("token pause {id}")).await?;
    let again = operator.json(&format!("token regenerate {id}")).await?;
    let again = again["enrollment_token"].as_str().context("a token")?;
    refused(again, 403, "enrollment-token-paused").await?;
    refused(lines[1], 401, "invalid-enrollment-token").await?;
    stack.stop().await
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
    // Of the other project nothing is shown.
    let demo = operator.json("device list").await?;
    ensure!(demo == Value::Array(Vec::new()), "{demo}");
    stack.stop().await
}

async fn a_broker_gets_its_certificate() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let issue = "broker issue --dns broker.example.com --dns mqtt-2.example.com --ip 127.0.0.1 \
                 --ip ::1 --directory new/broker";
    let issued = operator.json(issue).await?;
    ensure!(issued["key"] == "new/broker/broker-key.pem", "{issued}");
    ensure!(issued["chain"] == "new/broker/broker-chain.pem", "{issued}");
    ensure!(issued["root"] == "new/broker/root.pem", "{issued}");
    ensure!(mode(&operator.path("new/broker/broker-key.pem")) == 0o600);
    let (chain, root) =
        (operator.read("new/broker/broker-chain.pem")?, operator.read("new/broker/root.pem")?);
    ensure!(root == fs::read_to_string(&stack.state.root_certificate)?);
    let subordinate = stack.store("birthcert")?.authority("server").await?.context("a CA")?;
    let leaf =
        chain.strip_suffix(&subordinate.certificate_pem).context("leaf, then subordinate")?;
    ensure!(leaf.matches("-----BEGIN ").count() == 1, "{chain}");

    pkilint::lint(leaf).await?;
    let text = openssl::text(leaf).await?;
    ensure!(text.contains("Subject: CN = broker.example.com"), "{text}");
    let names = "DNS:broker.example.com, DNS:mqtt-2.example.com, IP Address:127.0.0.1, \
                 IP Address:0:0:0:0:0:0:0:1";
    ensure!(text.lines().any(|line| line.trim() == names), "{text}");
    let verdict =
        openssl::verify(leaf, &subordinate.certificate_pem, &root, Purpose::Server).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");

    let leaf_file = tool::file(leaf)?;
    let leaf_path = leaf_file.path().to_str().context("UTF-8")?;
    let certified = tool::run("openssl", ["x509", "-noout", "-pubkey", "-in", leaf_path]).await?;
    let key = operator.path("new/broker/broker-key.pem");
    let key = key.to_str().context("UTF-8")?;
    let made = tool::run("openssl", ["pkey", "-pubout", "-in", key]).await?;
    ensure!(made.status.success() && made.output == certified.output, "{}", made.output);
    let serial = issued["serial_number"].as_str().context("a serial number")?;
    let said = tool::run("openssl", ["x509", "-noout", "-serial", "-in", leaf_path]).await?;
    ensure!(said.output.to_lowercase() == format!("serial={serial}"), "{}", said.output);

    // An address alone is a name too.
    operator.done("broker issue --ip 127.0.0.1 --directory second --days 1").await?;
    let leaf = operator.read("second/broker-chain.pem")?;
    let text = openssl::text(&leaf).await?;
    ensure!(text.contains("Subject: CN = 127.0.0.1"), "{text}");
    ensure!(text.lines().any(|line| line.trim() == "IP Address:127.0.0.1"), "{text}");
    let tomorrow = tool::file(&leaf)?;
    let tomorrow = tomorrow.path().to_str().context("UTF-8")?;
    for (seconds, expires) in [("86000", false), ("86800", true)] {
        let args = ["x509", "-noout", "-checkend", seconds, "-in", tomorrow];
        let checked = tool::run("openssl", args).await?;
        ensure!(checked.status.success() != expires, "{seconds}: {}", checked.output);
    }
    stack.stop().await
}

async fn a_broker_certificate_that_cannot_be_written_is_not_signed() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let before = (stack.signed_digests()?, stack.ledger_digests().await?);
    let files = ["broker-key.pem", "broker-chain.pem", "root.pem"];
    for file in files {
        let folder = format!("has-{file}");
        fs::create_dir(operator.path(&folder))?;
        fs::write(operator.path(&format!("{folder}/{file}")), "precious")?;
        let issue = format!("broker issue --dns localhost --directory {folder}");
        operator.refused(&issue, 1, &[file, "never overwritten"]).await?;
    }
    fs::write(operator.path("file"), "no folder")?;
    let issue = "broker issue --dns localhost --directory file/broker";
    operator.refused(issue, 1, &["cannot make file/broker"]).await?;
    ensure!((stack.signed_digests()?, stack.ledger_digests().await?) == before);

    operator.done("broker issue --dns localhost --directory new").await?;
    ensure!(stack.signed_digests()?.len() == before.0.len() + 1, "this is how one would show");
    stack.stop().await
}

async fn brokers_have_proper_names() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let before = stack.signed_digests()?;
    let long = format!("{}.example.com", "a".repeat(64));
    for name in [
        "",
        ".",
        "a..b",
        "-a.example.com",
        "a_b.example.com",
        "*.example.com",
        "bröker.example.com",
        "a b",
        "broker.example.com.",
        "broker:8883",
        "mqtts://broker.example.com",
        "127.0.0.1",
        "broker.example.com\n",
        &long,
    ] {
        let dns = format!("--dns={name}");
        let ran = operator.run_with(&["broker", "issue", &dns, "--directory", "b"]).await?;
        ran.refused(1, &["is no DNS name"])?;
    }
    let twice = "broker issue --dns a.example --ip ::1 --ip 0:0::1 --directory b";
    operator.run(twice).await?.refused(1, &["given twice"])?;
    for wrong in ["--ip localhost", "--ip 300.1.1.1", "--dns a --days 398", "--dns a --days 0", ""]
    {
        operator.refused(&format!("broker issue --directory b {wrong}"), 2, &[]).await?;
    }
    ensure!(!operator.path("b").exists());
    ensure!(stack.signed_digests()? == before, "something was signed");
    stack.stop().await
}

async fn what_is_missing_is_named() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let rng = &mut UnwrapErr(SysRng);
    let project = ProjectId::generate(rng).to_string();
    let token = TokenId::generate(rng).to_string();
    let no_project = format!("there is no project {project}");
    for line in ["token create", "token list", "device list"] {
        operator.refused(&format!("{line} --project {project}"), 1, &[&no_project]).await?;
    }
    let no_token = format!("there is no token {token}");
    for line in ["token pause", "token resume", "token regenerate"] {
        operator.refused(&format!("{line} {token}"), 1, &[&no_token]).await?;
        let elsewhere = format!("{line} --project {project} {token}");
        operator.refused(&elsewhere, 1, &[&no_token, &project]).await?;
    }
    // A token of one project is none of another's.
    let (other, _) = fleet(&operator).await?;
    let demo = stack.token().subject().to_string();
    let elsewhere = format!("token pause --project {other} {demo}");
    operator
        .refused(&elsewhere, 1, &[&format!("there is no token {demo} in project {other}")])
        .await?;
    ensure!(stack.api.enroll(&stack.state.enrollment_token).await?.status == 200);

    stack.store(TABLE)?.create_table().await?;
    let issue = format!("--table {TABLE} broker issue --dns localhost --directory b");
    operator.refused(&issue, 1, &["the CA for servers is not set up", "ca subordinate"]).await?;
    operator.refused("--table no-such-table project list", 1, &["not found"]).await?;
    stack.stop().await
}

async fn malformed_arguments_are_usage_errors() -> anyhow::Result<()> {
    // None of these gets as far as to need anything.
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
        (format!("token create --project proj_{id} --expires-at tomorrow"), "--expires-at"),
        (format!("token create --project proj_{id} --expires-at 2027-02-30T00:00:00Z"), "expires"),
        (format!("token create --project proj_{id} --device-cap many"), "--device-cap"),
        (format!("token create --project proj_{id} --device-cap 0"), "--device-cap"),
        (format!("token create --project proj_{id} --batch-label="), "the label is empty"),
        ("project create --name \u{1b}[2J".to_owned(), "control characters"),
        (format!("device list --project proj_{id} --limit=-1"), "--limit"),
        ("ca request --usage mail --csr x".to_owned(), "mail"),
        ("ca root".to_owned(), "--directory"),
        ("project create".to_owned(), "--name"),
        ("project list --output yaml".to_owned(), "yaml"),
        ("project delete".to_owned(), "delete"),
    ] {
        operator.refused(&line, 2, &[words]).await?;
    }
    let operator = operator.with("BIRTHCERT_PROJECT", "nonsense");
    operator.refused("device list", 2, &["nonsense", "proj_ and 22"]).await
}

async fn without_region_or_credentials() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let operator = operator.without("AWS_REGION");
    for line in ["project list", "device list", "ca request --usage device --csr x.csr"] {
        operator.refused(line, 1, &["no AWS region", "AWS_REGION", "birthcert-local env"]).await?;
    }
    let operator = operator.with("AWS_REGION", "us-east-1").without("AWS_SECRET_ACCESS_KEY");
    for line in ["project list", "ca request --usage device --csr x.csr"] {
        operator.refused(line, 1, &["no credentials"]).await?;
    }
    // A file does as well as the environment.
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
    // A port that is taken, and that nobody listens on.
    let closed = TcpSocket::new_v4()?;
    closed.bind("127.0.0.1:0".parse()?)?;
    let closed_url = format!("http://{}", closed.local_addr()?);
    // The kernel takes connections to it, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let silent_url = format!("http://{}", silent.local_addr()?);
    let mut cases = Vec::new();
    for (url, words) in [(&closed_url, "Connection refused"), (&silent_url, "timeout")] {
        for (variable, service, line) in [
            ("AWS_ENDPOINT_URL_DYNAMODB", "DynamoDB", "project list"),
            ("AWS_ENDPOINT_URL_KMS", "KMS", "ca request --usage device --csr new.csr"),
        ] {
            let operator = Operator::of(&stack)?.with(variable, url);
            cases.push(async move { operator.refused(line, 1, &[service, words]).await });
        }
    }
    let started = Instant::now();
    try_join_all(cases).await?;
    ensure!(started.elapsed() < LIMIT, "{:?}", started.elapsed());

    // Neither is needed where it has nothing to do.
    let offline = operator
        .with("AWS_ENDPOINT_URL_DYNAMODB", &closed_url)
        .with("AWS_ENDPOINT_URL_KMS", &closed_url);
    offline.makes_root().await?;
    stack.stop().await
}

async fn every_command_has_help() -> anyhow::Result<()> {
    let operator = Operator::offline()?;
    let mut found = BTreeSet::new();
    let mut commands = vec![String::new()];
    while let Some(command) = commands.pop() {
        let help = operator.done(&format!("{command} --help")).await?;
        ensure!(help.contains(&format!("Usage: birthcert{command}")), "{command}: {help}");
        let listed = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        let names = listed.lines().take_while(|line| !line.is_empty());
        // A description that goes on in a second line is indented further.
        let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for name in names.filter_map(|line| line.split_whitespace().next()) {
            if name != "help" {
                commands.push(format!("{command} {name}"));
            }
        }
        found.insert(command);
    }
    for command in [
        "",
        " broker issue",
        " ca activate",
        " ca certify",
        " ca request",
        " ca root",
        " ca subordinate",
        " device list",
        " project create",
        " project list",
        " token create",
        " token list",
        " token pause",
        " token regenerate",
        " token resume",
    ] {
        ensure!(found.contains(command), "no help lists birthcert{command}: {found:?}");
    }
    let version = operator.done("--version").await?;
    ensure!(version.starts_with("birthcert "), "{version}");
    Ok(())
}
