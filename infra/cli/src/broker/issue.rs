//! `birthcert broker issue` and `issue-client`.

use std::{fmt, net::IpAddr, path::PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::{Issuer, issue, kms::Signer, store::IssuanceRequest};
use pki::{
    authority::Authority,
    certificate::Certificate,
    clock::Timestamp,
    csr::VerifiedCsr,
    key::KeyPair,
    names::Host,
    profile::{LONGEST_VALIDITY_DAYS, Role, Service},
};
use serde::Serialize;
use spki::SubjectPublicKeyInfoOwned;

use super::directory::{CLIENT, Directory, Names, ROOT, SERVER, Staged};
use crate::{Context, confirm::Confirm, csr, exit::usage};

pub(super) const EXAMPLES: &str = "\
Examples:
  # With a key that is made here
  birthcert broker issue --dns mqtt.example.com --ip 192.0.2.1 --directory broker

  # For a key that was made elsewhere, with the names that its request asks for
  birthcert broker issue --csr broker.csr --sans-from-csr --directory broker";

pub(super) const CLIENT_EXAMPLES: &str = "\
Examples:
  # A back end that subscribes to what devices say
  birthcert broker issue-client --common-name backend.example.com --directory backend

  # A node of a cluster
  birthcert broker issue-client --common-name n1.example.com --dns n1.example.com --peer \\
      --directory n1";

#[derive(clap::Args)]
pub(crate) struct IssueCommand {
    /// A DNS name by which clients reach the broker. Can be given several times.
    #[arg(long = "dns", value_name = "NAME", value_parser = dns_name)]
    #[arg(required_unless_present_any = ["ip_addresses", "sans_from_csr"])]
    dns_names: Vec<Host>,
    /// An IP address by which clients reach the broker. Can be given several times.
    #[arg(long = "ip", value_name = "ADDRESS")]
    ip_addresses: Vec<IpAddr>,
    /// Take the names from the request, which are shown before anything is signed.
    #[arg(long, requires = "csr", conflicts_with_all = ["dns_names", "ip_addresses"])]
    sans_from_csr: bool,
    /// Do not ask whether the names of the request are right.
    #[arg(long, requires = "sans_from_csr")]
    yes: bool,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args)]
pub(crate) struct IssueClientCommand {
    /// Its common name, a DNS name or an IP address: what brokers compare or take for a user name.
    #[arg(long, value_name = "NAME", value_parser = common_name)]
    common_name: Host,
    /// A DNS name of the service. Can be given several times.
    #[arg(long = "dns", value_name = "NAME", value_parser = dns_name)]
    dns_names: Vec<Host>,
    /// An address of the service. Can be given several times.
    #[arg(long = "ip", value_name = "ADDRESS")]
    ip_addresses: Vec<IpAddr>,
    /// For a node of a cluster, which its peers connect to as well.
    #[arg(long)]
    peer: bool,
    #[command(flatten)]
    how: How,
}

/// What is the same for servers and clients.
#[derive(clap::Args)]
struct How {
    /// A PKCS#10 request, in PEM or DER, by the holder of the key. Only the key is taken from it.
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Days until it expires.
    #[arg(long, default_value_t = LONGEST_VALIDITY_DAYS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(LONGEST_VALIDITY_DAYS)))]
    days: u32,
    /// Directory for the key, the chain and root.pem; nothing in it is overwritten.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Serialize)]
pub(super) struct Issued {
    serial_number: String,
    not_after: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    chain: PathBuf,
    root: PathBuf,
}

impl fmt::Display for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            writeln!(f, "Key:         {}", key.display())?;
        }
        writeln!(f, "Chain:       {}", self.chain.display())?;
        writeln!(f, "Trusts:      {}", self.root.display())?;
        write!(f, "Valid until: {} (serial number {})", self.not_after, self.serial_number)
    }
}

impl IssueCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let csr = self.how.csr()?;
        let names = match &csr {
            Some(csr) if self.sans_from_csr => requested(csr, self.yes)?,
            _ => hosts(&self.dns_names, &self.ip_addresses),
        };
        let common_name = names.first().context("a broker needs a name or an address")?.clone();
        let service = Service::new(Role::Server, common_name, names);
        let service = if self.sans_from_csr { service? } else { service.map_err(usage)? };
        self.how.run(context, &service, csr, SERVER).await
    }
}

impl IssueClientCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let role = if self.peer { Role::Peer } else { Role::Client };
        let names = hosts(&self.dns_names, &self.ip_addresses);
        let service = Service::new(role, self.common_name.clone(), names).map_err(usage)?;
        self.how.run(context, &service, self.how.csr()?, CLIENT).await
    }
}

impl How {
    fn csr(&self) -> anyhow::Result<Option<VerifiedCsr>> {
        Ok(self.csr.as_deref().map(csr::read).transpose()?.map(|(csr, _)| csr))
    }

    async fn run(
        &self,
        context: &Context,
        service: &Service,
        csr: Option<VerifiedCsr>,
        names: Names,
    ) -> anyhow::Result<()> {
        let directory = Directory::create(&self.directory)?;
        directory.expect_free(names)?;
        let staged = directory.stage()?;
        let key = stage_key(&staged, names, csr)?;
        let certificate = sign(context, service, self.days, None, key).await?;
        let issued = certificate.write(&staged, &directory, names)?;
        staged.turn(certificate.certificate.serial_number(), names)?;
        context.output.print(&issued)
    }
}

/// A certificate with what is above it.
pub(super) struct Signed {
    pub(super) certificate: Certificate,
    authority: Authority,
}

impl Signed {
    pub(super) fn write(
        &self,
        staged: &Staged<'_>,
        directory: &Directory,
        names: Names,
    ) -> anyhow::Result<Issued> {
        let Self { certificate, authority } = self;
        let chain = format!("{}{}", certificate.pem()?, authority.chain_pem());
        staged.write(names.chain, &chain)?;
        staged.write(ROOT, authority.root_pem())?;
        Ok(Issued {
            serial_number: certificate.serial_number().to_owned(),
            not_after: certificate.not_after(),
            key: staged.has(names.key).then(|| directory.file(names.key)),
            chain: directory.file(names.chain),
            root: directory.file(ROOT),
        })
    }
}

/// The key to certify: the request's, or a new one, on the disk before anything is signed.
pub(super) fn stage_key(
    staged: &Staged<'_>,
    names: Names,
    csr: Option<VerifiedCsr>,
) -> anyhow::Result<SubjectPublicKeyInfoOwned> {
    if let Some(csr) = csr {
        return Ok(csr.public_key().clone());
    }
    let pair = KeyPair::generate(&mut UnwrapErr(SysRng));
    staged.write_key(names.key, &pair.private_key_pem()?)?;
    Ok(pair.public_key()?)
}

pub(super) async fn sign(
    context: &Context,
    service: &Service,
    validity_days: u32,
    renews: Option<&str>,
    key: SubjectPublicKeyInfoOwned,
) -> anyhow::Result<Signed> {
    let Context { store, kms, now, .. } = context;
    let usage = service.role().usage();
    let record = store.active_authority(usage).await?.with_context(|| {
        format!("the CA for {usage}s is not set up: see birthcert ca subordinate --usage {usage}")
    })?;
    let authority = Authority::try_from(record)?;
    let signer = Signer::new(kms.clone(), authority.key_arn());
    let issuer = Issuer { authority: &authority, signer: &signer, store };
    let holder = IssuanceRequest::Service { service, validity_days, renews };
    let certificate = issue(issuer, holder, key, *now, &mut UnwrapErr(SysRng)).await?;
    Ok(Signed { certificate, authority })
}

fn dns_name(text: &str) -> Result<Host, &'static str> {
    if text.parse::<IpAddr>().is_ok() {
        return Err("it is no DNS name but an address: use --ip");
    }
    Host::dns(text).map_err(|_| "it is no DNS name")
}

fn common_name(text: &str) -> Result<Host, &'static str> {
    text.parse().map_err(|_| {
        "it is neither a DNS name nor an IP address. A service's name is one of them, so that it can \
         never be a device's id, nor a wildcard in a broker's access rules"
    })
}

fn hosts(dns_names: &[Host], addresses: &[IpAddr]) -> Vec<Host> {
    dns_names.iter().cloned().chain(addresses.iter().copied().map(Host::Ip)).collect()
}

/// What the request asks for, once somebody has seen it: whoever wrote the request chose the names.
fn requested(csr: &VerifiedCsr, yes: bool) -> anyhow::Result<Vec<Host>> {
    let names = csr.requested_hosts().map_err(|fault| anyhow!(fault))?;
    ensure!(!names.is_empty(), "the request asks for no names: give them with --dns and --ip");
    let shown = names.iter().map(Host::to_string).collect::<Vec<_>>().join(", ");
    eprintln!("The request asks for: {shown}");
    Confirm::given(yes).ask("certify these names")?;
    Ok(names)
}
