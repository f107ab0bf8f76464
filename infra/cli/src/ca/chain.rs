//! What is above a subordinate that somebody else's CA certified.

use std::path::{Path, PathBuf};

use der::Decode;
use ledger::store::Policy;
use pki::{
    authority::{Authority, ChainCertificate, chain},
    clock::Timestamp,
};
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, CrlDistributionPoints},
};

use super::https_remark;
use crate::{fields::Fields, files::read, plan::Plan};

/// The files of a chain.
#[derive(clap::Args)]
pub(super) struct Above {
    /// The CAs between it and its root, if there are any: their certificates, in PEM and any order.
    #[arg(long, value_name = "FILE", requires = "usage")]
    chain: Option<PathBuf>,
    /// The root's certificate.
    #[arg(long, value_name = "FILE", requires = "usage")]
    pub(super) root_certificate: Option<PathBuf>,
}

impl Above {
    /// The certificates above `certificate_pem`, each as a record has it: those between, and the
    /// root's.
    ///
    /// # Errors
    /// When a file cannot be read, or they make no chain.
    pub(super) fn read(
        &self,
        root_certificate: &Path,
        certificate_pem: &str,
    ) -> anyhow::Result<(Option<String>, String)> {
        let root_pem = read(root_certificate)?;
        let Some(path) = &self.chain else { return Ok((None, root_pem)) };
        let named = |what: &str, fault: String| anyhow::anyhow!("{what}: {fault}");
        let certificate = ChainCertificate::from_pem(certificate_pem);
        let certificate = certificate.map_err(|fault| named("the certificate", fault))?;
        let root =
            ChainCertificate::from_pem(&root_pem).map_err(|fault| named("the root", fault))?;
        let between = chain::between(&certificate, &root, &read(path)?);
        let between = between.map_err(|fault| named(&path.display().to_string(), fault))?;
        let pem: String = between.iter().map(ChainCertificate::pem).collect();
        Ok(((!pem.is_empty()).then_some(pem), root_pem))
    }
}

/// The plan with what should be looked at: the certificates of a CA and of those above it, and what is
/// remarkable about them.
///
/// # Errors
/// When a certificate cannot be read.
pub(super) fn reviewed(plan: Plan, authority: &Authority, now: Timestamp) -> anyhow::Result<Plan> {
    let mut plan = plan.remarks(remarks(authority, now)?);
    plan = plan.certificate(Fields::of_certificate(authority.certificate().der())?);
    for ca in authority.above() {
        plan = plan.certificate(Fields::of_certificate(ca.der())?);
    }
    Ok(plan)
}

/// What is not wrong about a CA, but should be known before it is put to use for decades.
///
/// # Errors
/// When its certificate cannot be read.
fn remarks(authority: &Authority, now: Timestamp) -> anyhow::Result<Vec<String>> {
    let certificate = authority.certificate();
    let read = Certificate::from_der(certificate.der())?;
    let tbs = read.tbs_certificate();
    let mut remarks = Vec::new();
    let mut until = certificate.not_after();
    for ca in authority.above() {
        if ca.not_after() < until {
            until = ca.not_after();
            remarks.push(format!("{} above it expires first, at {until}", ca.subject()));
        }
    }
    let days = now.days_until(until);
    if days < u64::from(Policy::DEFAULT_VALIDITY_DAYS) {
        remarks.push(format!(
            "it has {days} days left: what it issues expires then at the latest, and so before a \
             project's validity of 30 years is over"
        ));
    }
    let constraints = tbs.get_extension::<BasicConstraints>()?;
    if constraints.is_none_or(|(_, it)| it.path_len_constraint != Some(0)) {
        remarks.push(
            "it may have CAs below itself (basicConstraints should have pathLenConstraint 0): who \
             can sign with its key could make some"
                .into(),
        );
    }
    if tbs.get_extension::<CrlDistributionPoints>()?.is_none() {
        remarks.push(
            "its certificate names no CRL (cRLDistributionPoints): verifiers will not learn that \
             it was revoked"
                .into(),
        );
    }
    remarks.extend(https_remark(authority.record().crl_url.as_deref()));
    Ok(remarks)
}
