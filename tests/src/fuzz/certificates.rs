//! CA certificates in DER, and chains of them in PEM.

use pki::authority::{CaCertificate, ChainCertificate, chain};

use crate::fuzz::ca::CA;

/// Returns the PEM of a certificate, whatever `der` is.
fn pem(der: &[u8]) -> String {
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).expect("PEM")
}

fn check(text: &str) {
    if let Ok(certificate) = ChainCertificate::from_pem(text) {
        let again = ChainCertificate::from_pem(certificate.pem()).expect("the same certificate");
        assert_eq!(again.der(), certificate.der());
        let _ = certificate.not_before().days_until(certificate.not_after());
        let _ = chain::verify(&certificate, &[ChainCertificate::clone(&CA)]);
    }
    let _ = CaCertificate::from_pem(text);
}

/// Tries one input.
pub fn certificates(data: &[u8]) {
    check(&pem(data));
    if let Ok(text) = str::from_utf8(data) {
        check(text);
        chain::read_bundle(text).for_each(drop);
        let _ = chain::intermediates(&CA, &CA, text);
    }
}
