//! The objects in the bucket: key, content type, and cache lifetime.

use bytes::Bytes;
use ledger::bucket::Object;

/// The index of all CAs.
pub(crate) const CA_INDEX: &str = "ca/index.json";

/// The deny list, under a fixed key.
pub(crate) const DENIED_DEVICES: &str = "denied/devices.txt";

/// The denied devices as access rules for mosquitto.
pub(crate) const MOSQUITTO_RULES: &str = "denied/devices.acl";

/// The cache lifetime of objects that have to reach verifiers within seconds. A cache that revalidates gets
/// a 304 as long as nothing changed.
const SHORT: &str = "public, max-age=5";
/// The cache lifetime of objects that never change under their key.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// The cache lifetime of objects that change only when an operator sets up a CA.
const HOUR: &str = "public, max-age=3600";

/// Returns the key of the CRL of `ca`: `crl/<name>.crl`.
pub(crate) fn crl_key(ca: &str) -> String {
    format!("crl/{ca}.crl")
}

/// Returns the key of a CRL with an issuingDistributionPoint.
pub(crate) fn crl_with_distribution_point_key(ca: &str) -> String {
    format!("crl/{ca}-idp.crl")
}

/// Returns the key of a CRL in PEM.
pub(crate) fn crl_pem_key(ca: &str) -> String {
    format!("crl/{ca}.pem")
}

/// Returns the key of the deny list with this digest.
pub(crate) fn denied_devices_key(digest: &str) -> String {
    format!("denied/{digest}.txt")
}

/// A CRL in DER (RFC 2585, section 4.2).
pub(crate) fn crl(ca: &str, der: Bytes) -> Object {
    object(crl_key(ca), "application/pkix-crl", SHORT, der)
}

/// A CRL in DER with an issuingDistributionPoint.
pub(crate) fn crl_with_distribution_point(ca: &str, der: Bytes) -> Object {
    object(crl_with_distribution_point_key(ca), "application/pkix-crl", SHORT, der)
}

/// A CRL in PEM.
pub(crate) fn crl_pem(ca: &str, pem: String) -> Object {
    object(crl_pem_key(ca), "application/x-pem-file", SHORT, pem)
}

/// A CA's certificate in DER (RFC 2585, section 4.1).
pub(crate) fn ca_certificate(ca: &str, der: Vec<u8>) -> Object {
    object(format!("ca/{ca}.crt"), "application/pkix-cert", HOUR, der)
}

/// A CA's certificate and those above it up to the root, in PEM.
pub(crate) fn ca_chain(ca: &str, pem: String) -> Object {
    object(format!("ca/{ca}.pem"), "application/x-pem-file", HOUR, pem)
}

/// The index of all CAs.
pub(crate) fn ca_index(json: Vec<u8>) -> Object {
    object(CA_INDEX.into(), "application/json", SHORT, json)
}

/// The deny list, under the digest that a CRL contains.
pub(crate) fn denied_devices_by_digest(digest: &str, text: Bytes) -> Object {
    object(denied_devices_key(digest), "text/plain", FOREVER, text)
}

/// The deny list, under its fixed key.
pub(crate) fn denied_devices(text: Bytes) -> Object {
    object(DENIED_DEVICES.into(), "text/plain", SHORT, text)
}

/// The denied devices as access rules for mosquitto.
pub(crate) fn mosquitto_rules(rules: String) -> Object {
    object(MOSQUITTO_RULES.into(), "text/plain", SHORT, rules)
}

fn object(
    key: String,
    content_type: &'static str,
    cache_control: &'static str,
    body: impl Into<Bytes>,
) -> Object {
    Object { key, content_type, cache_control, body: body.into() }
}
