//! The random numbers that follow from a seed.

use std::time::Duration;

/// A generator of random numbers, SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Returns the generator for one part of a schedule. Parts do not disturb each other.
    pub(super) fn new(seed: u64, part: u64) -> Self {
        let mut random = Self(seed);
        random.0 ^= random.next().wrapping_add(part).wrapping_mul(0xd6e8_feb8_6659_fd93);
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to `end`, exclusive.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns true in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns one of the values, which are not empty.
    pub(super) fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// Returns a duration from `from` to `to` milliseconds, exclusive.
    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// Returns a pause between two actions: mostly short enough to meet those of others, sometimes
    /// long enough for caches and grace periods to end.
    pub(super) fn pause(&mut self) -> Duration {
        match self.below(10) {
            0..6 => self.millis(0, 60),
            6..8 => self.millis(100, 3_000),
            8 => self.millis(5_000, 90_000),
            _ => self.millis(600_000, 4_500_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_each_part_gives_others() {
        let numbers = |seed, part| {
            let mut random = Random::new(seed, part);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(numbers(7, 1), numbers(7, 1));
        assert_ne!(numbers(7, 1), numbers(7, 2));
        assert_ne!(numbers(7, 1), numbers(8, 1));
    }

    #[test]
    fn numbers_stay_below_their_end() {
        let mut random = Random::new(0, 0);
        assert!((0..1_000).all(|_| random.below(3) < 3));
        assert!((0..100).all(|_| random.chance(100) && !random.chance(0)));
    }
}
