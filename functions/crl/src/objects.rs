//! What is in the bucket, under which names, and how long caches may keep it.

use bytes::Bytes;
use ledger::bucket::Object;

/// The list of all CAs.
pub(crate) const INDEX: &str = "ca/index.json";

/// The denied devices, for people.
pub(crate) const DENIED_DEVICES: &str = "denied/devices.txt";

/// A revocation has to reach verifiers in seconds. A cache that asks again after these gets a 304 as
/// long as nothing changed.
const SHORT: &str = "public, max-age=5";
/// What never changes under its name.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// What changes as CAs are set up.
const HOUR: &str = "public, max-age=3600";

/// `crl/<name>.crl`.
pub(crate) fn crl_key(ca: &str) -> String {
    format!("crl/{ca}.crl")
}

/// A CRL in DER (RFC 2585, section 4.2).
pub(crate) fn crl(ca: &str, der: Bytes) -> Object {
    object(crl_key(ca), "application/pkix-crl", SHORT, der)
}

/// A CRL in DER, with its own address in it.
pub(crate) fn crl_with_address(ca: &str, der: Bytes) -> Object {
    object(format!("crl/{ca}-idp.crl"), "application/pkix-crl", SHORT, der)
}

/// A CRL in PEM.
pub(crate) fn crl_pem(ca: &str, pem: String) -> Object {
    object(format!("crl/{ca}.pem"), "application/x-pem-file", SHORT, pem)
}

/// A CA's certificate in DER (RFC 2585, section 4.1).
pub(crate) fn certificate(ca: &str, der: Vec<u8>) -> Object {
    object(format!("ca/{ca}.crt"), "application/pkix-cert", HOUR, der)
}

/// A CA's certificate and its root's in PEM.
pub(crate) fn chain(ca: &str, pem: String) -> Object {
    object(format!("ca/{ca}.pem"), "application/x-pem-file", HOUR, pem)
}

/// The list of all CAs.
pub(crate) fn index(json: Vec<u8>) -> Object {
    object(INDEX.into(), "application/json", SHORT, json)
}

/// The denied devices, under the digest that a CRL names.
pub(crate) fn denied(digest: &str, file: Bytes) -> Object {
    object(format!("denied/{digest}.txt"), "text/plain", FOREVER, file)
}

/// The denied devices, for people.
pub(crate) fn denied_devices(file: Bytes) -> Object {
    object(DENIED_DEVICES.into(), "text/plain", SHORT, file)
}

/// The denied devices as mosquitto's access rules.
pub(crate) fn denied_rules(file: String) -> Object {
    object("denied/devices.acl".into(), "text/plain", SHORT, file)
}

fn object(
    key: String,
    content_type: &'static str,
    cache_control: &'static str,
    body: impl Into<Bytes>,
) -> Object {
    Object { key, content_type, cache_control, body: body.into() }
}
