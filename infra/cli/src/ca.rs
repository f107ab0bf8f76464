//! `birthcert ca`: the root and the subordinates.

use std::{fmt, fs, path::PathBuf};

use anyhow::{Context as _, anyhow};
use birthcert::{
    authority::{Authority, AuthorityRecord},
    clock::Timestamp,
    csr::VerifiedCsr,
    profile::Usage,
};
use serde::Serialize;

use crate::{
    Context, ceremony,
    files::write_new,
    output::Format,
    passphrase::Passphrase,
    root::{CERTIFICATE_FILE, KEY_FILE, Root, Subordinate},
};

/// A year of the Gregorian calendar, on average.
const SECONDS_PER_YEAR: f64 = 31_556_952.0;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a root CA: an encrypted key file and a certificate. Needs no network and no AWS.
    Root(RootCommand),
    /// Set up a subordinate CA in one go: request, certify and activate on this machine.
    Subordinate(SubordinateCommand),
    /// Make a subordinate's key in KMS and write its certificate request.
    Request(RequestCommand),
    /// Certify a subordinate's request with the root. Needs no network and no AWS.
    Certify(CertifyCommand),
    /// Put a certified subordinate to use.
    Activate(ActivateCommand),
}

#[derive(clap::Args)]
pub(crate) struct RootCommand {
    /// Directory for the root's two files; nothing in it is overwritten.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// The root's common name.
    #[arg(long, default_value = "birthcert root")]
    common_name: String,
    /// The root's organization.
    #[arg(long)]
    organization: Option<String>,
    #[command(flatten)]
    passphrase: Passphrase,
}

/// The names of a subordinate.
#[derive(clap::Args)]
pub(crate) struct Naming {
    /// What it issues, and its name in the API.
    #[arg(long, value_enum)]
    usage: UsageName,
    /// Its common name; "birthcert device CA" or "birthcert server CA" unless given.
    #[arg(long)]
    common_name: Option<String>,
    /// Its organization.
    #[arg(long)]
    organization: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct Key {
    /// The key in KMS to use, by id, ARN or alias. Unless given, one is made and gets the alias
    /// alias/birthcert-<table>-<usage>.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct Certification {
    /// Directory with the root's two files.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Years until the subordinate expires. What it issues must expire before.
    #[arg(long, default_value_t = 60.0, value_name = "YEARS")]
    valid_years: f64,
    /// Where the root's CRL will be found.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    root_crl_url: Option<String>,
    #[command(flatten)]
    passphrase: Passphrase,
}

#[derive(clap::Args)]
pub(crate) struct Distribution {
    /// Where the subordinate's CRL will be found for as long as its certificates live: a name that
    /// you own.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    crl_url: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct SubordinateCommand {
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    certification: Certification,
    #[command(flatten)]
    distribution: Distribution,
}

#[derive(clap::Args)]
pub(crate) struct RequestCommand {
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    key: Key,
    /// Where to write the request.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct CertifyCommand {
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    certification: Certification,
    /// The request.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// Where to write the certificate.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct ActivateCommand {
    /// What it issues, and its name in the API.
    #[arg(long, value_enum)]
    usage: UsageName,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    distribution: Distribution,
    /// The subordinate's certificate.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The root's certificate.
    #[arg(long, value_name = "FILE")]
    root_certificate: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum UsageName {
    /// Identities of devices.
    Device,
    /// Certificates of brokers and other servers.
    Server,
    /// Certificates of services that are clients of brokers, or peers of each other. Only needed
    /// for these: whoever may sign with this CA's key could make a device's name up.
    Service,
}

impl UsageName {
    fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Server => "server",
            Self::Service => "service",
        }
    }

    fn usage(self) -> Usage {
        match self {
            Self::Device => Usage::Device,
            Self::Server => Usage::Server,
            Self::Service => Usage::Service,
        }
    }
}

impl Naming {
    fn common_name(&self) -> String {
        self.common_name.clone().unwrap_or_else(|| format!("birthcert {} CA", self.usage.name()))
    }
}

impl Key {
    async fn arn(&self, context: &Context, usage: UsageName) -> anyhow::Result<String> {
        match &self.key {
            Some(key) => {
                let found = context.kms.describe_key().key_id(key).send().await;
                let found = found.with_context(|| format!("KMS cannot describe the key {key}"))?;
                found.key_metadata.and_then(|it| it.arn).context("KMS names no ARN for the key")
            }
            None => {
                let table = context.store.table_name();
                let alias = format!("alias/birthcert-{table}-{}", usage.name());
                ceremony::ensure_key(&context.kms, &alias).await
            }
        }
    }
}

#[derive(Serialize)]
struct MadeRoot {
    key: PathBuf,
    certificate: PathBuf,
}

impl fmt::Display for MadeRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The root's key, encrypted: {}", self.key.display())?;
        write!(f, "The root's certificate:     {}", self.certificate.display())
    }
}

impl RootCommand {
    pub(crate) fn run(&self, output: Format, now: Timestamp) -> anyhow::Result<()> {
        let passphrase = self.passphrase.choose()?;
        let organization = self.organization.as_deref();
        Root::create(&self.directory, &self.common_name, organization, &passphrase, now)?;
        output.print(&MadeRoot {
            key: self.directory.join(KEY_FILE),
            certificate: self.directory.join(CERTIFICATE_FILE),
        })
    }
}

impl Certification {
    fn certify(
        &self,
        naming: &Naming,
        csr_pem: &str,
        now: Timestamp,
    ) -> anyhow::Result<(String, Root)> {
        let csr = VerifiedCsr::from_pem(csr_pem).map_err(|fault| anyhow!(fault))?;
        let root = Root::open(&self.root, &self.passphrase.read()?)?;
        anyhow::ensure!(
            self.valid_years.is_finite() && (0.01..=1000.0).contains(&self.valid_years),
            "--valid-years must be between 0.01 and 1000"
        );
        let subordinate = Subordinate {
            common_name: &naming.common_name(),
            organization: naming.organization.as_deref(),
            usage: naming.usage.usage(),
            not_after: now.plus((self.valid_years * SECONDS_PER_YEAR) as u64),
            root_crl_url: self.root_crl_url.as_deref(),
        };
        let certificate = root.certify(&csr, &subordinate, now)?;
        Ok((certificate, root))
    }
}

#[derive(Serialize)]
struct Certified {
    certificate: PathBuf,
}

impl fmt::Display for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The subordinate's certificate: {}", self.certificate.display())
    }
}

impl CertifyCommand {
    pub(crate) fn run(&self, output: Format, now: Timestamp) -> anyhow::Result<()> {
        let csr = read(&self.csr)?;
        let (certificate, _) = self.certification.certify(&self.naming, &csr, now)?;
        write_new(&self.certificate, &certificate)?;
        output.print(&Certified { certificate: self.certificate.clone() })
    }
}

#[derive(Serialize)]
struct Requested {
    key_arn: String,
    csr: PathBuf,
}

impl fmt::Display for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The subordinate's key in KMS: {}", self.key_arn)?;
        write!(f, "Its certificate request:      {}", self.csr.display())
    }
}

#[derive(Serialize)]
struct Activated {
    name: String,
    key_arn: String,
    subject: String,
    not_after: String,
}

impl fmt::Display for Activated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The CA {:?} can issue.", self.name)?;
        writeln!(f, "Subject: {}, valid until {}", self.subject, self.not_after)?;
        write!(f, "Key:     {}", self.key_arn)
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Root(command) => command.run(context.output, context.now),
            Self::Certify(command) => command.run(context.output, context.now),
            Self::Request(RequestCommand { naming, key, csr }) => {
                let request = make_request(context, &naming, &key).await?;
                write_new(&csr, &request.csr_pem)?;
                context.output.print(&Requested { key_arn: request.key_arn, csr })
            }
            Self::Activate(command) => {
                let key_arn = command.key.arn(context, command.usage).await?;
                let record = AuthorityRecord {
                    name: command.usage.name().into(),
                    key_arn,
                    certificate_pem: read(&command.certificate)?,
                    root_pem: read(&command.root_certificate)?,
                    crl_url: command.distribution.crl_url,
                    created_at: context.now,
                };
                activate(context, command.usage, record).await
            }
            Self::Subordinate(command) => {
                let SubordinateCommand { naming, key, certification, distribution } = command;
                let request = make_request(context, &naming, &key).await?;
                let (certificate_pem, root) =
                    certification.certify(&naming, &request.csr_pem, context.now)?;
                let record = AuthorityRecord {
                    name: naming.usage.name().into(),
                    key_arn: request.key_arn,
                    certificate_pem,
                    root_pem: root.certificate().pem().to_owned(),
                    crl_url: distribution.crl_url,
                    created_at: context.now,
                };
                activate(context, naming.usage, record).await
            }
        }
    }
}

async fn make_request(
    context: &Context,
    naming: &Naming,
    key: &Key,
) -> anyhow::Result<ceremony::Request> {
    let key_arn = key.arn(context, naming.usage).await?;
    let organization = naming.organization.as_deref();
    ceremony::request(&context.kms, key_arn, &naming.common_name(), organization).await
}

async fn activate(
    context: &Context,
    usage: UsageName,
    record: AuthorityRecord,
) -> anyhow::Result<()> {
    let authority = Authority::try_from(record.clone())?;
    // A CA that could issue nothing would keep its name from one that can.
    authority.check(usage.usage(), context.now, context.now)?;
    let certificate = authority.certificate();
    ceremony::activate(&context.store, &context.kms, record.clone()).await?;
    context.output.print(&Activated {
        name: record.name,
        key_arn: record.key_arn,
        subject: certificate.subject().to_string(),
        not_after: certificate.not_after().to_string(),
    })
}

/// RFC 5280, section 4.2.1.13, wants a URI, in an IA5String. It stays in certificates for decades, so
/// that a mistake should not get there.
fn http_url(text: &str) -> Result<String, &'static str> {
    let is_url = text.bytes().all(|byte| byte.is_ascii_graphic())
        && (text.starts_with("http://") || text.starts_with("https://"));
    is_url.then(|| text.to_owned()).ok_or("it should be a URL with http:// or https://")
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
