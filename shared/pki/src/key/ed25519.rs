//! Checks of Ed25519 public keys (RFC 8032, RFC 8410).

use super::fault::KeyFault;

/// The y coordinates of the points whose order divides the cofactor 8, little-endian, with the sign bit
/// of x cleared. These are all the encodings that RFC 8032 allows: Chalkias, Garillot, Nikolaenko,
/// "Taming the many EdDSAs" (2020), table 1.
const SMALL_ORDER: [[u8; 32]; 5] = [
    // 0, of order 4.
    [0; 32],
    // 1, the neutral element.
    {
        let mut y = [0; 32];
        y[0] = 1;
        y
    },
    // -1, of order 2.
    {
        let mut y = [0xff; 32];
        y[0] = 0xec;
        y[31] = 0x7f;
        y
    },
    // Of order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    // Of order 8, its negative.
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// 2^255 - 19, the field's prime, little-endian.
const PRIME: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// Refuses keys that are not 32 octets, coordinates that are not reduced (RFC 8032, section 5.1.3) and
/// points of small order. Verifying a CSR's signature later proves that the key is a point.
pub(super) fn check(bits: &[u8]) -> Result<(), KeyFault> {
    let mut y: [u8; 32] = bits.try_into().map_err(|_| KeyFault::Encoding)?;
    y[31] &= 0x7f;
    if y.iter().rev().ge(PRIME.iter().rev()) {
        return Err(KeyFault::Encoding);
    }
    if SMALL_ORDER.contains(&y) { Err(KeyFault::SmallOrder) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_order_with_either_sign() {
        for mut y in SMALL_ORDER {
            assert_eq!(check(&y), Err(KeyFault::SmallOrder), "{y:02x?}");
            y[31] |= 0x80;
            assert_eq!(check(&y), Err(KeyFault::SmallOrder), "{y:02x?}");
        }
    }

    /// Covers the unreduced encodings of 0 and 1, and the largest reduced and unreduced values.
    #[test]
    fn one_point_has_one_encoding() {
        let mut y = PRIME;
        assert_eq!(check(&y), Err(KeyFault::Encoding));
        y[0] += 1;
        assert_eq!(check(&y), Err(KeyFault::Encoding));
        y[0] = 0xeb;
        assert_eq!(check(&y), Ok(()));
        assert_eq!(check(&[0xff; 32]), Err(KeyFault::Encoding));
        assert_eq!(check(&[1; 31]), Err(KeyFault::Encoding));
        assert_eq!(check(&[1; 33]), Err(KeyFault::Encoding));
    }
}
