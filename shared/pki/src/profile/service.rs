//! Brokers and the services around them: what an operator vouches for.

use std::fmt;

use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use der::asn1::ObjectIdentifier;
use serde::{Deserialize, Serialize};
use x509_cert::ext::pkix::SubjectAltName;

use super::usage::Usage;
use crate::names::Host;

/// Of a service's certificate: the CA/Browser Forum's limit for servers, which clients on phones and
/// desktops hold too.
pub const LONGEST_VALIDITY_DAYS: u32 = 397;

/// The side on which a service speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It is connected to: a broker.
    Server,
    /// It connects: a bridge, a back end.
    Client,
    /// Both, with one certificate: a node of a cluster among its peers.
    Peer,
}

impl Role {
    /// The CA that its certificates come from.
    ///
    /// Clients and peers have one of their own: the CA for servers is limited to `serverAuth`, which
    /// is what keeps its certificates from opening any broker, and with the CA for devices nobody
    /// but a function may sign.
    #[must_use]
    pub fn usage(self) -> Usage {
        match self {
            Self::Server => Usage::Server,
            Self::Client | Self::Peer => Usage::Service,
        }
    }

    /// Its extended key usage (RFC 5280, section 4.2.1.12).
    #[must_use]
    pub fn key_purposes(self) -> &'static [ObjectIdentifier] {
        match self {
            Self::Server => &[ID_KP_SERVER_AUTH],
            Self::Client => &[ID_KP_CLIENT_AUTH],
            Self::Peer => &[ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH],
        }
    }

    /// The role that has this extended key usage.
    #[must_use]
    pub fn with_purposes(purposes: &[ObjectIdentifier]) -> Option<Self> {
        let mut all = [Self::Server, Self::Client, Self::Peer].into_iter();
        all.find(|role| role.key_purposes() == purposes)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Peer => "peer",
        })
    }
}

/// Whom a service's certificate names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    role: Role,
    common_name: Host,
    names: Vec<Host>,
}

/// Names that make no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The same name twice.
    #[error("a name or an address is given twice")]
    Twice,
    /// A server that nobody could find.
    #[error("a server needs a DNS name or an IP address by which clients reach it")]
    Nameless,
}

impl Service {
    /// A service with these alternative names. Clients look for a server's names there and nowhere
    /// else (RFC 9525, section 6.1); a client may do without.
    ///
    /// # Errors
    /// When a name is there twice, or a server has none.
    pub fn new(role: Role, common_name: Host, names: Vec<Host>) -> Result<Self, ServiceError> {
        for (place, name) in names.iter().enumerate() {
            if names[..place].contains(name) {
                return Err(ServiceError::Twice);
            }
        }
        if role != Role::Client && names.is_empty() {
            return Err(ServiceError::Nameless);
        }
        Ok(Self { role, common_name, names })
    }

    /// What it does.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its common name, and its name on the ledger. Some brokers take a client's for a user name.
    #[must_use]
    pub fn common_name(&self) -> &Host {
        &self.common_name
    }

    /// Its alternative names.
    #[must_use]
    pub fn names(&self) -> &[Host] {
        &self.names
    }

    pub(crate) fn alternative_names(&self) -> der::Result<Option<SubjectAltName>> {
        if self.names.is_empty() {
            return Ok(None);
        }
        let names = self.names.iter().map(Host::general_name).collect::<der::Result<_>>()?;
        Ok(Some(SubjectAltName(names)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_does_without_names() {
        let host: Host = "bridge.example.com".parse().unwrap();
        let with = |role, names| Service::new(role, host.clone(), names);
        assert!(with(Role::Client, vec![]).is_ok());
        assert_eq!(with(Role::Server, vec![]), Err(ServiceError::Nameless));
        assert_eq!(with(Role::Peer, vec![]), Err(ServiceError::Nameless));
        let twice = vec![host.clone(), host.clone()];
        assert_eq!(with(Role::Client, twice), Err(ServiceError::Twice));
    }

    #[test]
    fn a_role_is_told_by_its_purposes() {
        for role in [Role::Server, Role::Client, Role::Peer] {
            assert_eq!(Role::with_purposes(role.key_purposes()), Some(role));
            let of_its_ca = role.usage().key_purposes();
            assert!(role.key_purposes().iter().all(|purpose| of_its_ca.contains(purpose)));
        }
        assert_eq!(Role::with_purposes(&[]), None);
    }
}
