//! The usages of leaf certificates, each with its own subordinate CA.

use std::fmt;

use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use der::asn1::ObjectIdentifier;

/// The kind of certificates that a subordinate CA may issue, which its extended key usage enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Certificates of devices, which are TLS clients.
    Device,
    /// Certificates of brokers and services that are TLS servers only.
    Server,
    /// Certificates of services that are TLS clients, or both clients and servers.
    Service,
}

impl Usage {
    /// All usages.
    pub const ALL: [Self; 3] = [Self::Device, Self::Server, Self::Service];

    /// Returns the name, with which the names of its CAs begin.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Server => "server",
            Self::Service => "service",
        }
    }

    /// Returns the extended key usage of the CA (RFC 5280, section 4.2.1.12), which limits that of its
    /// leaves.
    #[must_use]
    pub fn key_purposes(self) -> &'static [ObjectIdentifier] {
        match self {
            Self::Device => &[ID_KP_CLIENT_AUTH],
            Self::Server => &[ID_KP_SERVER_AUTH],
            Self::Service => &[ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH],
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
