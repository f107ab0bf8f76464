//! The deny list: the devices that are revoked or on hold. Brokers end their sessions, which a CRL
//! cannot do.

use std::fmt::Write as _;

use bytes::Bytes;
use pki::{crl::denied_digest, hex, names::DeviceId};

/// The deny list.
pub(crate) struct DenyList {
    /// The published text: one id per line.
    pub(crate) text: Bytes,
    /// The SHA-256 of the text, which the CRL contains.
    pub(crate) digest: [u8; 32],
    devices: Vec<DeviceId>,
}

impl DenyList {
    /// Lists `devices`, which are sorted.
    pub(crate) fn new(devices: Vec<DeviceId>) -> Self {
        let mut text = String::new();
        for device in &devices {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{device}");
        }
        Self { digest: denied_digest(text.as_bytes()), text: text.into(), devices }
    }

    /// Returns the digest in lower-case hex.
    pub(crate) fn digest_hex(&self) -> String {
        hex(&self.digest)
    }

    /// Returns rules for mosquitto's `acl_file` that deny the devices every topic.
    pub(crate) fn mosquitto_rules(&self) -> String {
        let mut rules = String::new();
        for device in &self.devices {
            let _ = writeln!(rules, "user {device}");
            // A leading wildcard does not match topics that begin with $ (MQTT 3.1.1, 4.7.2).
            for topic in ["#", "$SYS/#", "$CONTROL/#"] {
                let _ = writeln!(rules, "topic deny {topic}");
            }
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_id_per_line_and_ends_every_line() {
        let ids: Vec<DeviceId> = ["1", "a"]
            .map(|last| format!("dev_000000000000000000000{last}").parse().unwrap())
            .into();
        let denied = DenyList::new(ids.clone());
        assert_eq!(denied.text, format!("{}\n{}\n", ids[0], ids[1]));
        let everything = "topic deny #\ntopic deny $SYS/#\ntopic deny $CONTROL/#\n";
        assert!(denied.mosquitto_rules().ends_with(&format!("user {}\n{everything}", ids[1])));
        let none = DenyList::new(Vec::new());
        assert!(none.text.is_empty() && none.mosquitto_rules().is_empty());
        // The SHA-256 of the empty string.
        assert!(none.digest_hex().starts_with("e3b0c44298fc1c14"));
    }
}
