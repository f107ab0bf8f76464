//! Base62: the alphabet of ids and tokens.

use rand_core::CryptoRng;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Fills `target` with uniformly random base62 characters.
pub(crate) fn fill(target: &mut [u8], rng: &mut (impl CryptoRng + ?Sized)) {
    let mut pool = zeroize::Zeroizing::new([0u8; 64]);
    let mut filled = 0;
    while filled < target.len() {
        rng.fill_bytes(pool.as_mut());
        // Six bits each, rejecting 62 and 63: a remainder would favor the first characters.
        for index in pool.iter().map(|byte| usize::from(byte & 63)).filter(|&index| index < 62) {
            if filled == target.len() {
                break;
            }
            target[filled] = ALPHABET[index];
            filled += 1;
        }
    }
}

/// Returns true if every octet is a base62 character.
pub(crate) fn is_base62(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_alphanumeric)
}

/// Encodes a 32-bit number in six characters.
pub(crate) fn encode_u32(mut number: u32) -> [u8; 6] {
    let mut text = [b'0'; 6];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use getrandom::{SysRng, rand_core::UnwrapErr};

    use super::*;

    #[test]
    fn uses_the_whole_alphabet_evenly() {
        let mut text = vec![0; 62_000];
        fill(&mut text, &mut UnwrapErr(SysRng));
        let mut counts = [0u32; 256];
        for byte in &text {
            counts[usize::from(*byte)] += 1;
        }
        let used: BTreeSet<u8> = text.into_iter().collect();
        assert_eq!(used, ALPHABET.iter().copied().collect());
        // 1000 of each are expected, with a standard deviation of 31: eight of them are no accident.
        assert!(counts.iter().filter(|&&n| n > 0).all(|n| (750..1250).contains(n)));
    }
}
