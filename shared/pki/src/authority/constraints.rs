//! Constraints that a CA certificate places on the certificates below it.
//!
//! A broker validates a device's chain as RFC 5280, section 6.1, requires. A chain that would fail there
//! must fail when the CA is set up, not on every device.

use const_oid::{
    AssociatedOid,
    db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_CE_CERTIFICATE_POLICIES, ID_CE_NAME_CONSTRAINTS},
};
use der::asn1::ObjectIdentifier;
use x509_cert::{
    TbsCertificate,
    ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage},
};

/// The extensions that may be critical: those that are processed here, and certificate policies, which the
/// certificates below do not claim.
const UNDERSTOOD: [ObjectIdentifier; 4] =
    [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID, ID_CE_CERTIFICATE_POLICIES];

#[derive(Clone, Debug)]
pub(super) struct Constraints {
    path_len: Option<u8>,
    key_purposes: Option<Vec<ObjectIdentifier>>,
    issuer_key_identifier: Option<Vec<u8>>,
}

impl Constraints {
    /// Reads the constraints of a CA certificate.
    ///
    /// # Errors
    /// If the certificate has constraints that are not supported (RFC 5280, section 4.2).
    pub(super) fn read(tbs: &TbsCertificate) -> Result<Self, String> {
        let unreadable = |e: der::Error| format!("an extension cannot be decoded: {e}");
        for extension in tbs.extensions().into_iter().flatten() {
            let oid = extension.extn_id;
            if oid == ID_CE_NAME_CONSTRAINTS {
                return Err("it has nameConstraints, which are not supported".into());
            }
            if extension.critical && !UNDERSTOOD.contains(&oid) {
                return Err(format!("its critical extension {oid} is not supported"));
            }
        }
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(unreadable)?;
        let purposes = tbs.get_extension::<ExtendedKeyUsage>().map_err(unreadable)?;
        let issuer = tbs.get_extension::<AuthorityKeyIdentifier>().map_err(unreadable)?;
        Ok(Self {
            path_len: constraints.and_then(|(_, it)| it.path_len_constraint),
            key_purposes: purposes.map(|(_, it)| it.0),
            issuer_key_identifier: issuer
                .and_then(|(_, it)| it.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
        })
    }

    /// Returns the extended key usage, if present.
    pub(super) fn key_purposes(&self) -> Option<&[ObjectIdentifier]> {
        self.key_purposes.as_deref()
    }

    /// Returns the number of CAs that may follow below, if limited.
    pub(super) fn path_len(&self) -> Option<u8> {
        self.path_len
    }

    /// Returns the key identifier of the issuer, if present.
    pub(super) fn issuer_key_identifier(&self) -> Option<&[u8]> {
        self.issuer_key_identifier.as_deref()
    }

    /// Returns true if these constraints allow all the purposes of a certificate below.
    pub(super) fn allow_purposes_of(&self, below: &Self) -> bool {
        let allows = |purpose: &ObjectIdentifier| {
            self.key_purposes
                .as_ref()
                .is_none_or(|all| all.contains(purpose) || all.contains(&ANY_EXTENDED_KEY_USAGE))
        };
        below.key_purposes.iter().flatten().all(allows)
    }
}

#[cfg(test)]
mod tests {
    use x509_cert::ext::Extension;

    use super::super::{
        Authority,
        foreign::{Foreign, NOW, ca, issuer, purposes, raw},
    };
    use crate::profile::Usage;

    /// Excludes names in example.com.
    const NAME_CONSTRAINTS: &str = "3011a10f300d820b6578616d706c652e636f6d";

    /// Checks a chain of a root and a subordinate CA with these extensions and names.
    fn verdict(
        root: Vec<Extension>,
        subordinate: Vec<Extension>,
        [root_name, name]: [&'static str; 2],
    ) -> String {
        let root = Foreign::root(root_name, root);
        let authority = Authority::try_from(root.issue(name, subordinate).record(&root));
        match authority.and_then(|it| it.check(Usage::Device, NOW, NOW.plus(1))) {
            Ok(()) => "good".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_chain_that_verifiers_refuse_is_not_set_up() {
        const NAMES: [&str; 2] = ["Root", "Sub"];
        let (one, two) = (b"root's key".as_slice(), b"sub's key".as_slice());
        let with = |base: &[Extension], more: &[Extension]| [base, more].concat();
        let root = ca(None, one);
        let sub = with(&ca(Some(0), two), &[purposes(Usage::Device)]);
        let policies = raw("2.5.29.32", true, "300a3008060667810c010201");
        for (root, sub, expected) in [
            (root.clone(), sub.clone(), "good"),
            (ca(Some(1), one), with(&sub, &[issuer(one)]), "good"),
            (with(&root, &[purposes(Usage::Service)]), sub.clone(), "good"),
            (root.clone(), with(&sub, &[policies]), "good"),
            (ca(Some(0), one), sub.clone(), "pathLenConstraint"),
            (root.clone(), with(&sub, &[issuer(two)]), "authorityKeyIdentifier"),
            (with(&root, &[purposes(Usage::Server)]), sub.clone(), "root's lacks"),
            (
                root.clone(),
                with(&sub, &[raw("2.5.29.30", true, NAME_CONSTRAINTS)]),
                "nameConstraints",
            ),
            (
                with(&root, &[raw("2.5.29.30", false, NAME_CONSTRAINTS)]),
                sub.clone(),
                "the root: it has nameConstraints",
            ),
            // policyConstraints: an explicit policy is required.
            (with(&root, &[raw("2.5.29.36", true, "3003800100")]), sub.clone(), "2.5.29.36"),
            (root.clone(), with(&sub, &[raw("1.2.3.4", true, "0500")]), "1.2.3.4"),
            (root.clone(), with(&sub, &[raw("1.2.3.4", false, "0500")]), "good"),
        ] {
            let verdict = verdict(root, sub, NAMES);
            assert!(verdict.contains(expected), "{verdict}, not {expected}");
        }
        let verdict = verdict(root, sub, ["Root", "Root"]);
        assert!(verdict.contains("its subject is that of its root"), "{verdict}");
    }
}
