//! The kinds of leaf certificate, each with a subordinate CA of its own.

use std::fmt;

use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use der::asn1::ObjectIdentifier;

/// What a subordinate CA may issue, through its extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Identities of devices: TLS clients.
    Device,
    /// Identities of brokers and services: TLS servers.
    Server,
    /// Identities of services that are TLS clients too, of brokers or of each other.
    Service,
}

impl Usage {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Device, Self::Server, Self::Service];

    /// Its name, which the names of its CAs begin with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Server => "server",
            Self::Service => "service",
        }
    }

    /// The extended key usage of the CA (RFC 5280, section 4.2.1.12), which limits its leaves'.
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
