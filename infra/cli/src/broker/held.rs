//! The certificate that a directory holds: it says itself what it would take to renew it.

use std::{fs, path::Path};

use anyhow::{Context as _, anyhow};
use der::{Decode, pem};
use pki::{
    clock::Timestamp,
    hex,
    names::Host,
    profile::{LONGEST_VALIDITY_DAYS, Role, Service},
};
use x509_cert::{
    Certificate,
    ext::pkix::{ExtendedKeyUsage, SubjectAltName},
};

use super::directory::{CLIENT, Directory, Names, SERVER};

pub(super) struct Held {
    pub(super) service: Service,
    pub(super) names: Names,
    pub(super) has_key: bool,
    pub(super) serial_number: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Held {
    pub(super) fn read(directory: &Directory) -> anyhow::Result<Self> {
        let current = directory.current()?;
        let found = [SERVER, CLIENT].into_iter().find(|names| current.join(names.chain).exists());
        let names = found.with_context(|| format!("{} holds no chain", current.display()))?;
        let chain = current.join(names.chain);
        let has_key = current.join(names.key).exists();
        parse(&chain, names, has_key).with_context(|| format!("cannot read {}", chain.display()))
    }

    /// As long as it was to be valid when it was issued.
    pub(super) fn validity_days(&self) -> u32 {
        let days = self.not_before.days_until(self.not_after);
        u32::try_from(days).unwrap_or(u32::MAX).clamp(1, LONGEST_VALIDITY_DAYS)
    }
}

fn parse(chain: &Path, names: Names, has_key: bool) -> anyhow::Result<Held> {
    let text = fs::read_to_string(chain)?;
    let end = "-----END CERTIFICATE-----";
    let leaf = text.split_once(end).context("it has no certificate")?.0;
    let (_, der) = pem::decode_vec(format!("{leaf}{end}\n").as_bytes())?;
    let leaf = Certificate::from_der(&der)?;
    let tbs = leaf.tbs_certificate();
    let purposes = tbs.get_extension::<ExtendedKeyUsage>()?.context("it has no extKeyUsage")?.1;
    let role = Role::with_purposes(&purposes.0).context("its extKeyUsage is no service's")?;
    let alternative = tbs.get_extension::<SubjectAltName>()?;
    let alternative = alternative.map(|(_, names)| names.0).unwrap_or_default();
    let common_name = tbs.subject().common_name()?.context("it has no common name")?;
    let service = Service::new(
        role,
        common_name.value().parse()?,
        alternative.iter().map(Host::try_from).collect::<Result<_, _>>()?,
    )
    .map_err(|error| anyhow!(error))?;
    Ok(Held {
        service,
        names,
        has_key,
        serial_number: hex(tbs.serial_number().as_bytes()),
        not_before: tbs.validity().not_before.into(),
        not_after: tbs.validity().not_after.into(),
    })
}
