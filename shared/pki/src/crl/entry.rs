//! Entries of CRLs, and serial numbers.

use std::{cmp::Ordering, fmt, str::FromStr};

use der::{Encode, EncodeValue, FixedTag, Length, Tag, Writer};
use x509_cert::ext::pkix::CrlReason;

use super::reason::RevocationReason;
use crate::{clock::Timestamp, hex};

/// The DER of the extension reasonCode (RFC 5280, section 5.3.1) in its sequence, without the last octet,
/// which is the code.
const REASON_CODE: [u8; 13] =
    [0x30, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01];

/// A revoked certificate. Its size is fixed, because there may be a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The serial number.
    pub serial: Serial,
    /// The time of revocation.
    pub revoked_at: Timestamp,
    /// The reason. [`CrlReason::Unspecified`] is not encoded (RFC 5280, section 5.3.1).
    pub reason: CrlReason,
}

impl FixedTag for Entry {
    const TAG: Tag = Tag::Sequence;
}

impl EncodeValue for Entry {
    fn value_len(&self) -> der::Result<Length> {
        let reason = match self.reason {
            CrlReason::Unspecified => Length::ZERO,
            _ => Length::new(14),
        };
        self.serial.encoded_len()? + self.revoked_at.x509()?.encoded_len()? + reason
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        self.serial.encode(writer)?;
        self.revoked_at.x509()?.encode(writer)?;
        match self.reason {
            CrlReason::Unspecified => Ok(()),
            reason => {
                writer.write(&REASON_CODE)?;
                writer.write_byte(reason as u8)
            }
        }
    }
}

impl From<RevocationReason> for CrlReason {
    fn from(reason: RevocationReason) -> Self {
        match reason {
            RevocationReason::Unspecified => Self::Unspecified,
            RevocationReason::KeyCompromise => Self::KeyCompromise,
            RevocationReason::AffiliationChanged => Self::AffiliationChanged,
            RevocationReason::Superseded => Self::Superseded,
            RevocationReason::CessationOfOperation => Self::CessationOfOperation,
            RevocationReason::CertificateHold => Self::CertificateHold,
            RevocationReason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}

/// A serial number, as the content octets of its INTEGER. Ordered by the number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Serial {
    length: u8,
    octets: [u8; Self::MAX],
}

/// The error for a text that is not a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a valid serial number: it must be at most 20 octets in hex and greater than zero \
     (RFC 5280, section 4.1.2.2)"
)]
pub struct InvalidSerial;

impl Serial {
    /// The most octets of a serial number (RFC 5280, section 4.1.2.2).
    const MAX: usize = 20;

    /// Reads the content octets of a DER INTEGER.
    pub(super) fn from_content(content: &[u8]) -> der::Result<Self> {
        let is_minimal = match content {
            [] => false,
            [_] => true,
            [first, second, ..] => *first != if *second < 0x80 { 0 } else { 0xff },
        };
        if !is_minimal || content.len() > Self::MAX {
            return Err(Tag::Integer.value_error().into());
        }
        let mut octets = [0; Self::MAX];
        octets[..content.len()].copy_from_slice(content);
        Ok(Self { length: content.len() as u8, octets })
    }

    fn content(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}

impl FixedTag for Serial {
    const TAG: Tag = Tag::Integer;
}

impl EncodeValue for Serial {
    fn value_len(&self) -> der::Result<Length> {
        Ok(Length::new(self.length.into()))
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(self.content())
    }
}

/// DER encodes a positive number in as few octets as possible, so a longer one is larger.
impl Ord for Serial {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.length, self.octets).cmp(&(other.length, other.octets))
    }
}

impl PartialOrd for Serial {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Writes lower-case hex as in the ledger, without the leading zero that marks the number as positive.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(match self.content() {
            [0, number @ ..] if !number.is_empty() => number,
            number => number,
        }))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Serial {
    type Err = InvalidSerial;

    fn from_str(text: &str) -> Result<Self, InvalidSerial> {
        let is_hex = text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !text.len().is_multiple_of(2) || !is_hex {
            return Err(InvalidSerial);
        }
        let mut content = vec![0];
        for pair in text.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidSerial)?;
            content.push(u8::from_str_radix(pair, 16).map_err(|_| InvalidSerial)?);
        }
        // Without its leading zero, the number could be negative.
        let zeros = content.iter().take_while(|octet| **octet == 0).count();
        let is_high = content.get(zeros).ok_or(InvalidSerial)? & 0x80 != 0;
        Self::from_content(&content[zeros - usize::from(is_high)..]).map_err(|_| InvalidSerial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_reads_as_it_prints() {
        for (text, content) in [
            ("01", &[1][..]),
            ("7f", &[0x7f]),
            ("80", &[0, 0x80]),
            ("0100", &[1, 0]),
            (
                "4000000000000000000000000000000a",
                &[0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10],
            ),
        ] {
            let serial: Serial = text.parse().unwrap();
            assert_eq!(serial.content(), content);
            assert_eq!((serial.to_string().as_str(), format!("{serial:?}").as_str()), (text, text));
            assert_eq!(Serial::from_content(content).unwrap(), serial);
        }
        // The longest, and zero, which other CAs may have used.
        assert!("7f".repeat(20).parse::<Serial>().is_ok());
        assert_eq!(Serial::from_content(&[0]).unwrap().to_string(), "00");
        assert_eq!("000f".parse::<Serial>().unwrap().to_string(), "0f");
        for bad in ["", "0", "00", "+1", "0x", "zz", "é", &"7f".repeat(21), &"ff".repeat(20)] {
            assert_eq!(bad.parse::<Serial>(), Err(InvalidSerial), "{bad}");
        }
        for bad in [&[][..], &[0, 1], &[0xff, 0x80], &[1; 21]] {
            assert!(Serial::from_content(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn serial_numbers_are_in_the_order_of_numbers() {
        let texts = ["01", "7f", "80", "ff", "0100", "7fff", "8000", "010000"];
        let serials: Vec<Serial> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert!(serials.is_sorted());
    }

    /// Each certificate takes 35 octets of a CRL, and 14 more with a reason.
    #[test]
    fn an_entry_is_short() {
        let serial = "4000000000000000000000000000000a".parse().unwrap();
        let revoked_at = Timestamp::from_unix(1_800_000_000);
        let mut entry = Entry { serial, revoked_at, reason: CrlReason::Unspecified };
        assert_eq!(entry.to_der().unwrap().len(), 35);
        entry.reason = CrlReason::KeyCompromise;
        let der = entry.to_der().unwrap();
        assert_eq!(der.len(), 49);
        assert_eq!(der.last(), Some(&1));
        entry.revoked_at = Timestamp::from_unix(2_524_608_000);
        assert_eq!(entry.to_der().unwrap().len(), 51, "GeneralizedTime from 2050 on");
        assert!(size_of::<Entry>() <= 40);
    }
}
