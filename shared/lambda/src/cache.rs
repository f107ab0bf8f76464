//! Values that may be a minute old: policies and authorities. What must act at once, tokens and
//! devices, is a condition of a write and never cached.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use pki::clock::Timestamp;

/// How long a value is served, in seconds.
pub const LIFETIME_SECONDS: u64 = 60;

/// A map whose entries are fresh for [`LIFETIME_SECONDS`]. It keeps one for each project or CA that
/// exists, and so needs no eviction.
pub struct Cache<K, V>(Mutex<HashMap<K, (Timestamp, V)>>);

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// The value put under `key` within the last minute.
    pub fn fresh(&self, key: &K, now: Timestamp) -> Option<V> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|(since, _)| is_fresh(*since, now)).map(|(_, value)| value.clone())
    }

    /// The value last put under `key`, however old.
    pub fn last(&self, key: &K) -> Option<V> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).map(|(_, value)| value.clone())
    }

    /// Remembers `value` as of `now`.
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

/// A clock that was set back makes entries old, not immortal.
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
