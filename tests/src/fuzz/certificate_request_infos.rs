//! The signed part of CSRs, with a valid signature: what is read after the signature was verified.

use pki::csr::Csr;

use crate::fuzz::ca::sign;

/// Tries one input.
pub fn certificate_request_infos(info: &[u8]) {
    let Some(der) = sign(info) else {
        return;
    };
    if let Ok(csr) = Csr::from_der(&der)
        && let Ok(csr) = csr.verify()
    {
        assert_eq!(csr.kind(), pki::key::KeyKind::P256);
        if let Ok(hosts) = csr.requested_hosts() {
            for host in hosts {
                assert_eq!(host.to_string().parse(), Ok(host));
            }
        }
    }
}
