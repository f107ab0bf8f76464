//! RSA keys (RFC 8017) and how they may be weak: the rules of the CA/Browser Forum's Baseline Requirements,
//! sections 6.1.1.3 and 6.1.6, and a little less room.

use der::{Decode, Sequence, asn1::UintRef};

use super::{KeyFault, roca};

/// RFC 8017, appendix A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// 65537. Another would be a second public key to the same primes, under another fingerprint.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// The modulus must have no factor up to here (Baseline Requirements, section 6.1.6).
const SMALL: u32 = 752;

pub(super) fn check(bits: &[u8]) -> Result<(), KeyFault> {
    let key = RsaPublicKey::from_der(bits).map_err(|_| KeyFault::Encoding)?;
    let modulus = key.modulus.as_bytes();
    let whole_octets = modulus.first().is_some_and(|first| *first >= 0x80);
    if !whole_octets || !(2048 / 8..=4096 / 8).contains(&modulus.len()) {
        return Err(KeyFault::RsaSize);
    }
    if key.public_exponent.as_bytes() != EXPONENT {
        return Err(KeyFault::RsaExponent);
    }
    // Not only by primes: what a number divides, its factors do.
    if (2..=SMALL).any(|number| remainder(modulus, number) == 0) {
        return Err(KeyFault::RsaFactor);
    }
    if roca::is_flawed(|prime| remainder(modulus, prime)) { Err(KeyFault::Roca) } else { Ok(()) }
}

fn remainder(number: &[u8], divisor: u32) -> u32 {
    number.iter().fold(0, |rest, &octet| (rest << 8 | u32::from(octet)) % divisor)
}
