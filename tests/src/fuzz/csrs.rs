//! Certificate signing requests in DER, PEM and base64.

use pki::csr::{Csr, VerifiedCsr, decode_base64, decode_pem, refuse_private_key};

fn verify(der: &[u8]) {
    if let Ok(csr) = Csr::from_der(der)
        && let Ok(csr) = csr.verify()
    {
        assert!(refuse_private_key(der).is_ok());
        let _ = csr.requested_hosts();
    }
}

/// Tries one input.
pub fn csrs(data: &[u8]) {
    verify(data);
    if let Ok(text) = str::from_utf8(data) {
        for der in [decode_pem(text), decode_base64(text)].into_iter().flatten() {
            verify(&der);
        }
        let _ = VerifiedCsr::from_pem(text);
    }
}
