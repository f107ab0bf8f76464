//! The first start: a ceremony, a demo project and an enrollment token. Every step is skipped if it is
//! already done, so that the next start completes an interrupted one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use birthcert_cli::{
    ceremony, ensure_private_directory,
    root::{CERTIFICATE_FILE, KeyFilePassphrase, NewRoot, Root, RootKey, Subordinate},
    write_private,
};
use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::store::{NewToken, Policy, ProjectRecord, Store};
use pki::{
    authority::{AuthorityName, AuthorityRecord, Roots},
    clock::Timestamp,
    csr::VerifiedCsr,
    hex,
    names::{ProjectId, TokenId},
    profile::Usage,
    token::EnrollmentToken,
};

use super::info::{StackInfo, TABLE};

const PASSPHRASE_FILE: &str = "passphrase";
/// Sixty years: thirty years of issuing certificates that are valid for thirty years.
const SUBORDINATE_SECONDS: u64 = 60 * 31_556_952;

/// The results that the stack needs on every start.
pub(super) struct Bootstrapped {
    pub(super) project_id: ProjectId,
    pub(super) enrollment_token: String,
    pub(super) root_certificate: PathBuf,
    pub(super) roots: Roots,
}

/// Completes the first start, or returns the results of an earlier one.
pub(super) async fn bootstrap(
    data: &Path,
    store: &Store,
    kms: &aws_sdk_kms::Client,
    crl_address: &str,
    now: Timestamp,
) -> anyhow::Result<Bootstrapped> {
    store.create_table().await?;
    let directory = data.join("ca");
    let root = open_root(&directory, now)?;
    for usage in [Usage::Device, Usage::Server] {
        if store.active_authority(usage).await?.is_none() {
            let crl_url = format!("{crl_address}/crl/{usage}.crl");
            set_up_subordinate(store, kms, &root, usage, crl_url, now).await?;
        }
    }
    let (project_id, enrollment_token) = demo_project(data, store, now).await?;
    let root_certificate = fs::canonicalize(directory.join(CERTIFICATE_FILE))?;
    let roots = Roots::only(root.certificate());
    Ok(Bootstrapped { project_id, enrollment_token, root_certificate, roots })
}

/// Opens the root. The first start creates it in a temporary directory, which is renamed once it is
/// complete.
fn open_root(directory: &Path, now: Timestamp) -> anyhow::Result<Root> {
    if !directory.exists() {
        let unfinished = directory.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        ensure_private_directory(&unfinished)?;
        let passphrase = random_passphrase()?;
        write_private(&unfinished.join(PASSPHRASE_FILE), &passphrase)?;
        let key = RootKey::make_file(&unfinished, KeyFilePassphrase::Random(&passphrase))?;
        Root::create(&unfinished, key, &NewRoot::lasting("birthcert local root"), now)?;
        fs::rename(&unfinished, directory)?;
    }
    let passphrase = fs::read_to_string(directory.join(PASSPHRASE_FILE))
        .context("cannot read the passphrase of the local root")?;
    Root::open(directory, RootKey::open_file(directory, &passphrase)?)
}

fn random_passphrase() -> anyhow::Result<String> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random)?;
    Ok(hex(&random))
}

async fn set_up_subordinate(
    store: &Store,
    kms: &aws_sdk_kms::Client,
    root: &Root,
    usage: Usage,
    crl_url: String,
    now: Timestamp,
) -> anyhow::Result<()> {
    let name = AuthorityName::first(usage);
    let record = match store.authority(name.as_str()).await? {
        // The previous start was interrupted.
        Some(record) => record,
        None => certify(kms, root, name, crl_url, now).await?,
    };
    ceremony::activate_first(store, kms, record, now).await.map(drop)
}

async fn certify(
    kms: &aws_sdk_kms::Client,
    root: &Root,
    name: AuthorityName,
    crl_url: String,
    now: Timestamp,
) -> anyhow::Result<AuthorityRecord> {
    let key_arn = ceremony::ensure_key(kms, &format!("alias/birthcert-{TABLE}-{name}")).await?;
    let common_name = format!("birthcert local {name} CA");
    let request = ceremony::request(kms, key_arn, &common_name, None).await?;
    let csr = VerifiedCsr::from_pem(&request.csr_pem).map_err(anyhow::Error::msg)?;
    let subordinate = Subordinate {
        common_name: &common_name,
        organization: None,
        usage: name.usage(),
        not_after: now.plus(SUBORDINATE_SECONDS),
        root_crl_url: None,
    };
    Ok(AuthorityRecord {
        key_arn: request.key_arn,
        certificate_pem: root.certify(&csr, &subordinate, now)?,
        intermediates_pem: None,
        root_pem: root.certificate().pem().to_owned(),
        crl_url: Some(crl_url),
        created_at: now,
        name,
    })
}

/// Returns the project and the token in `local.json` if the table has the project, otherwise creates
/// new ones.
async fn demo_project(
    data: &Path,
    store: &Store,
    now: Timestamp,
) -> anyhow::Result<(ProjectId, String)> {
    let rng = &mut UnwrapErr(SysRng);
    if let Ok(previous) = StackInfo::read(data)
        && let Ok(token) = EnrollmentToken::parse(&previous.enrollment_token)
        && store.project(token.project()).await?.is_some()
    {
        return Ok((token.project(), previous.enrollment_token));
    }
    let project = ProjectRecord {
        project_id: ProjectId::generate(rng),
        name: "demo".parse()?,
        policy: Policy::default(),
        created_at: now,
    };
    store.create_project(&project).await?;
    let token = EnrollmentToken::generate(project.project_id, TokenId::generate(rng), rng);
    let new = NewToken { batch_label: Some("demo".parse()?), ..NewToken::default() };
    store.create_token(&token, new, now).await?;
    Ok((project.project_id, token.expose().to_string()))
}
