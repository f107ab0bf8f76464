//! PEM and base64 of CSRs.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{fault::CsrError, private_key::refuse_private_key};
use crate::pem::{BEGIN, BlockFault, only_block};

pub(super) const LABEL: &str = "CERTIFICATE REQUEST";
/// The label that old tools write (RFC 7468, section 7).
const OLD_LABEL: &str = "NEW CERTIFICATE REQUEST";

/// Decodes the PEM of a CSR (RFC 7468, section 7), with lines of any length, to DER.
///
/// # Errors
/// If there is not exactly one block, its label is not that of a CSR, or its content is not base64. If the
/// text contains a private key, whatever else it contains.
pub fn decode_pem(text: &str) -> Result<Vec<u8>, CsrError> {
    refuse_private_key(text.as_bytes())?;
    let block = only_block(text).map_err(|fault| match fault {
        BlockFault::None => CsrError::Form("the CSR is not PEM"),
        BlockFault::Several => {
            CsrError::Form("the CSR is not the only PEM block: send the CSR and nothing else")
        }
    })?;
    let labels = [LABEL, OLD_LABEL].into_iter();
    let mut labeled = labels.filter_map(|label| Some((label, content(block, label)?)));
    let Some((label, content)) = labeled.next() else {
        return Err(CsrError::Form("the PEM label is not CERTIFICATE REQUEST"));
    };
    let Some((base64, after)) = content.split_once(&format!("-----END {label}-----")) else {
        return Err(CsrError::Form("the CSR is not PEM: it has no END line"));
    };
    if !after.trim_ascii().is_empty() {
        return Err(CsrError::Form("the CSR has more text after the END line"));
    }
    decode_base64(base64)
}

/// Returns what follows the BEGIN line of a block with this label.
fn content<'a>(block: &'a str, label: &str) -> Option<&'a str> {
    block.strip_prefix(BEGIN)?.strip_prefix(label)?.strip_prefix("-----")
}

/// Decodes the base64 of a CSR, with or without line breaks, to DER.
///
/// # Errors
/// If the text is not base64.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, CsrError> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(bytes).map_err(|_| CsrError::Form("the CSR is not base64"))
}
