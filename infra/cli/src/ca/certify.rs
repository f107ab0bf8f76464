//! `birthcert ca certify`: the root's part, which needs no network.

use std::{fmt, path::PathBuf};

use birthcert::{clock::Timestamp, csr::VerifiedCsr};
use serde::Serialize;
use spki::SubjectPublicKeyInfoOwned;

use super::{http_url, naming::Naming};
use crate::{
    confirm::Consent,
    fields::{Fields, KeyState},
    files::{expect_new, read, write_new},
    output::Format,
    passphrase::Passphrase,
    plan::Plan,
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
    #[command(flatten)]
    consent: Consent,
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
    /// What the root is asked for.
    pub(super) fn subordinate<'a>(
        &'a self,
        naming: &'a Naming,
        common_name: &'a str,
        now: Timestamp,
    ) -> anyhow::Result<Subordinate<'a>> {
        anyhow::ensure!(
            self.valid_years.is_finite() && (0.01..=1000.0).contains(&self.valid_years),
            "--valid-years must be between 0.01 and 1000"
        );
        Ok(Subordinate {
            common_name,
            organization: naming.organization.as_deref(),
            usage: naming.usage.usage(),
            not_after: now.plus((self.valid_years * SECONDS_PER_YEAR) as u64),
            root_crl_url: self.root_crl_url.as_deref(),
        })
    }

    /// The certificate that the root would sign for `key`.
    pub(super) fn draft(
        &self,
        subordinate: &Subordinate<'_>,
        key: SubjectPublicKeyInfoOwned,
        state: KeyState,
        now: Timestamp,
    ) -> anyhow::Result<Fields> {
        let root = Root::read_certificate(&self.root)?;
        let draft = subordinate.draft(&root, key, now)?;
        Ok(Fields::of_draft(draft.der(), state)?)
    }

    /// For a plan.
    pub(super) fn step(&self) -> String {
        format!("sign the certificate with the root in {}", self.root.display())
    }

    pub(super) fn open(&self) -> anyhow::Result<Root> {
        Root::open(&self.root, &self.passphrase.read()?)
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
        expect_new(&self.certificate)?;
        let csr = VerifiedCsr::from_pem(&read(&self.csr)?).map_err(anyhow::Error::msg)?;
        let common_name = self.naming.common_name();
        let subordinate = self.certification.subordinate(&self.naming, &common_name, now)?;
        let key = csr.public_key().clone();
        let draft = self.certification.draft(&subordinate, key, KeyState::Made, now)?;
        let plan = Plan::new()
            .step(self.certification.step())
            .step(format!("write it to {}", self.certificate.display()))
            .certificate(draft);
        if !self.consent.given(output, plan)? {
            return Ok(());
        }
        let certificate = self.certification.open()?.certify(&csr, &subordinate, now)?;
        write_new(&self.certificate, &certificate)?;
        output.print(&Certified { certificate: self.certificate.clone() })
    }
}
