//! The devices that are revoked or on hold: brokers end their sessions, which no CRL does.

use std::fmt::Write as _;

use bytes::Bytes;
use pki::{crl::denied_digest, hex, names::DeviceId};

/// The denied devices, as they are published.
pub(crate) struct Denied {
    /// An id a line.
    pub(crate) file: Bytes,
    /// Of the file; what the CRL names.
    pub(crate) digest: [u8; 32],
    devices: Vec<DeviceId>,
}

impl Denied {
    /// The list of these devices, which are sorted.
    pub(crate) fn new(devices: Vec<DeviceId>) -> Self {
        let mut file = String::new();
        for device in &devices {
            // Writing to a String cannot fail.
            let _ = writeln!(file, "{device}");
        }
        Self { digest: denied_digest(file.as_bytes()), file: file.into(), devices }
    }

    /// The digest in lower-case hex, as in the file's name.
    pub(crate) fn name(&self) -> String {
        hex(&self.digest)
    }

    /// What denies them everything in mosquitto's `acl_file`.
    pub(crate) fn rules(&self) -> String {
        let mut rules = String::new();
        for device in &self.devices {
            let _ = writeln!(rules, "user {device}");
            // A wildcard at the beginning matches no topic that begins with $ (MQTT 3.1.1, 4.7.2).
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
    fn an_id_a_line_and_each_line_ended() {
        let ids: Vec<DeviceId> = ["1", "a"]
            .map(|last| format!("dev_000000000000000000000{last}").parse().unwrap())
            .into();
        let denied = Denied::new(ids.clone());
        assert_eq!(denied.file, format!("{}\n{}\n", ids[0], ids[1]));
        let everything = "topic deny #\ntopic deny $SYS/#\ntopic deny $CONTROL/#\n";
        assert!(denied.rules().ends_with(&format!("user {}\n{everything}", ids[1])));
        let none = Denied::new(Vec::new());
        assert!(none.file.is_empty() && none.rules().is_empty());
        // Of nothing at all.
        assert!(none.name().starts_with("e3b0c44298fc1c14"));
    }
}
