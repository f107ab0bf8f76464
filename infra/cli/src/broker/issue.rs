//! `birthcert broker issue` and `birthcert broker issue-client`.

use std::{fmt, net::IpAddr, path::PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::{Issuer, issue, kms::Signer, store::IssuanceRequest};
use pki::{
    authority::{Authority, RootFingerprint},
    certificate::Certificate,
    clock::Timestamp,
    csr::VerifiedCsr,
    key::KeyPair,
    names::Host,
    profile::{MAX_VALIDITY_DAYS, Role, Service, Usage},
};
use serde::Serialize;
use spki::SubjectPublicKeyInfoOwned;

use super::{
    certificate_directory::{CLIENT, CertificateDirectory, FileNames, ROOT, SERVER, StagedVersion},
    deadline,
};
use crate::{
    context::Context,
    error::usage,
    files::csr,
    options::{confirm::Confirm, root::RootOptions},
    pinned_roots::root_of,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  # Generate a key
  birthcert broker issue --dns mqtt.example.com --ip 192.0.2.1 --directory broker

  # Certify the key of a CSR, with the names in the CSR
  birthcert broker issue --csr broker.csr --sans-from-csr --directory broker";

pub(super) const CLIENT_EXAMPLES: &str = "\
Examples:
  # A back end that subscribes to the devices' messages
  birthcert broker issue-client --common-name backend.example.com --directory backend

  # A node of a cluster
  birthcert broker issue-client --common-name n1.example.com --dns n1.example.com --peer \\
      --directory n1";

#[derive(clap::Args)]
pub(crate) struct IssueCommand {
    /// DNS name at which clients reach the broker. Repeat for several.
    #[arg(long = "dns", value_name = "NAME", value_parser = dns_name)]
    #[arg(required_unless_present_any = ["ip_addresses", "sans_from_csr"])]
    dns_names: Vec<Host>,
    /// IP address at which clients reach the broker. Repeat for several.
    #[arg(long = "ip", value_name = "ADDRESS")]
    ip_addresses: Vec<IpAddr>,
    /// Take the names from the CSR. They are shown for confirmation before anything is signed.
    #[arg(long, requires = "csr", conflicts_with_all = ["dns_names", "ip_addresses"])]
    sans_from_csr: bool,
    /// Skip the confirmation of the names in the CSR.
    #[arg(long, requires = "sans_from_csr")]
    yes: bool,
    #[command(flatten)]
    options: IssueOptions,
}

#[derive(clap::Args)]
pub(crate) struct IssueClientCommand {
    /// Common name of the service: a DNS name or an IP address. Brokers use it as the user name.
    #[arg(long, value_name = "NAME", value_parser = common_name)]
    common_name: Host,
    /// DNS name of the service. Repeat for several.
    #[arg(long = "dns", value_name = "NAME", value_parser = dns_name)]
    dns_names: Vec<Host>,
    /// IP address of the service. Repeat for several.
    #[arg(long = "ip", value_name = "ADDRESS")]
    ip_addresses: Vec<IpAddr>,
    /// Issue a certificate for a cluster node, which is both a client and a server of its peers.
    #[arg(long)]
    peer: bool,
    #[command(flatten)]
    options: IssueOptions,
}

/// Options for servers and clients.
#[derive(clap::Args)]
struct IssueOptions {
    /// PKCS#10 CSR, in PEM or DER, with the key to certify. By default, a key is generated.
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Days until the certificate expires.
    #[arg(long, default_value_t = MAX_VALIDITY_DAYS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_VALIDITY_DAYS)))]
    days: u32,
    /// Directory for the key, the chain and root.pem. Existing files are never overwritten.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    root: RootOptions,
}

#[derive(Serialize)]
pub(super) struct IssuedFiles {
    serial_number: String,
    not_after: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    chain: PathBuf,
    root: PathBuf,
    /// SHA-256 of the root above the chain, in hex.
    root_sha256: String,
}

impl fmt::Display for IssuedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            writeln!(f, "Key:         {}", key.display())?;
        }
        writeln!(f, "Chain:       {}", self.chain.display())?;
        writeln!(f, "Root:        {} (SHA-256 {})", self.root.display(), self.root_sha256)?;
        write!(f, "Valid until: {} (serial number {})", self.not_after, self.serial_number)
    }
}

impl IssueCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let csr = self.options.csr()?;
        let names = match &csr {
            Some(csr) if self.sans_from_csr => confirmed_names(csr, self.yes)?,
            _ => hosts(&self.dns_names, &self.ip_addresses),
        };
        let common_name = names.first().context("give a name with --dns or --ip")?.clone();
        let service = Service::new(Role::Server, common_name, names);
        let service = if self.sans_from_csr { service? } else { service.map_err(usage)? };
        self.options.run(context, &service, csr, SERVER).await
    }
}

impl IssueClientCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let role = if self.peer { Role::Peer } else { Role::Client };
        let names = hosts(&self.dns_names, &self.ip_addresses);
        let service = Service::new(role, self.common_name.clone(), names).map_err(usage)?;
        self.options.run(context, &service, self.options.csr()?, CLIENT).await
    }
}

impl IssueOptions {
    fn csr(&self) -> anyhow::Result<Option<VerifiedCsr>> {
        Ok(self.csr.as_deref().map(csr::read).transpose()?.map(|(csr, _)| csr))
    }

    async fn run(
        &self,
        context: &Context,
        service: &Service,
        csr: Option<VerifiedCsr>,
        names: FileNames,
    ) -> anyhow::Result<()> {
        // First, so that a refusal leaves no directory behind.
        let pinned = context.pinned_roots(&self.root)?;
        let authority = issuing_ca(context, service.role().usage()).await?;
        pinned.check(authority.name(), root_of(&authority)?)?;
        let directory = CertificateDirectory::create(&self.directory)?;
        directory.expect_free(names)?;
        let staged = directory.stage()?;
        let key = stage_key(&staged, names, csr)?;
        let signed = sign(context, authority, service, self.days, None, key).await?;
        let root_pem = root_of(&signed.authority)?.pem();
        let issued = signed.write(&staged, &directory, names, root_pem)?;
        staged.switch(signed.certificate.serial_number(), names)?;
        pinned.note_if_unpinned(&signed.authority, &issued.root.display().to_string())?;
        context.output.print(&issued)
    }
}

/// A certificate and the CA that issued it.
pub(super) struct IssuedCertificate {
    pub(super) certificate: Certificate,
    authority: Authority,
}

impl IssuedCertificate {
    pub(super) fn write(
        &self,
        staged: &StagedVersion<'_>,
        directory: &CertificateDirectory,
        names: FileNames,
        root_pem: &str,
    ) -> anyhow::Result<IssuedFiles> {
        let Self { certificate, authority } = self;
        let chain = format!("{}{}", certificate.pem()?, authority.chain_pem());
        staged.write(names.chain, &chain)?;
        staged.write(ROOT, root_pem)?;
        Ok(IssuedFiles {
            serial_number: certificate.serial_number().to_owned(),
            not_after: certificate.not_after(),
            key: staged.has(names.key).then(|| directory.file(names.key)),
            chain: directory.file(names.chain),
            root: directory.file(ROOT),
            root_sha256: RootFingerprint::of(root_of(authority)?.der()).to_string(),
        })
    }
}

/// Returns the key to certify: that of the CSR, or a new one. A new key is written to disk before anything is
/// signed.
pub(super) fn stage_key(
    staged: &StagedVersion<'_>,
    names: FileNames,
    csr: Option<VerifiedCsr>,
) -> anyhow::Result<SubjectPublicKeyInfoOwned> {
    if let Some(csr) = csr {
        return Ok(csr.public_key().clone());
    }
    let pair = KeyPair::generate(&mut UnwrapErr(SysRng));
    staged.write_key(names.key, &pair.private_key_pem()?)?;
    Ok(pair.public_key()?)
}

/// Returns the active CA for `usage`. Its root is only what the table says: check it before use.
pub(super) async fn issuing_ca(context: &Context, usage: Usage) -> anyhow::Result<Authority> {
    let record = context.store.active_authority(usage).await?.with_context(|| {
        format!("the CA for {usage}s is not set up: run birthcert ca subordinate --usage {usage}")
    })?;
    Ok(Authority::try_from(record)?)
}

pub(super) async fn sign(
    context: &Context,
    authority: Authority,
    service: &Service,
    validity_days: u32,
    renews: Option<&str>,
    key: SubjectPublicKeyInfoOwned,
) -> anyhow::Result<IssuedCertificate> {
    let Context { store, kms, now, .. } = context;
    let signer = Signer::new(kms.clone(), authority.key_arn());
    let issuer = Issuer { authority: &authority, signer: &signer, store };
    let request = IssuanceRequest::Service { service, validity_days, renews };
    let rng = &mut UnwrapErr(SysRng);
    let certificate = issue(issuer, request, key, *now, deadline::of_issuance(), rng).await?;
    Ok(IssuedCertificate { certificate, authority })
}

fn dns_name(text: &str) -> Result<Host, &'static str> {
    if text.parse::<IpAddr>().is_ok() {
        return Err("not a valid DNS name but an IP address: use --ip");
    }
    Host::dns(text).map_err(|_| "not a valid DNS name")
}

fn common_name(text: &str) -> Result<Host, &'static str> {
    text.parse().map_err(|_| {
        "neither a DNS name nor an IP address: other names could be a device id, or a wildcard in a broker's \
         access rules"
    })
}

fn hosts(dns_names: &[Host], addresses: &[IpAddr]) -> Vec<Host> {
    dns_names.iter().cloned().chain(addresses.iter().copied().map(Host::Ip)).collect()
}

/// Returns the names in a CSR, after the operator confirmed them: the author of the CSR chose them.
fn confirmed_names(csr: &VerifiedCsr, yes: bool) -> anyhow::Result<Vec<Host>> {
    let names = csr.requested_hosts().map_err(|fault| anyhow!(fault))?;
    ensure!(!names.is_empty(), "the CSR contains no names: give them with --dns and --ip");
    let shown = names.iter().map(Host::to_string).collect::<Vec<_>>().join(", ");
    eprintln!("Names in the CSR: {shown}");
    Confirm::given(yes).ask("certify these names")?;
    Ok(names)
}
