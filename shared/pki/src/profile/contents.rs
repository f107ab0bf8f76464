//! What each kind of certificate contains: RFC 5280, as narrow as it goes.

use der::{asn1::ObjectIdentifier, flagset::FlagSet};
use x509_cert::{
    ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectAltName},
    name::Name,
};

use super::{
    registration::RegistrationCode,
    service::{LONGEST_VALIDITY_DAYS, Service},
    usage::Usage,
};
use crate::{
    key::KeyKinds,
    names::{self, DeviceId, Organization},
    signing::KEY_KIND,
};

/// What a certificate is for, and so everything in it that is not a number, a date or a key.
#[derive(Clone, Debug)]
pub enum Profile {
    /// The self-signed root.
    Root {
        /// Its name.
        subject: Name,
    },
    /// A CA below the root that issues leaves of one usage and no CA.
    Subordinate {
        /// Its name.
        subject: Name,
        /// Of what its leaves are.
        usage: Usage,
    },
    /// A device's birth certificate.
    Device(Device),
    /// The certificate of a broker or another service.
    Service(Service),
    /// A proof to AWS IoT that a CA is ours, with a key that nobody keeps.
    Registration(RegistrationCode),
}

/// What a device's certificate says of it, and what key it may have.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its common name.
    pub id: DeviceId,
    /// Whose device it is, if its project says so.
    pub organization: Option<Organization>,
    /// The kinds of which its key may be one.
    pub key_kinds: KeyKinds,
}

impl Profile {
    pub(crate) fn subject(&self) -> der::Result<Name> {
        match self {
            Self::Root { subject } | Self::Subordinate { subject, .. } => Ok(subject.clone()),
            Self::Device(device) => {
                let organization = device.organization.as_ref().map(Organization::as_str);
                names::distinguished(&device.id.to_string(), organization)
            }
            Self::Service(service) => {
                names::distinguished(&service.common_name().to_string(), None)
            }
            Self::Registration(code) => names::distinguished(code.as_str(), None),
        }
    }

    /// RFC 5280, section 4.2.1.9: a subordinate of ours has no CA below it.
    pub(crate) fn basic_constraints(&self) -> BasicConstraints {
        let (ca, path_len_constraint) = match self {
            Self::Root { .. } => (true, None),
            Self::Subordinate { .. } => (true, Some(0)),
            Self::Device(_) | Self::Service(_) | Self::Registration(_) => (false, None),
        };
        BasicConstraints { ca, path_len_constraint }
    }

    /// The kinds of which the key may be one.
    pub(crate) fn key_kinds(&self) -> KeyKinds {
        match self {
            Self::Device(device) => device.key_kinds.clone(),
            Self::Root { .. }
            | Self::Subordinate { .. }
            | Self::Service(_)
            | Self::Registration(_) => KeyKinds::only(KEY_KIND),
        }
    }

    /// RFC 5280, section 4.2.1.3. A leaf's key only ever signs: so it is in TLS 1.3, and in TLS 1.2 with
    /// ephemeral Diffie-Hellman, for RSA keys too.
    pub(crate) fn key_usage(&self) -> KeyUsage {
        KeyUsage(match self {
            Self::Root { .. } | Self::Subordinate { .. } => {
                KeyUsages::KeyCertSign | KeyUsages::CRLSign
            }
            Self::Device(_) | Self::Service(_) | Self::Registration(_) => {
                FlagSet::from(KeyUsages::DigitalSignature)
            }
        })
    }

    /// RFC 5280, section 4.2.1.12. In a subordinate it constrains the leaves below: a broker that
    /// trusts only the root still refuses a "device" that the server CA made.
    pub(crate) fn key_purposes(&self) -> Option<&'static [ObjectIdentifier]> {
        match self {
            Self::Root { .. } => None,
            Self::Subordinate { usage, .. } => Some(usage.key_purposes()),
            Self::Device(_) | Self::Registration(_) => Some(Usage::Device.key_purposes()),
            Self::Service(service) => Some(service.role().key_purposes()),
        }
    }

    /// RFC 5280, section 4.2.1.6. Never in a device's certificate: with a DNS name it could pose as
    /// a broker to clients that do not check the extended key usage.
    pub(crate) fn alternative_names(&self) -> der::Result<Option<SubjectAltName>> {
        match self {
            Self::Service(service) => service.alternative_names(),
            Self::Root { .. }
            | Self::Subordinate { .. }
            | Self::Device(_)
            | Self::Registration(_) => Ok(None),
        }
    }

    /// In seconds, from when it is made; those of CAs and devices are for operators to choose.
    pub(crate) fn longest_validity(&self) -> Option<u64> {
        const DAY: u64 = 24 * 60 * 60;
        match self {
            Self::Root { .. } | Self::Subordinate { .. } | Self::Device(_) => None,
            Self::Service(_) => Some(u64::from(LONGEST_VALIDITY_DAYS) * DAY),
            Self::Registration(_) => Some(DAY),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        matches!(self, Self::Root { .. })
    }
}
