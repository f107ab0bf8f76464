//! `ca/index.json`, the list of CAs.
//!
//! The index is unsigned, so it can only add: a CA that it names has to prove itself by its
//! certificate, and a CA that it no longer names stays.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use http::HeaderValue;
use serde::Deserialize;

use super::source::Request;
use crate::ca_name;

pub(crate) const PATH: &str = "ca/index.json";
/// Far more than a full index needs.
const LIMIT: usize = 1 << 20;
/// Keeps a forged index from filling the disk.
const MAX_CAS: usize = 100;

#[derive(Deserialize)]
struct Index {
    authorities: Vec<IndexEntry>,
}

/// A CA's entry in the index.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct IndexEntry {
    pub(crate) name: String,
    /// Path of the CRL.
    pub(crate) crl: String,
    /// Path of the certificate.
    pub(crate) certificate: String,
}

pub(crate) fn request(known: Option<HeaderValue>) -> Request {
    Request { path: PATH.to_owned(), known, limit: LIMIT }
}

pub(crate) fn parse(text: &[u8]) -> anyhow::Result<Vec<IndexEntry>> {
    let index: Index = serde_json::from_slice(text).context("not a valid index of CAs")?;
    let entries = index.authorities;
    ensure!(!entries.is_empty(), "the index names no CA");
    let count = entries.len();
    ensure!(count <= MAX_CAS, "the index names {count} CAs; at most {MAX_CAS} are allowed");
    let names: BTreeSet<_> = entries.iter().map(|it| &it.name).collect();
    ensure!(names.len() == count, "the index names a CA twice");
    for IndexEntry { name, crl, certificate } in &entries {
        let is_valid = ca_name::is_valid(name) && name != ca_name::ROOT;
        ensure!(is_valid, "{name:?} is not a valid CA name");
        for path in [crl, certificate] {
            ensure!(is_path(path), "{path:?} is not a valid path");
        }
    }
    Ok(entries)
}

/// Returns true if the path stays below the source.
fn is_path(text: &str) -> bool {
    let is_allowed = |it: u8| it.is_ascii_alphanumeric() || b"/._-".contains(&it);
    matches!(text.len(), 1..=256)
        && text.bytes().all(is_allowed)
        && !text.starts_with("//")
        && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_published_index() {
        let text = r#"{"authorities":[{"name":"device","usage":"device","status":"active",
            "crl":"/crl/device.crl","certificate":"/ca/device.crt"}]}"#;
        let entry = IndexEntry {
            name: "device".into(),
            crl: "/crl/device.crl".into(),
            certificate: "/ca/device.crt".into(),
        };
        assert_eq!(parse(text.as_bytes()).unwrap(), [entry]);
    }

    #[test]
    fn refuses_names_and_paths_that_lead_elsewhere() {
        let entry = |name: &str, crl: &str| {
            format!(r#"{{"name":"{name}","crl":"{crl}","certificate":"/ca/x.crt"}}"#)
        };
        let index = |entries: &str| format!(r#"{{"authorities":[{entries}]}}"#);
        for name in ["", "a/b", "..", ".x", "root", "Device", "-x", &"a".repeat(65)] {
            assert!(parse(index(&entry(name, "/a")).as_bytes()).is_err(), "{name}");
        }
        for crl in ["", "//host/a", "http://host/a", "/../a", "/a?b", "/a b", "/é"] {
            assert!(parse(index(&entry("device", crl)).as_bytes()).is_err(), "{crl}");
        }
        let twice = [entry("device", "/a"), entry("device", "/b")].join(",");
        assert!(parse(index(&twice).as_bytes()).is_err());
        let many: Vec<_> = (0..=MAX_CAS).map(|it| entry(&format!("ca-{it}"), "/a")).collect();
        assert!(parse(index(&many.join(",")).as_bytes()).is_err());
        for text in ["", "{}", "[]", r#"{"authorities":[]}"#, "<html>"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
