//! `birthcert ca certify`: certifies a subordinate CA with the root, offline.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use pki::{
    authority::CaCertificate,
    clock::Timestamp,
    csr::VerifiedCsr,
    profile::{IssuedBy, Usage},
};
use serde::Serialize;
use spki::SubjectPublicKeyInfoOwned;

use super::{
    naming::NameOptions,
    url::{http_url, https_remark},
    years::Years,
};
use crate::{
    ceremony::{
        clock, consent::Consent, fields::CertificateFields, plan::Plan, transcript::Transcript,
    },
    files::{csr, expect_new, write_new},
    output::format::Format,
    root::{
        ca::{Root, Subordinate},
        draft::DraftKey,
        location::{Pkcs11Options, Secrets},
    },
};

pub(super) const EXAMPLES: &str = "\
Examples:
  # Dry run, then apply
  birthcert ca certify --usage device --root root --csr device.csr --certificate device.pem
  birthcert ca certify --usage device --root root --csr device.csr --certificate device.pem --yes

  # For twenty years, with the URL of the root's CRL
  birthcert ca certify --usage server --root root --csr server.csr --certificate server.pem \\
      --valid-years 20 --root-crl-url http://pki.example.com/root.crl --yes";

#[derive(clap::Args)]
pub(crate) struct CertifyCommand {
    #[command(flatten)]
    naming: NameOptions,
    #[command(flatten)]
    certification: Certification,
    /// Certificate signing request, in PEM or DER.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// File to write the certificate to.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args)]
pub(crate) struct Certification {
    /// Directory of the root: its certificate and, unless it is in a PKCS#11 token, its key.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Years until the subordinate CA expires. Its certificates expire no later.
    #[arg(long, default_value = "60", value_name = "YEARS")]
    valid_years: Years,
    /// URL of the root's CRL in the subordinate's certificate. Use plain http.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    root_crl_url: Option<String>,
    #[command(flatten)]
    token: Pkcs11Options,
    #[command(flatten)]
    secrets: Secrets,
}

impl Certification {
    /// Returns the terms of the certification.
    pub(super) fn terms(&self, naming: &NameOptions) -> anyhow::Result<Terms> {
        Ok(Terms {
            usage: naming.usage.usage(),
            common_name: naming.common_name()?,
            organization: naming.organization.clone(),
            valid: self.valid_years,
            root_crl_url: self.root_crl_url.clone(),
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.root
    }

    pub(super) fn open(&self) -> anyhow::Result<Root> {
        let key = self.token.location(&self.root).open(&self.secrets)?;
        Root::open(&self.root, key)
    }

    /// Reads the root's certificate, without unlocking its key.
    pub(super) fn certificate(&self) -> anyhow::Result<CaCertificate> {
        Root::read_certificate(&self.root)
    }

    /// Returns the step of a plan.
    pub(super) fn step(&self) -> String {
        format!("sign its certificate with the root in {}", self.root.display())
    }
}

/// The content of a subordinate's certificate, except its key.
pub(super) struct Terms {
    pub(super) usage: Usage,
    pub(super) common_name: String,
    pub(super) organization: Option<String>,
    pub(super) valid: Years,
    pub(super) root_crl_url: Option<String>,
}

impl Terms {
    pub(super) fn subordinate(&self, now: Timestamp) -> Subordinate<'_> {
        Subordinate {
            common_name: &self.common_name,
            organization: self.organization.as_deref(),
            usage: self.usage,
            not_after: self.valid.from(now),
            root_crl_url: self.root_crl_url.as_deref(),
        }
    }

    /// Returns a remark for a plan.
    pub(super) fn remark(&self) -> Option<String> {
        https_remark(self.root_crl_url.as_deref())
    }

    /// Returns the certificate that `root` would sign for `key`.
    pub(super) fn draft(
        &self,
        root: IssuedBy<'_>,
        key: SubjectPublicKeyInfoOwned,
        state: DraftKey,
        now: Timestamp,
    ) -> anyhow::Result<CertificateFields> {
        let draft = self.subordinate(now).draft(root, key, now)?;
        Ok(CertificateFields::of_draft(draft.der(), state)?)
    }
}

/// A subordinate CA to certify from its CSR.
pub(super) struct CertifyTask {
    pub(super) terms: Terms,
    csr: VerifiedCsr,
    pub(super) csr_path: PathBuf,
    csr_bytes: Vec<u8>,
    pub(super) certificate: PathBuf,
}

impl CertifyTask {
    /// Reads the CSR.
    pub(super) fn new(terms: Terms, csr: PathBuf, certificate: PathBuf) -> anyhow::Result<Self> {
        let (verified, csr_bytes) = csr::read(&csr)?;
        Ok(Self { terms, csr: verified, csr_path: csr, csr_bytes, certificate })
    }

    pub(super) fn key(&self) -> &SubjectPublicKeyInfoOwned {
        self.csr.public_key()
    }

    pub(super) fn draft(
        &self,
        root: IssuedBy<'_>,
        now: Timestamp,
    ) -> anyhow::Result<CertificateFields> {
        self.terms.draft(root, self.key().clone(), DraftKey::Known, now)
    }

    /// Returns the step of a plan.
    pub(super) fn step(&self) -> String {
        format!(
            "certify the key of {} and write {}",
            self.csr_path.display(),
            self.certificate.display()
        )
    }

    pub(super) fn run(
        &self,
        root: &Root,
        transcript: &mut Transcript,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        transcript.input(&self.csr_path, &self.csr_bytes);
        let pem = root.certify(&self.csr, &self.terms.subordinate(now), now)?;
        write_new(&self.certificate, &pem)?;
        transcript.step(self.step());
        transcript.output(&self.certificate)?;
        let certificate = CaCertificate::from_pem(&pem).map_err(anyhow::Error::msg)?;
        transcript.certificate(certificate.der())
    }
}

#[derive(Serialize)]
struct Certified {
    certificate: PathBuf,
    transcript: PathBuf,
}

impl fmt::Display for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Certificate: {}", self.certificate.display())?;
        write!(f, "Transcript:  {}", self.transcript.display())
    }
}

impl CertifyCommand {
    pub(crate) fn run(self, output: Format, now: Timestamp) -> anyhow::Result<()> {
        let Self { naming, certification, csr, certificate, consent } = self;
        expect_new(&certificate)?;
        let task = CertifyTask::new(certification.terms(&naming)?, csr, certificate)?;
        let root = certification.certificate()?;
        let draft = task.draft(root.as_issuer(None), now)?;
        let plan = Plan::new().step(task.step()).remarks(task.terms.remark()).certificate(draft);
        let remarks = clock::remarks(now, [task.csr_path.as_path()], Some(&root));
        if !consent.given_or_print(output, plan.remarks(remarks.clone()))? {
            return Ok(());
        }
        clock::warn(&remarks);
        let transcript = Transcript::begin("ca certify", certification.directory())?;
        let ((), transcript) =
            transcript.record(|transcript| task.run(&certification.open()?, transcript, now))?;
        output.print(&Certified { certificate: task.certificate, transcript })
    }
}
