//! Brokers and the services around them, whose names an operator approves.

use std::fmt;

use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use der::asn1::ObjectIdentifier;
use serde::{Deserialize, Serialize};
use x509_cert::ext::pkix::SubjectAltName;

use super::usage::Usage;
use crate::names::Host;

/// The longest validity of a service's certificate, in days. It is the limit of the CA/Browser Forum for
/// servers, which clients on phones and desktops enforce.
pub const MAX_VALIDITY_DAYS: u32 = 397;

/// The role of a service in TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Accepts connections, as a broker does.
    Server,
    /// Opens connections, as a bridge or a back end does.
    Client,
    /// Does both with one certificate, as a node of a cluster does.
    Peer,
}

impl Role {
    /// Returns the usage of the CA that issues the role's certificates.
    ///
    /// Clients and peers have a CA of their own. The server CA is limited to `serverAuth`, so that its
    /// certificates cannot connect to brokers. Only a Lambda function may sign with the device CA.
    #[must_use]
    pub fn usage(self) -> Usage {
        match self {
            Self::Server => Usage::Server,
            Self::Client | Self::Peer => Usage::Service,
        }
    }

    /// Returns the extended key usage (RFC 5280, section 4.2.1.12).
    #[must_use]
    pub fn key_purposes(self) -> &'static [ObjectIdentifier] {
        match self {
            Self::Server => &[ID_KP_SERVER_AUTH],
            Self::Client => &[ID_KP_CLIENT_AUTH],
            Self::Peer => &[ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH],
        }
    }

    /// Returns the role with this extended key usage, if there is one.
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

/// The names in a service's certificate, and its role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    role: Role,
    common_name: Host,
    names: Vec<Host>,
}

/// The error for names that a service cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidService {
    /// A name or an address occurs twice.
    #[error("a name or an address is given twice")]
    DuplicateName,
    /// A server has no name by which clients could reach it.
    #[error("a server needs a DNS name or an IP address by which clients reach it")]
    NoName,
}

impl Service {
    /// Creates a service with these alternative names. Clients look for a server's names only there (RFC
    /// 9525, section 6.1); a client needs none.
    ///
    /// # Errors
    /// If a name occurs twice, or a server or a peer has none.
    pub fn new(role: Role, common_name: Host, names: Vec<Host>) -> Result<Self, InvalidService> {
        for (place, name) in names.iter().enumerate() {
            if names[..place].contains(name) {
                return Err(InvalidService::DuplicateName);
            }
        }
        if role != Role::Client && names.is_empty() {
            return Err(InvalidService::NoName);
        }
        Ok(Self { role, common_name, names })
    }

    /// Returns the role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the common name, which is also the name in the ledger. Some brokers use a client's common
    /// name as its user name.
    #[must_use]
    pub fn common_name(&self) -> &Host {
        &self.common_name
    }

    /// Returns the alternative names.
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
    fn only_a_client_needs_no_names() {
        let host: Host = "bridge.example.com".parse().unwrap();
        let with = |role, names| Service::new(role, host.clone(), names);
        assert!(with(Role::Client, vec![]).is_ok());
        assert_eq!(with(Role::Server, vec![]), Err(InvalidService::NoName));
        assert_eq!(with(Role::Peer, vec![]), Err(InvalidService::NoName));
        let twice = vec![host.clone(), host.clone()];
        assert_eq!(with(Role::Client, twice), Err(InvalidService::DuplicateName));
    }

    #[test]
    fn reads_as_it_is_stored() {
        let [name, other] = ["n1.example.com", "192.0.2.7"].map(|it| it.parse::<Host>().unwrap());
        let service = Service::new(Role::Peer, name.clone(), vec![name.clone(), other.clone()]);
        let service = service.unwrap();
        assert_eq!((service.role(), service.common_name()), (Role::Peer, &name));
        assert_eq!(service.names(), [name, other]);
        let stored = serde_json::to_string(&service).unwrap();
        assert_eq!(serde_json::from_str::<Service>(&stored).unwrap(), service);
        for role in [Role::Server, Role::Client, Role::Peer] {
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
    }

    #[test]
    fn a_role_follows_from_its_purposes() {
        for role in [Role::Server, Role::Client, Role::Peer] {
            assert_eq!(Role::with_purposes(role.key_purposes()), Some(role));
            let of_its_ca = role.usage().key_purposes();
            assert!(role.key_purposes().iter().all(|purpose| of_its_ca.contains(purpose)));
        }
        assert_eq!(Role::with_purposes(&[]), None);
    }
}
