//! Requests for certificates.

use pki::{
    authority::Authority,
    clock::Timestamp,
    key::{KeyKind, KeyKinds},
    profile::{self, Profile, RegistrationCode, Usage},
    token::DeviceToken,
};

use crate::{
    error::{Error, IssuerFault, Result},
    store::{certificate::arrival::Arrival, layout, project::policy::Policy},
};

/// One day, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// A request for a certificate: the subject, and what authorizes the issuance.
pub enum IssuanceRequest<'a> {
    /// For a device, authorized by its token and its project's policy.
    Device {
        /// The device token, which [`issue`](crate::issue()) authenticates.
        token: &'a DeviceToken,
        /// The policy of the project that the token names.
        policy: &'a Policy,
        /// The generator of the key.
        source: KeySource,
        /// The time at which the request arrived, before or after others of the device.
        arrival: Arrival,
    },
    /// For a broker or another service, authorized by an operator.
    Service {
        /// The subject.
        service: &'a pki::profile::Service,
        /// Days until the certificate expires.
        validity_days: u32,
        /// Serial number of the certificate that this one renews, which must be on the ledger and not
        /// revoked.
        renews: Option<&'a str>,
    },
    /// For the registration of the device CA with AWS IoT, authorized by an operator. The certificate
    /// proves possession of the CA's key.
    Registration(&'a RegistrationCode),
}

/// The generator of a device's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The function `identity` generated the key, on P-256.
    Generated,
    /// The device generated the key. The private key never leaves the device.
    Device,
}

impl IssuanceRequest<'_> {
    /// Returns the profile of the certificate.
    pub(crate) fn profile(&self) -> Profile {
        match self {
            Self::Device { token, policy, source, .. } => Profile::Device(profile::Device {
                id: token.subject(),
                organization: policy.terms().organization.clone(),
                key_kinds: match source {
                    KeySource::Generated => KeyKinds::only(KeyKind::P256),
                    KeySource::Device => policy.terms().key_kinds.clone(),
                },
            }),
            Self::Service { service, .. } => Profile::Service((*service).clone()),
            Self::Registration(code) => Profile::Registration((*code).clone()),
        }
    }

    /// Returns the usage of the CA that must issue the certificate.
    pub(crate) fn usage(&self) -> Usage {
        match self {
            Self::Device { .. } | Self::Registration(_) => Usage::Device,
            Self::Service { service, .. } => service.role().usage(),
        }
    }

    /// Returns the expiry of a certificate that `authority` issues at `now`.
    ///
    /// A device's certificate is shortened to the policy's cap and the CA's expiry. An operator's request is
    /// not shortened: the issuance fails if the CA expires earlier.
    ///
    /// # Errors
    /// If the policy's cap is past.
    pub(crate) fn not_after(&self, authority: &Authority, now: Timestamp) -> Result<Timestamp> {
        match self {
            Self::Device { policy, .. } => {
                let not_after = policy.not_after(now, authority.not_after());
                if not_after <= now {
                    return Err(Error::Issuer {
                        name: authority.name().to_string(),
                        fault: IssuerFault::CapPassed { cap: not_after },
                    });
                }
                Ok(not_after)
            }
            Self::Service { validity_days, .. } => Ok(now.plus(u64::from(*validity_days) * DAY)),
            Self::Registration(_) => Ok(now.plus(DAY)),
        }
    }

    /// Returns the partition of the ledger that the certificate belongs in.
    pub(crate) fn partition(&self) -> String {
        match self {
            Self::Device { token, .. } => layout::ledger(token.subject()),
            Self::Service { service, .. } => layout::service(service.common_name()),
            Self::Registration(code) => layout::registration(code),
        }
    }
}
