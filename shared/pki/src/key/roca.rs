//! The fingerprint of CVE-2017-15361, "ROCA".
//!
//! The flawed library made primes of the form k·M + (65537^a mod M), with M the product of the first
//! primes. So both primes, and their product, are powers of 65537 modulo each of those small primes: Nemec,
//! Sys, Svenda, Klinec, Matyas, "The Return of Coppersmith's Attack" (ACM CCS 2017), section 2.3. A modulus
//! made otherwise is that with a probability of about 2^-27, and then its owner makes another.

/// The primes below 168, but for 2, which every modulus is a power of 65537 by.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

const GENERATOR: u32 = 65_537;

/// Whether a modulus has the fingerprint, by its remainders.
pub(super) fn is_flawed(remainder: impl Fn(u32) -> u32) -> bool {
    PRIMES.iter().all(|&prime| is_power(remainder(prime), prime))
}

/// Whether `number` is a power of the generator modulo `prime`.
fn is_power(number: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 1..prime {
        if power == number {
            return true;
        }
        power = power * (GENERATOR % prime) % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a prime's residues are powers of the generator, as the paper's authors publish it for
    /// the first of them.
    #[test]
    fn the_subgroups_are_those_that_are_published() {
        let powers = |prime| (0..prime).filter(|&it| is_power(it, prime)).collect::<Vec<_>>();
        assert_eq!(powers(3), [1, 2]);
        assert_eq!(powers(7), [1, 2, 3, 4, 5, 6]);
        assert_eq!(powers(11), [1, 10]);
        assert_eq!(powers(13), [1, 3, 4, 9, 10, 12]);
        assert_eq!(powers(17), [1, 2, 4, 8, 9, 13, 15, 16]);
    }

    #[test]
    fn few_others_are_taken_for_flawed() {
        let share = |prime: u32| {
            let powers = (0..prime).filter(|&it| is_power(it, prime)).count();
            powers as f64 / f64::from(prime - 1)
        };
        let probability: f64 = PRIMES.into_iter().map(share).product();
        assert!((-28.0..-26.0).contains(&probability.log2()), "2^{}", probability.log2());
    }
}
