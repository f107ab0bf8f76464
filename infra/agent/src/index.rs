//! `ca/index.json`: which CAs there are. Nobody signed it, so it is believed in one direction only: a
//! CA that it names has to prove itself by its certificate, and one that it no longer names stays.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use http::HeaderValue;
use serde::Deserialize;

use crate::transfers::Request;

pub(crate) const PATH: &str = "ca/index.json";
/// Far more than it has.
const LIMIT: usize = 1 << 20;
/// So that nobody fills the disk by it.
const MOST: usize = 100;
/// The name under which the root's own CRL is kept.
pub(crate) const ROOT: &str = "root";

#[derive(Deserialize)]
struct Index {
    authorities: Vec<Listed>,
}

/// A CA, as the index names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// Path of its CRL.
    pub(crate) crl: String,
    /// Path of its certificate.
    pub(crate) certificate: String,
}

pub(crate) fn request(known: Option<HeaderValue>) -> Request {
    Request { path: PATH.to_owned(), known, limit: LIMIT }
}

pub(crate) fn parse(text: &[u8]) -> anyhow::Result<Vec<Listed>> {
    let index: Index = serde_json::from_slice(text).context("not the index of CAs")?;
    let authorities = index.authorities;
    ensure!(!authorities.is_empty(), "it names no CA");
    ensure!(authorities.len() <= MOST, "it names {} CAs", authorities.len());
    let names: BTreeSet<_> = authorities.iter().map(|it| &it.name).collect();
    ensure!(names.len() == authorities.len(), "it names a CA twice");
    for Listed { name, crl, certificate } in &authorities {
        // It becomes a file's name.
        ensure!(is_name(name) && name != ROOT, "{name:?} is no name of a CA");
        for path in [crl, certificate] {
            ensure!(is_path(path), "{path:?} is no path");
        }
    }
    Ok(authorities)
}

pub(crate) fn is_name(text: &str) -> bool {
    let inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    matches!(text.len(), 1..=64) && !text.starts_with('-') && text.bytes().all(inner)
}

/// Below the source, and nowhere else.
pub(crate) fn is_path(text: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"/._-".contains(&it);
    matches!(text.len(), 1..=256)
        && text.bytes().all(allowed)
        && !text.starts_with("//")
        && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_published() {
        let text = r#"{"authorities":[{"name":"device","usage":"device","status":"active",
            "crl":"/crl/device.crl","certificate":"/ca/device.crt"}]}"#;
        let listed = Listed {
            name: "device".into(),
            crl: "/crl/device.crl".into(),
            certificate: "/ca/device.crt".into(),
        };
        assert_eq!(parse(text.as_bytes()).unwrap(), [listed]);
    }

    #[test]
    fn believes_no_name_that_leads_elsewhere() {
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
        let many: Vec<_> = (0..=MOST).map(|it| entry(&format!("ca-{it}"), "/a")).collect();
        assert!(parse(index(&many.join(",")).as_bytes()).is_err());
        for text in ["", "{}", "[]", r#"{"authorities":[]}"#, "<html>"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
