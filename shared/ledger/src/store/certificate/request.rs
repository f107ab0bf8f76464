//! Whom certificates are for.

use crate::error::{Error, IssuerFault, Result};
use crate::store::{layout, project::policy::Policy};
use pki::{
    authority::Authority,
    clock::Timestamp,
    key::{KeyKind, KeyKinds},
    profile::{self, Profile, RegistrationCode, Usage},
    token::DeviceToken,
};

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// Whom a certificate is for, and what entitles them to it.
pub enum IssuanceRequest<'a> {
    /// A device, by its token and its project's policy.
    Device {
        /// Believed only when the write's condition on it holds.
        token: &'a DeviceToken,
        /// The policy of the project that the token names.
        policy: &'a Policy,
        /// Who made the key.
        source: KeySource,
    },
    /// A broker or another service, by an operator's word.
    Service {
        /// Which.
        service: &'a pki::profile::Service,
        /// Days until it expires.
        validity_days: u32,
        /// The serial number of the certificate that this one takes the place of, which must be on
        /// the ledger and not revoked.
        renews: Option<&'a str>,
    },
    /// Nobody: it proves to AWS IoT that the device CA is ours, by an operator's word.
    Registration(&'a RegistrationCode),
}

/// Who made a device's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// We did, on P-256.
    Generated,
    /// The device, which never shows it.
    Device,
}

impl IssuanceRequest<'_> {
    pub(crate) fn profile(&self) -> Profile {
        match self {
            Self::Device { token, policy, source } => Profile::Device(profile::Device {
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

    pub(crate) fn usage(&self) -> Usage {
        match self {
            Self::Device { .. } | Self::Registration(_) => Usage::Device,
            Self::Service { service, .. } => service.role().usage(),
        }
    }

    /// When a certificate expires that `authority` issues at `now`. What an operator asks for is what
    /// they get, or an error; a device gets what there is.
    ///
    /// # Errors
    /// When the policy's cap is past.
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

    /// Where its certificates stand on the ledger.
    pub(in crate::store) fn partition(&self) -> String {
        match self {
            Self::Device { token, .. } => layout::ledger(token.subject()),
            Self::Service { service, .. } => layout::service(service.common_name()),
            Self::Registration(code) => layout::registration(code),
        }
    }
}
