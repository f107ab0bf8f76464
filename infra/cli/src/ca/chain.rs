//! The chain above a subordinate CA that another organization's CA certified.

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

use super::url::https_remark;
use crate::{
    ceremony::{fields::CertificateFields, plan::Plan},
    files::read,
};

/// Files with the chain above a subordinate CA.
#[derive(clap::Args)]
pub(super) struct ChainFiles {
    /// Certificates of the CAs between the subordinate and its root, if any, in PEM and in any order.
    #[arg(long, value_name = "FILE", requires = "usage")]
    chain: Option<PathBuf>,
    /// Certificate of the root.
    #[arg(long, value_name = "FILE", requires = "usage")]
    pub(super) root_certificate: Option<PathBuf>,
}

impl ChainFiles {
    /// Reads the certificates above `certificate_pem` for a record: the intermediates, and the root.
    ///
    /// # Errors
    /// If a file cannot be read, or the certificates do not form a chain.
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
        let between = chain::intermediates(&certificate, &root, &read(path)?);
        let between = between.map_err(|fault| named(&path.display().to_string(), fault))?;
        let pem: String = between.iter().map(ChainCertificate::pem).collect();
        Ok(((!pem.is_empty()).then_some(pem), root_pem))
    }
}

/// Adds the certificates of a CA and of the CAs above it to a plan, with remarks for review.
///
/// # Errors
/// If a certificate cannot be decoded.
pub(super) fn with_review(
    plan: Plan,
    authority: &Authority,
    now: Timestamp,
) -> anyhow::Result<Plan> {
    let mut plan = plan.remarks(remarks(authority, now)?);
    plan = plan.certificate(CertificateFields::of_certificate(authority.certificate().der())?);
    for ca in authority.above() {
        plan = plan.certificate(CertificateFields::of_certificate(ca.der())?);
    }
    Ok(plan)
}

/// Returns remarks about a CA that is valid, but has properties to consider before it is used for decades.
///
/// # Errors
/// If its certificate cannot be decoded.
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
            "the CA has {days} days left: its certificates expire with it, before the 30 years that a project \
             sets by default"
        ));
    }
    let constraints = tbs.get_extension::<BasicConstraints>()?;
    if constraints.is_none_or(|(_, it)| it.path_len_constraint != Some(0)) {
        remarks.push(
            "the CA may have CAs below itself (basicConstraints should have pathLenConstraint 0): anyone who \
             can sign with its key could create some"
                .into(),
        );
    }
    if tbs.get_extension::<CrlDistributionPoints>()?.is_none() {
        remarks.push(
            "the CA's certificate names no CRL (cRLDistributionPoints): verifiers cannot learn that it was \
             revoked"
                .into(),
        );
    }
    remarks.extend(https_remark(authority.record().crl_url.as_deref()));
    Ok(remarks)
}
