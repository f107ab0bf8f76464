//! Address ranges from which an enrollment token may be used.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// The most ranges of one token. The condition of every enrollment repeats them all.
const MAX_RANGES: usize = 100;

/// An address block in CIDR notation (RFC 4632; RFC 4291, section 2.3). An IPv4-mapped IPv6 block reads as
/// the IPv4 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange(IpNet);

/// The error for a text that is not an address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// The text is neither an address nor an address with a prefix length.
    #[error("not a valid address range: use a form such as 203.0.113.0/24 or 2001:db8::/32")]
    Syntax,
    /// The address has bits beyond the prefix, so one of the two is wrong.
    #[error(
        "not a valid address range: it has bits beyond its prefix; use {0} for the whole range"
    )]
    HostBits(AddressRange),
}

impl AddressRange {
    fn contains(&self, address: &IpAddr) -> bool {
        self.0.contains(address)
    }
}

impl FromStr for AddressRange {
    type Err = InvalidRange;

    /// Parses a block or a single address.
    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let given = match text.parse::<IpNet>() {
            Ok(range) => range,
            Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| InvalidRange::Syntax)?),
        };
        let range = Self(unmapped(given.trunc()));
        if given.addr() == given.network() { Ok(range) } else { Err(InvalidRange::HostBits(range)) }
    }
}

/// Converts an IPv4-mapped block to IPv4: `::ffff:203.0.113.0/120` is `203.0.113.0/24`. A caller matches
/// by its address, however a socket represents it.
fn unmapped(range: IpNet) -> IpNet {
    let IpNet::V6(mapped) = range else {
        return range;
    };
    let prefix = mapped.prefix_len().checked_sub(96);
    let unmapped = mapped.addr().to_ipv4_mapped().zip(prefix);
    unmapped
        .and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok())
        .map_or(range, IpNet::V4)
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidRange;

    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

/// The address ranges of a token: at least one, sorted, without duplicates. Equal sets of ranges are
/// therefore equal values, both in memory and in the condition of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<AddressRange>")]
pub struct AddressRanges(Vec<AddressRange>);

/// The error for no range, or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token must have 1 to {MAX_RANGES} address ranges")]
pub struct InvalidRanges;

impl AddressRanges {
    /// Returns true if the caller is in one of the ranges. A caller without an address is in none.
    #[must_use]
    pub fn admit(&self, caller: Option<IpAddr>) -> bool {
        let caller = caller.map(|address| address.to_canonical());
        caller.is_some_and(|address| self.0.iter().any(|range| range.contains(&address)))
    }

    /// Returns the ranges as text.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(AddressRange::to_string)
    }
}

impl TryFrom<Vec<AddressRange>> for AddressRanges {
    type Error = InvalidRanges;

    fn try_from(mut ranges: Vec<AddressRange>) -> Result<Self, InvalidRanges> {
        ranges.sort();
        ranges.dedup();
        match ranges.len() {
            1..=MAX_RANGES => Ok(Self(ranges)),
            _ => Err(InvalidRanges),
        }
    }
}

impl fmt::Display for AddressRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> AddressRanges {
        let ranges: Vec<AddressRange> = texts.iter().map(|text| text.parse().unwrap()).collect();
        ranges.try_into().unwrap()
    }

    fn admits(texts: &[&str], address: &str) -> bool {
        ranges(texts).admit(Some(address.parse().unwrap()))
    }

    #[test]
    fn a_block_has_its_first_and_last_address_and_no_other() {
        let block = ["203.0.113.64/26"];
        for (address, is_in) in [
            ("203.0.113.63", false),
            ("203.0.113.64", true),
            ("203.0.113.127", true),
            ("203.0.113.128", false),
        ] {
            assert_eq!(admits(&block, address), is_in, "{address}");
        }
        let block = ["2001:db8:1::/48"];
        assert!(admits(&block, "2001:db8:1:ffff:ffff:ffff:ffff:ffff"));
        assert!(!admits(&block, "2001:db8:2::"));
        assert!(!admits(&block, "203.0.113.1"));
    }

    #[test]
    fn mapped_addresses_are_what_they_map() {
        assert!(admits(&["203.0.113.0/24"], "::ffff:203.0.113.7"));
        assert!(admits(&["::ffff:203.0.113.0/120"], "203.0.113.7"));
        assert!(!admits(&["::ffff:203.0.113.0/120"], "203.0.114.7"));
        assert_eq!(ranges(&["::ffff:203.0.113.0/120"]), ranges(&["203.0.113.0/24"]));
        // The whole of IPv6 does not contain IPv4, however the caller's address is written.
        assert!(!admits(&["::/0"], "::ffff:203.0.113.7"));
        assert!(admits(&["0.0.0.0/0"], "203.0.113.7") && admits(&["::/0"], "2001:db8::1"));
    }

    #[test]
    fn a_caller_without_an_address_is_refused() {
        assert!(!ranges(&["0.0.0.0/0", "::/0"]).admit(None));
    }

    #[test]
    fn equal_meaning_is_equal_text() {
        let one = ranges(&["2001:db8::/32", "203.0.113.7", "203.0.113.7/32"]);
        assert_eq!(one, ranges(&["203.0.113.7/32", "2001:DB8:0::/32"]));
        assert_eq!(one.to_string(), "203.0.113.7/32, 2001:db8::/32");
        let stored = serde_json::to_string(&one).unwrap();
        assert_eq!(stored, r#"["203.0.113.7/32","2001:db8::/32"]"#);
        assert_eq!(serde_json::from_str::<AddressRanges>(&stored).unwrap(), one);
    }

    #[test]
    fn mistakes_are_refused() {
        for text in ["", "/24", "203.0.113.0/", "203.0.113.0/33", "::/129", "203.0.113", "host"] {
            assert_eq!(text.parse::<AddressRange>(), Err(InvalidRange::Syntax), "{text}");
        }
        let meant = "203.0.113.0/24".parse().unwrap();
        assert_eq!("203.0.113.7/24".parse::<AddressRange>(), Err(InvalidRange::HostBits(meant)));
        assert!(serde_json::from_str::<AddressRanges>("[]").is_err());
        assert!(AddressRanges::try_from(Vec::new()).is_err());
        let many = (0..=255u8).map(|n| format!("10.0.0.{n}").parse().unwrap()).collect::<Vec<_>>();
        assert!(AddressRanges::try_from(many).is_err());
    }
}
