//! The encodings in which a secret could leak.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use pki::hex;

/// Octets of a scalar of P-256.
const SCALAR: usize = 32;

/// Returns a text, also encoded in a form or a URL, and its octets.
pub(super) fn of_text(text: &str) -> Vec<Vec<u8>> {
    let mut forms = of_octets(text.as_bytes());
    forms.extend([&text.replace(' ', "+"), &text.replace(' ', "%20")].map(|it| it.as_str().into()));
    forms
}

/// Returns octets raw, in hex, as Rust's `Debug` prints them, and in base64.
fn of_octets(octets: &[u8]) -> Vec<Vec<u8>> {
    let debug = format!("{octets:?}");
    let mut forms = within_base64(octets);
    forms.push(octets.to_vec());
    forms.push(hex(octets).into_bytes());
    forms.push(hex(octets).to_uppercase().into_bytes());
    forms.push(debug.trim_matches(['[', ']']).into());
    forms
}

/// Returns the private scalar of a P-256 key, and the part of the scalar that begins a line of its PEM
/// as a text, which may be encoded again.
pub(super) fn of_key(pem: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let der = pem_body(pem)?;
    // ECPrivateKey, RFC 5915: version 1, then the scalar.
    let start = [2, 1, 1, 4, SCALAR as u8];
    let at = der.windows(start.len()).position(|it| it == start).context("not a P-256 key")?;
    let scalar = der.get(at + start.len()..).and_then(|rest| rest.get(..SCALAR));
    let scalar = scalar.context("a whole scalar")?;
    let mut forms = of_octets(scalar);
    // A line has 64 characters, for 48 octets. The scalar ends within the second.
    let body: Vec<_> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let ends = (at + start.len() + SCALAR).checked_sub(48).context("a shorter header")?;
    ensure!(ends >= 12, "another format");
    let line = body.get(1).and_then(|line| line.get(..ends / 3 * 4)).context("a second line")?;
    forms.extend(of_text(line));
    Ok(forms)
}

/// Returns the octets that base64 of a longer content has for this part of it, wherever the part
/// begins, in both alphabets.
fn within_base64(part: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let padded = [&vec![0; before], part].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = engine.encode(&padded);
            // Without the characters that depend on what comes before and after.
            let (skip, end) = ([0, 2, 3][before], padded.len() * 8 / 6);
            forms.push(text.as_bytes()[skip..end].to_vec());
        }
    }
    forms
}

/// Returns the octets of a PEM block.
pub(super) fn pem_body(pem: &str) -> anyhow::Result<Vec<u8>> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    Ok(STANDARD.decode(body)?)
}

#[cfg(test)]
pub(super) fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}
