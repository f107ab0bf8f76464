//! Detects RSA keys with the ROCA flaw (CVE-2017-15361).
//!
//! The flawed library generated primes of the form k·M + (65537^a mod M), where M is the product of the
//! first primes. Both primes, and their product, are therefore powers of 65537 modulo each of those small
//! primes: Nemec, Sys, Svenda, Klinec, Matyas, "The Return of Coppersmith's Attack" (ACM CCS 2017),
//! section 2.3. A sound modulus has this property with a probability of about 2^-27; its owner then
//! generates another key.

/// The odd primes below 168. The prime 2 tells nothing: every modulus is odd, as is every power of 65537.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

const GENERATOR: u32 = 65_537;

/// Returns true if a modulus with these remainders has the fingerprint of the flaw.
pub(super) fn is_flawed(remainder: impl Fn(u32) -> u32) -> bool {
    PRIMES.iter().all(|&prime| is_power(remainder(prime), prime))
}

/// Returns true if `number` is a power of the generator modulo `prime`.
fn is_power(number: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 1..prime {
        if power == number {
            return true;
        }
        power = power * GENERATOR % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the residues with those that the paper's authors publish for the first primes.
    #[test]
    fn the_subgroups_are_as_published() {
        let powers = |prime| (0..prime).filter(|&it| is_power(it, prime)).collect::<Vec<_>>();
        assert_eq!(powers(3), [1, 2]);
        assert_eq!(powers(7), [1, 2, 3, 4, 5, 6]);
        assert_eq!(powers(11), [1, 10]);
        assert_eq!(powers(13), [1, 3, 4, 9, 10, 12]);
        assert_eq!(powers(17), [1, 2, 4, 8, 9, 13, 15, 16]);
    }

    #[test]
    fn few_sound_keys_are_refused() {
        let share = |prime: u32| {
            let powers = (0..prime).filter(|&it| is_power(it, prime)).count();
            powers as f64 / f64::from(prime - 1)
        };
        let probability: f64 = PRIMES.into_iter().map(share).product();
        assert!((-28.0..-26.0).contains(&probability.log2()), "2^{}", probability.log2());
    }
}
