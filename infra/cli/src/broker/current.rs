//! The current certificate of a directory, which tells how to renew it.

use std::{fs, path::Path};

use anyhow::{Context as _, anyhow};
use der::{Decode, pem};
use pki::{
    clock::Timestamp,
    hex,
    names::Host,
    profile::{MAX_VALIDITY_DAYS, Role, Service},
};
use x509_cert::{
    Certificate,
    ext::pkix::{ExtendedKeyUsage, SubjectAltName},
};

use super::certificate_directory::{CLIENT, CertificateDirectory, FileNames, SERVER};

pub(super) struct CurrentCertificate {
    pub(super) service: Service,
    pub(super) names: FileNames,
    pub(super) has_key: bool,
    pub(super) serial_number: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl CurrentCertificate {
    pub(super) fn read(directory: &CertificateDirectory) -> anyhow::Result<Self> {
        let current = directory.current()?;
        let found = [SERVER, CLIENT].into_iter().find(|names| current.join(names.chain).exists());
        let names = found
            .with_context(|| format!("{} contains no certificate chain", current.display()))?;
        let chain = current.join(names.chain);
        let has_key = current.join(names.key).exists();
        parse(&chain, names, has_key).with_context(|| format!("cannot read {}", chain.display()))
    }

    /// Returns the validity for which the certificate was issued.
    pub(super) fn validity_days(&self) -> u32 {
        let days = self.not_before.days_until(self.not_after);
        u32::try_from(days).unwrap_or(u32::MAX).clamp(1, MAX_VALIDITY_DAYS)
    }
}

fn parse(chain: &Path, names: FileNames, has_key: bool) -> anyhow::Result<CurrentCertificate> {
    let text = fs::read_to_string(chain)?;
    let end = "-----END CERTIFICATE-----";
    let leaf = text.split_once(end).context("the file contains no certificate")?.0;
    let (_, der) = pem::decode_vec(format!("{leaf}{end}\n").as_bytes())?;
    let leaf = Certificate::from_der(&der)?;
    let tbs = leaf.tbs_certificate();
    let purposes =
        tbs.get_extension::<ExtendedKeyUsage>()?.context("the certificate has no extKeyUsage")?.1;
    let role = Role::with_purposes(&purposes.0)
        .context("the certificate's extKeyUsage is not that of a service")?;
    let alternative = tbs.get_extension::<SubjectAltName>()?;
    let alternative = alternative.map(|(_, names)| names.0).unwrap_or_default();
    let common_name = tbs.subject().common_name()?.context("the certificate has no common name")?;
    let service = Service::new(
        role,
        common_name.value().parse()?,
        alternative.iter().map(Host::try_from).collect::<Result<_, _>>()?,
    )
    .map_err(|error| anyhow!(error))?;
    Ok(CurrentCertificate {
        service,
        names,
        has_key,
        serial_number: hex(tbs.serial_number().as_bytes()),
        not_before: tbs.validity().not_before.into(),
        not_after: tbs.validity().not_after.into(),
    })
}
