//! Files that a start leaves behind, and failing starts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use birthcert_tests::process::metadata::mode;
use birthcert_tests::process::{is_closed, tool};
use birthcert_tests::stack::{Stack, refused};
use birthcert_tests::verifiers::openssl;
use pki::names::ProjectId;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::setup::works;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        the_first_start_writes_down_what_a_program_needs,
        everything_it_keeps_is_private,
        a_port_in_use_is_an_error_that_helps,
        a_second_stack_in_one_directory_is_refused,
        it_listens_on_loopback_alone,
    ]
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
        "aws_endpoint_url_s3",
        "bucket_name",
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
    ensure!(BTreeSet::from(stack.addresses()).len() == 4);

    let ready = format!("{} is ready; {}", json["api_url"], data.join("local.json").display());
    let said = stack.stderr();
    ensure!(said.contains("is for development") && said.contains(&ready), "{said}");
    stack.stop().await
}

async fn everything_it_keeps_is_private() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("stack");
    let stack = Stack::start(&data).await?;
    for folder in [data.clone(), data.join("bucket"), data.join("ca"), data.join("kms")] {
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
    let opened = openssl::public_key(&root, &data.join("ca/passphrase")).await?;
    let certificate = data.join("ca/root.pem");
    let certified = ["x509", "-noout", "-pubkey", "-in"].map(OsStr::new);
    let certified =
        tool::run("openssl", certified.into_iter().chain([certificate.as_os_str()])).await?;
    ensure!(opened == Some(certified.output), "not the key of the root's certificate");
    let wrong = tool::file("not the passphrase")?;
    ensure!(openssl::public_key(&root, wrong.path()).await?.is_none(), "any passphrase opens it");
    stack.stop().await
}

async fn a_port_in_use_is_an_error_that_helps() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let address = taken.local_addr()?.to_string();
    let data = scratch.path().join("stack");
    let said = refused(&data, &address).await?;
    ensure!(said.contains("--listen") && said.contains(&address), "{said}");
    ensure!(!data.join("local.json").exists());
    // Leftovers do not block the next start.
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
    let [api, dynamodb, kms, s3] = stack.addresses();
    ensure!(of(stack.pid) == BTreeSet::from([api, dynamodb, s3]), "{}", sockets.output);
    ensure!(of(stack.kms()?) == BTreeSet::from([kms]), "{}", sockets.output);
    for address in [api, dynamodb, kms, s3] {
        ensure!(address.starts_with("127.0.0.1:"), "{address}");
        let port = address.rsplit_once(':').context("a port")?.1;
        let elsewhere = is_closed(format!("127.0.0.2:{port}")).await?;
        ensure!(elsewhere, "{address} answers on 127.0.0.2 too");
    }
    stack.stop().await
}
