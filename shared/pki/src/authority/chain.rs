//! The chain of a subordinate CA: its intermediates and its root, which may be somebody else's.

#[cfg(test)]
mod tests;

use super::chain_certificate::ChainCertificate;
use crate::{key::SignatureFault, pem::BEGIN};

/// Verifies the chain from `certificate` through the CAs `above` it, nearest first, to the root, which is
/// the last: names, signatures and constraints (RFC 5280, section 6.1). Validity is not checked.
///
/// # Errors
/// A message for the operator, if a verifier would refuse the chain.
pub fn verify(certificate: &ChainCertificate, above: &[ChainCertificate]) -> Result<(), String> {
    let Some(root) = above.last() else { return Err("its chain has no root".into()) };
    root.verify(root).map_err(|fault| match fault {
        SignatureFault::Wrong => "the root is not self-signed".to_owned(),
        SignatureFault::Algorithm | SignatureFault::Salt => unsupported("the root"),
    })?;
    let mut below = certificate;
    for (cas_between, issuer) in above.iter().enumerate() {
        let role = if cas_between + 1 == above.len() { "root" } else { "issuer" };
        // A number instead of the subject: formatting a name links a table of all attributes, 190 KB in
        // every Lambda function.
        check_link(certificate, below, issuer, role, cas_between).map_err(|fault| {
            if cas_between == 0 { fault } else { format!("CA {cas_between} above it: {fault}") }
        })?;
        below = issuer;
    }
    Ok(())
}

fn check_link(
    certificate: &ChainCertificate,
    below: &ChainCertificate,
    issuer: &ChainCertificate,
    role: &str,
    cas_between: usize,
) -> Result<(), String> {
    below.verify(issuer).map_err(|fault| match fault {
        SignatureFault::Wrong => format!("it was not issued by its {role}"),
        SignatureFault::Algorithm | SignatureFault::Salt => unsupported("it"),
    })?;
    if below.subject() == issuer.subject() {
        return Err(format!("its subject is that of its {role}"));
    }
    let (asked, wanted) = (&issuer.constraints, &certificate.constraints);
    // RFC 5280, section 4.2.1.9: the limit counts the CAs below this one, without the leaf.
    if let Some(length) = asked.path_len()
        && usize::from(length) <= cas_between
    {
        let cas = cas_between + 1;
        return Err(format!(
            "its {role} allows fewer CAs below itself than {cas}: pathLenConstraint is {length}"
        ));
    }
    // Section 4.2.1.1. Verifiers find the issuer by this identifier, and OpenSSL refuses a mismatch.
    let names = below.constraints.issuer_key_identifier();
    if names.is_some_and(|id| id != issuer.key_identifier()) {
        return Err(format!("its authorityKeyIdentifier is not its {role}'s subjectKeyIdentifier"));
    }
    // Section 4.2.1.12 limits only the certificate itself, but verifiers apply it to those below.
    if !asked.allow_purposes_of(wanted) {
        return Err(format!("its extKeyUsage has purposes that its {role}'s lacks"));
    }
    Ok(())
}

fn unsupported(what: &str) -> String {
    format!(
        "{what} has an unsupported signature algorithm: use RSA (PKCS#1 v1.5, or PSS with a salt as \
         long as the hash) or ECDSA on P-256, P-384 or P-521, with SHA-256, SHA-384 or SHA-512"
    )
}

/// Parses the certificates in a text, ignoring anything around them.
pub fn read_bundle(text: &str) -> impl Iterator<Item = Result<ChainCertificate, String>> {
    pem_blocks(text).map(ChainCertificate::from_pem)
}

/// Splits a text into its PEM blocks, without anything around them.
pub fn pem_blocks(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(BEGIN).map(move |(begin, _)| {
        let rest = &text[begin..];
        let end = rest[BEGIN.len()..].find(BEGIN).map_or(rest.len(), |next| next + BEGIN.len());
        let rest = &rest[..end];
        // Text after the END line, such as "subject=…", belongs to no certificate.
        let last = rest.rfind("-----END ").unwrap_or(0);
        let line = rest[last..].find('\n').map_or(rest.len(), |length| last + length);
        &rest[..line]
    })
}

/// Finds the intermediate CAs between a subordinate CA and its root in a PEM bundle, which may have any
/// order and may contain the two as well. Returns them nearest first.
///
/// # Errors
/// A message for the operator, if the bundle contains anything but CA certificates of the chain, or lacks
/// one of them.
pub fn intermediates(
    certificate: &ChainCertificate,
    root: &ChainCertificate,
    bundle: &str,
) -> Result<Vec<ChainCertificate>, String> {
    let mut pool = Vec::new();
    for (place, read) in read_bundle(bundle).enumerate() {
        let read =
            read.map_err(|fault| format!("certificate {} in the bundle: {fault}", place + 1))?;
        if read.der() != certificate.der() && read.der() != root.der() {
            pool.push(read);
        }
    }
    let mut path: Vec<ChainCertificate> = Vec::new();
    loop {
        let below = path.last().unwrap_or(certificate);
        if below.is_issued_by(root) {
            break;
        }
        let Some(next) = pool.iter().position(|it| below.is_issued_by(it)) else {
            return Err(format!(
                "{} was issued by {}, which is neither the root nor in the bundle",
                below.subject(),
                below.issuer()
            ));
        };
        let next = pool.swap_remove(next);
        path.push(next);
    }
    match pool.first() {
        Some(other) => Err(format!("{} is not between the CA and its root", other.subject())),
        None => Ok(path),
    }
}
