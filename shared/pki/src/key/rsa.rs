//! Checks of RSA public keys (RFC 8017), slightly stricter than the CA/Browser Forum's Baseline
//! Requirements, sections 6.1.1.3 and 6.1.6.

use der::{Decode, Sequence, asn1::UintRef};

use super::{fault::KeyFault, roca};

/// The `RSAPublicKey` of RFC 8017, appendix A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// 65537. Another exponent would give the same primes a second public key with another fingerprint.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// The largest number that is tried as a factor of the modulus (Baseline Requirements, section 6.1.6).
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
    // Dividing by composite numbers is redundant but needs no table of primes.
    if (2..=SMALL).any(|number| remainder(modulus, number) == 0) {
        return Err(KeyFault::RsaFactor);
    }
    if roca::is_flawed(|prime| remainder(modulus, prime)) { Err(KeyFault::Roca) } else { Ok(()) }
}

fn remainder(number: &[u8], divisor: u32) -> u32 {
    number.iter().fold(0, |rest, &octet| (rest * 256 + u32::from(octet)) % divisor)
}

#[cfg(test)]
mod tests {
    use der::Encode;

    use super::*;

    /// Returns an odd modulus without a factor up to 752.
    fn modulus(octets: usize) -> Vec<u8> {
        let mut modulus = vec![0xa5; octets];
        while (2..=SMALL).any(|number| remainder(&modulus, number) == 0) {
            let end = &mut modulus[octets - 2..];
            end.copy_from_slice(&(u16::from_be_bytes([end[0], end[1]]) + 1).to_be_bytes());
        }
        modulus
    }

    fn checked(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyFault> {
        let (modulus, public_exponent) =
            (UintRef::new(modulus).unwrap(), UintRef::new(exponent).unwrap());
        check(&RsaPublicKey { modulus, public_exponent }.to_der().unwrap())
    }

    #[test]
    fn has_bounds() {
        for (octets, expected) in [
            (128, Err(KeyFault::RsaSize)),
            (255, Err(KeyFault::RsaSize)),
            (256, Ok(())),
            (384, Ok(())),
            (512, Ok(())),
            (513, Err(KeyFault::RsaSize)),
        ] {
            assert_eq!(checked(&modulus(octets), &EXPONENT), expected, "{octets}");
        }
        // 2047 and 2052 bits.
        for first in [0x7f, 0x0f] {
            let mut modulus = modulus(257);
            modulus[0] = first;
            assert_eq!(checked(&modulus, &EXPONENT), Err(KeyFault::RsaSize));
        }
        for exponent in [&[3][..], &[1], &[17], &[1, 0, 0], &[1, 0, 3], &[1, 0, 0, 0, 1]] {
            assert_eq!(checked(&modulus(256), exponent), Err(KeyFault::RsaExponent));
        }
    }

    #[test]
    fn a_factor_up_to_752_is_found() {
        for factor in [2u32, 3, 5, 127, 743, 751] {
            let mut modulus = vec![0xa5; 256];
            // Subtracts the remainder, to get a multiple of the factor.
            let mut rest = remainder(&modulus, factor);
            for octet in modulus.iter_mut().rev() {
                let (low, borrowed) = octet.overflowing_sub(rest as u8);
                *octet = low;
                rest = (rest >> 8) + u32::from(borrowed);
            }
            assert_eq!(checked(&modulus, &EXPONENT), Err(KeyFault::RsaFactor), "{factor}");
        }
    }

    #[test]
    fn refuses_what_is_not_der() {
        let modulus = modulus(256);
        let (modulus, public_exponent) =
            (UintRef::new(&modulus).unwrap(), UintRef::new(&EXPONENT).unwrap());
        let der = RsaPublicKey { modulus, public_exponent }.to_der().unwrap();
        assert_eq!(check(&der), Ok(()));
        assert_eq!(check(&[&der[..], &[0]].concat()), Err(KeyFault::Encoding));
        assert_eq!(check(&der[..der.len() - 1]), Err(KeyFault::Encoding));
        assert_eq!(check(&[]), Err(KeyFault::Encoding));
    }
}
