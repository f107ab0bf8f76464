//! `birthcert ca certify`: the root's part, which needs no network.

use std::{fmt, path::PathBuf};

use anyhow::anyhow;
use birthcert::{clock::Timestamp, csr::VerifiedCsr};
use serde::Serialize;

use super::{http_url, naming::Naming, read};
use crate::{
    files::write_new,
    output::Format,
    passphrase::Passphrase,
    root::{Root, Subordinate},
};

/// A year of the Gregorian calendar, on average.
const SECONDS_PER_YEAR: f64 = 31_556_952.0;

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

impl Certification {
    pub(super) fn certify(
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
