//! `birthcert broker`: certificates for brokers.

use std::{fmt, net::IpAddr, path::PathBuf};

use anyhow::{Context as _, ensure};
use birthcert::{
    Issuer, authority::Authority, issue, keypair::KeyPair, kms::Signer, store::Holder,
};
use der::asn1::Ia5String;
use getrandom::{SysRng, rand_core::UnwrapErr};
use serde::Serialize;
use x509_cert::ext::pkix::name::GeneralName;

use crate::{
    Context,
    files::{write_new, write_private},
};

/// The CA/Browser Forum's limit for servers, which clients on phones and desktops hold too.
const LONGEST_VALIDITY_DAYS: u32 = 397;
const CA: &str = "server";

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Issue a broker's certificate, with a key that is made here and never leaves this machine.
    Issue(IssueCommand),
}

#[derive(clap::Args)]
pub(crate) struct IssueCommand {
    /// A DNS name by which clients reach the broker. Can be given several times.
    #[arg(long = "dns", value_name = "NAME", required_unless_present = "ip_addresses")]
    dns_names: Vec<String>,
    /// An IP address by which clients reach the broker. Can be given several times.
    #[arg(long = "ip", value_name = "ADDRESS")]
    ip_addresses: Vec<IpAddr>,
    /// Days until it expires.
    #[arg(long, default_value_t = LONGEST_VALIDITY_DAYS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(LONGEST_VALIDITY_DAYS)))]
    days: u32,
    /// Directory for broker-key.pem, broker-chain.pem and root.pem; nothing in it is overwritten.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Serialize)]
struct Issued {
    serial_number: String,
    not_after: String,
    key: PathBuf,
    chain: PathBuf,
    root: PathBuf,
}

impl fmt::Display for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Key:         {}", self.key.display())?;
        writeln!(f, "Chain:       {}", self.chain.display())?;
        writeln!(f, "Trusts:      {}", self.root.display())?;
        write!(f, "Valid until: {} (serial number {})", self.not_after, self.serial_number)
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Issue(command) => command.run(context).await,
        }
    }
}

impl IssueCommand {
    async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Context { store, kms, output, now } = context;
        let names = self.names()?;
        let common_name = match (self.dns_names.first(), self.ip_addresses.first()) {
            (Some(name), _) => name.clone(),
            (None, address) => address.context("a broker needs a name or an address")?.to_string(),
        };
        let files = ["broker-key.pem", "broker-chain.pem", "root.pem"];
        let [key, chain, root] = files.map(|file| self.directory.join(file));
        // Before anything is signed; that nothing is overwritten holds without this check too.
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot make {}", self.directory.display()))?;
        for file in [&key, &chain, &root] {
            ensure!(!file.exists(), "{} exists already and is never overwritten", file.display());
        }

        let record = store.authority(CA).await?.context(
            "the CA for servers is not set up: see birthcert ca subordinate --usage server",
        )?;
        let authority = Authority::try_from(record)?;
        let signer = Signer::new(kms.clone(), authority.key_arn());
        let rng = &mut UnwrapErr(SysRng);
        let key_pair = KeyPair::generate(rng);
        let issuer = Issuer { authority: &authority, signer: &signer, store };
        let holder =
            Holder::Server { common_name: &common_name, names: &names, validity_days: self.days };
        let certificate = issue(issuer, holder, key_pair.public_key()?, *now, rng).await?;

        write_private(&key, &key_pair.private_key_pem()?)?;
        write_new(&chain, &format!("{}{}", certificate.pem()?, authority.certificate().pem()))?;
        write_new(&root, authority.root().pem())?;
        output.print(&Issued {
            serial_number: certificate.serial_number().to_owned(),
            not_after: certificate.not_after().to_string(),
            key,
            chain,
            root,
        })
    }

    fn names(&self) -> anyhow::Result<Vec<GeneralName>> {
        let mut names = Vec::new();
        for name in &self.dns_names {
            ensure!(is_dns_name(name), "{name:?} is no DNS name");
            // Clients look for it among the addresses.
            let is_address = name.parse::<IpAddr>().is_ok();
            ensure!(!is_address, "{name:?} is no DNS name but an address: use --ip");
            names.push(GeneralName::DnsName(Ia5String::new(name)?));
        }
        names.extend(self.ip_addresses.iter().copied().map(GeneralName::from));
        for (place, name) in names.iter().enumerate() {
            ensure!(!names[..place].contains(name), "a name or an address is given twice");
        }
        Ok(names)
    }
}

/// The preferred name syntax of RFC 1034, section 3.5, as RFC 5280, section 4.2.1.6 asks for. No
/// wildcards: a broker has a name.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // 64 for the common name, which repeats it.
    name.len() <= 64 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::is_dns_name;

    #[test]
    fn takes_hosts_and_refuses_the_rest() {
        for name in ["localhost", "broker-1.example.com", "3com.example"] {
            assert!(is_dns_name(name), "{name}");
        }
        for name in ["", ".", "a..b", "*.example.com", "-a.b", "a_b", "é.example", "a b", "a.b."] {
            assert!(!is_dns_name(name), "{name}");
        }
    }
}
