//! The contents of each kind of certificate: a strict subset of RFC 5280.

use der::{asn1::ObjectIdentifier, flagset::FlagSet};
use x509_cert::{
    ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectAltName},
    name::Name,
};

use super::{
    registration::RegistrationCode,
    service::{MAX_VALIDITY_DAYS, Service},
    usage::Usage,
};
use crate::{
    key::KeyKinds,
    names::{self, DeviceId, Organization},
    signing::KEY_KIND,
};

/// A certificate profile: the purpose of a certificate, which determines every field but the serial
/// number, the dates and the keys.
#[derive(Clone, Debug)]
pub enum Profile {
    /// The self-signed root CA.
    Root {
        /// The subject.
        subject: Name,
    },
    /// A subordinate CA, which issues leaf certificates of one usage and no CA certificates.
    Subordinate {
        /// The subject.
        subject: Name,
        /// The usage of the leaf certificates.
        usage: Usage,
    },
    /// A device's birth certificate.
    Device(Device),
    /// A certificate of a broker or another service.
    Service(Service),
    /// A proof of ownership of a CA for AWS IoT, with a key that is discarded.
    Registration(RegistrationCode),
}

/// The subject of a device's certificate, and the kinds of keys that it may have.
#[derive(Clone, Debug)]
pub struct Device {
    /// The device id, which is the common name.
    pub id: DeviceId,
    /// The organization that owns the device, if the project names one.
    pub organization: Option<Organization>,
    /// The allowed kinds of keys.
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

    /// Returns `basicConstraints` (RFC 5280, section 4.2.1.9). A subordinate CA has no CA below it.
    pub(crate) fn basic_constraints(&self) -> BasicConstraints {
        let (ca, path_len_constraint) = match self {
            Self::Root { .. } => (true, None),
            Self::Subordinate { .. } => (true, Some(0)),
            Self::Device(_) | Self::Service(_) | Self::Registration(_) => (false, None),
        };
        BasicConstraints { ca, path_len_constraint }
    }

    /// Returns the allowed kinds of keys.
    pub(crate) fn key_kinds(&self) -> KeyKinds {
        match self {
            Self::Device(device) => device.key_kinds.clone(),
            Self::Root { .. }
            | Self::Subordinate { .. }
            | Self::Service(_)
            | Self::Registration(_) => KeyKinds::only(KEY_KIND),
        }
    }

    /// Returns `keyUsage` (RFC 5280, section 4.2.1.3). A leaf's key only signs, even an RSA key: TLS 1.3,
    /// and TLS 1.2 with ephemeral Diffie-Hellman, need nothing else.
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

    /// Returns `extKeyUsage` (RFC 5280, section 4.2.1.12). In a subordinate CA it constrains the leaves: a
    /// broker that trusts only the root still refuses a "device" certificate issued by the server CA.
    pub(crate) fn key_purposes(&self) -> Option<&'static [ObjectIdentifier]> {
        match self {
            Self::Root { .. } => None,
            Self::Subordinate { usage, .. } => Some(usage.key_purposes()),
            Self::Device(_) | Self::Registration(_) => Some(Usage::Device.key_purposes()),
            Self::Service(service) => Some(service.role().key_purposes()),
        }
    }

    /// Returns `subjectAltName` (RFC 5280, section 4.2.1.6). A device's certificate has none: with a DNS
    /// name, it could pose as a broker to clients that do not check the extended key usage.
    pub(crate) fn alternative_names(&self) -> der::Result<Option<SubjectAltName>> {
        match self {
            Self::Service(service) => service.alternative_names(),
            Self::Root { .. }
            | Self::Subordinate { .. }
            | Self::Device(_)
            | Self::Registration(_) => Ok(None),
        }
    }

    /// Returns the longest validity in seconds, if the profile limits it. Operators choose that of CAs and
    /// devices.
    pub(crate) fn max_validity(&self) -> Option<u64> {
        const DAY: u64 = 24 * 60 * 60;
        match self {
            Self::Root { .. } | Self::Subordinate { .. } | Self::Device(_) => None,
            Self::Service(_) => Some(u64::from(MAX_VALIDITY_DAYS) * DAY),
            Self::Registration(_) => Some(DAY),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        matches!(self, Self::Root { .. })
    }
}
