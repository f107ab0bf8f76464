//! A cache for values that may be up to a minute old: policies and CAs. Tokens and devices are never
//! cached: a change to them takes effect immediately, through the conditions of writes.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use pki::clock::Timestamp;

/// The lifetime of a value in seconds.
pub const LIFETIME_SECONDS: u64 = 60;

/// A map whose entries are fresh for [`LIFETIME_SECONDS`]. Without eviction, because keys are limited to
/// existing projects, tokens and CAs.
pub struct Cache<K, V>(Mutex<HashMap<K, (Timestamp, V)>>);

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// Creates an empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Returns the value of `key` if it was put within the last minute.
    pub fn fresh(&self, key: &K, now: Timestamp) -> Option<V> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|(since, _)| is_fresh(*since, now)).map(|(_, value)| value.clone())
    }

    /// Returns the last value of `key`, however old.
    pub fn last(&self, key: &K) -> Option<V> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).map(|(_, value)| value.clone())
    }

    /// Stores `value` as of `now`.
    pub fn put(&self, key: K, value: V, now: Timestamp) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(key, (now, value));
    }
}

impl<K: Eq + Hash, V: Clone> Default for Cache<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Treats entries from the future as stale, so that a clock that is set back does not preserve them.
fn is_fresh(since: Timestamp, now: Timestamp) -> bool {
    since <= now && now < since.plus(LIFETIME_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_after_a_minute_and_when_the_clock_is_set_back() {
        let cache = Cache::new();
        let then = Timestamp::from_unix(1_000);
        cache.put("policy", 1, then);
        assert_eq!(cache.fresh(&"policy", then), Some(1));
        assert_eq!(cache.fresh(&"policy", then.plus(59)), Some(1));
        assert_eq!(cache.fresh(&"policy", then.plus(60)), None);
        assert_eq!(cache.fresh(&"policy", then.minus(1)), None);
        assert_eq!(cache.fresh(&"other", then), None);
        assert_eq!(cache.last(&"policy"), Some(1));
    }
}
