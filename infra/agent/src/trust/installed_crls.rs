//! The CRLs that the broker already has.
//!
//! An agent that lost its state resumes from them, and must not take them away.

use std::{fs, mem};

use der::{Encode as _, pem};
use pki::{
    authority::CaCertificate,
    clock::Timestamp,
    crl::{VALIDITY_SECONDS, VerifiedCrl, claimed_issuer, claimed_next_update},
};
use x509_cert::name::Name;

use crate::disk::DataDirectory;

/// The installed CRLs that are not attributed to a known CA yet.
pub(crate) struct InstalledCrls {
    /// The CRLs, in DER.
    crls: Vec<Vec<u8>>,
    /// Time by which any CA's CRL has expired. A longer-lived one was issued by hand, such as a
    /// root's.
    until: Timestamp,
}

impl InstalledCrls {
    /// Reads the broker's CRL files, skipping those that a broker could not use either.
    pub(crate) fn read(directory: &DataDirectory, now: Timestamp) -> Self {
        const END: &str = "-----END X509 CRL-----";
        let folder = fs::read_dir(directory.file("crls")).into_iter().flatten().flatten();
        let files = folder.map(|file| file.path()).chain([directory.file("crl.pem")]);
        let mut crls = Vec::new();
        for text in files.filter_map(|file| fs::read_to_string(file).ok()) {
            let parts = text.split_inclusive(END).map(|part| part.trim_start().as_bytes());
            crls.extend(parts.filter_map(|part| Some(pem::decode_vec(part).ok()?.1)));
        }
        Self { crls, until: now.plus(VALIDITY_SECONDS) }
    }

    /// Removes the CRLs that `ca` signed, and returns the newest.
    pub(crate) fn take_newest(&mut self, ca: &CaCertificate) -> Option<VerifiedCrl> {
        let mut newest: Option<VerifiedCrl> = None;
        for der in mem::take(&mut self.crls) {
            match VerifiedCrl::from_der(der.clone(), ca) {
                Ok(crl) if newest.as_ref().is_none_or(|it| it.number() < crl.number()) => {
                    newest = Some(crl);
                }
                Ok(_) => {}
                Err(_) => self.crls.push(der),
            }
        }
        newest
    }

    /// Removes the CRLs that claim one of these issuers, without verifying the claim.
    pub(crate) fn remove_issued_by<'a>(&mut self, issuers: impl Iterator<Item = &'a Name>) {
        let issuers: Vec<_> = issuers.filter_map(|it| it.to_der().ok()).collect();
        let is_theirs = |der: &[u8]| claimed_issuer(der).is_ok_and(|it| issuers.contains(&it));
        self.crls.retain(|der| !is_theirs(der));
    }

    /// Returns true if a CRL is left under which a broker may still accept clients.
    pub(crate) fn has_valid(&self, now: Timestamp) -> bool {
        let is_valid = |der: &Vec<u8>| claimed_next_update(der).is_ok_and(|end| end >= now);
        now <= self.until && self.crls.iter().any(is_valid)
    }

    pub(crate) fn clear(&mut self) {
        self.crls.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use tempfile::TempDir;

    use super::*;

    /// A CRL of `CN=Root`, issued by hand for a hundred years.
    const ROOT_CRL: &str = "\
-----BEGIN X509 CRL-----
MIHJMHECAQEwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEUm9vdBcNMjYxMTI5MTg0
MTQ2WhgPMjEyNjExMDUxODQxNDZaoC8wLTAfBgNVHSMEGDAWgBR956+Fu7UBLf1i
xH+o41GDDsaAFzAKBgNVHRQEAwIBATAKBggqhkjOPQQDAgNIADBFAiEA1yFyEmrk
DcJfHyPsVr5xnxlTD5gUwxp0CQ6x8UZ3/eQCICeTq32FrHMdbnw/G9RUSu4FPXq2
S59DGjH2ZwmMIhQS
-----END X509 CRL-----
";

    #[test]
    fn a_crl_issued_by_hand_counts_no_longer_than_a_cas() {
        let now = Timestamp::now();
        let installed = installed(now);
        assert!(installed.has_valid(now));
        assert!(installed.has_valid(now.plus(VALIDITY_SECONDS)));
        assert!(!installed.has_valid(now.plus(VALIDITY_SECONDS + 1)));
    }

    #[test]
    fn crls_of_an_issuer_are_removed() {
        let now = Timestamp::now();
        let mut installed = installed(now);
        let [ours, other] = ["CN=Root", "CN=Root 2"].map(|it| Name::from_str(it).unwrap());
        installed.remove_issued_by([&other].into_iter());
        assert!(installed.has_valid(now));
        installed.remove_issued_by([&other, &ours].into_iter());
        assert!(!installed.has_valid(now));
    }

    fn installed(now: Timestamp) -> InstalledCrls {
        let folder = TempDir::new().unwrap();
        let directory = DataDirectory::open(folder.path()).unwrap();
        fs::write(directory.file("crl.pem"), ROOT_CRL).unwrap();
        InstalledCrls::read(&directory, now)
    }
}
