//! Hosts of services: DNS names and IP addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use der::asn1::Ia5String;
use serde::{Deserialize, Serialize};
use x509_cert::ext::pkix::name::GeneralName;

/// A DNS name or an IP address.
///
/// A host has no underscore, which every device id has, and none of the special characters of MQTT topics
/// (`+ # /`). A broker can therefore use it as a user name and insert it in an access rule: it never
/// matches a device's topics or acts as a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Host {
    /// A DNS name, in lower case.
    Dns(String),
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
}

/// The error for a text that is neither a DNS name nor an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a DNS name nor an IP address")]
pub struct InvalidHost;

impl Host {
    /// Parses a DNS name in the preferred syntax of RFC 1034, section 3.5, which RFC 5280, section
    /// 4.2.1.6, requires. Wildcards are refused. A name has at most 64 characters, because it may also be
    /// the common name (`ub-common-name`).
    ///
    /// # Errors
    /// If `name` is not a DNS name. An IP address is not one.
    pub fn dns(name: &str) -> Result<Self, InvalidHost> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_name = name.len() <= 64 && name.split('.').all(is_label);
        // Clients look for an IP address in `iPAddress` only.
        if !is_name || name.parse::<IpAddr>().is_ok() {
            return Err(InvalidHost);
        }
        Ok(Self::Dns(name.to_ascii_lowercase()))
    }

    pub(crate) fn general_name(&self) -> der::Result<GeneralName> {
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(Ia5String::new(name)?),
            Self::Ip(address) => GeneralName::from(*address),
        })
    }
}

impl TryFrom<&GeneralName> for Host {
    type Error = InvalidHost;

    fn try_from(name: &GeneralName) -> Result<Self, InvalidHost> {
        match name {
            GeneralName::DnsName(name) => Self::dns(name.as_str()),
            GeneralName::IpAddress(octets) => {
                let octets = octets.as_bytes();
                if let Ok(four) = <[u8; 4]>::try_from(octets) {
                    return Ok(Self::Ip(four.into()));
                }
                let sixteen = <[u8; 16]>::try_from(octets).map_err(|_| InvalidHost)?;
                Ok(Self::Ip(sixteen.into()))
            }
            _ => Err(InvalidHost),
        }
    }
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        text.parse().map(Self::Ip).or_else(|_| Self::dns(text))
    }
}

impl TryFrom<String> for Host {
    type Error = InvalidHost;

    fn try_from(text: String) -> Result<Self, InvalidHost> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.pad(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_hosts_and_refuses_the_rest() {
        for name in ["localhost", "broker-1.example.com", "3com.example"] {
            assert_eq!(name.parse(), Ok(Host::Dns(name.into())), "{name}");
        }
        assert_eq!("Broker.Example".parse(), Ok(Host::Dns("broker.example".into())));
        for name in ["", ".", "a..b", "*.example.com", "-a.b", "a_b", "é.example", "a b", "a.b."] {
            assert_eq!(name.parse::<Host>(), Err(InvalidHost), "{name}");
        }
        // Labels of 63 and 64 characters, and names of 64 and 65.
        let label = "a".repeat(63);
        for (name, is_name) in [
            (label.clone(), true),
            (format!("a{label}"), false),
            (format!("{}.bc", &label[2..]), true),
            (format!("{}.bcd", &label[2..]), false),
        ] {
            assert_eq!(Host::dns(&name).is_ok(), is_name, "{name}");
        }
        assert_eq!("0:0::1".parse::<Host>().map(|host| host.to_string()), Ok("::1".into()));
        assert_eq!(Host::dns("127.0.0.1"), Err(InvalidHost));
    }

    #[test]
    fn is_never_a_device_or_a_wildcard() {
        for name in ["dev_0123456789ABCDEFGHIJKL", "dev_x", "+", "#", "a/b", "$SYS", ">", "*"] {
            assert_eq!(name.parse::<Host>(), Err(InvalidHost), "{name}");
        }
    }

    #[test]
    fn goes_through_a_certificate_unchanged() {
        for name in ["mqtt.example.com", "192.0.2.1", "2001:db8::1"] {
            let host: Host = name.parse().unwrap();
            assert_eq!(Host::try_from(&host.general_name().unwrap()), Ok(host));
        }
    }
}
