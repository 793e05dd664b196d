//! A small cache whose entries end after a time; pure: time is a parameter.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Values by key, each until its own end.
#[derive(Debug)]
pub struct TtlCache<K, V> {
    entries: HashMap<K, Entry<V>>,
    most: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    until: Instant,
}

impl<K: Eq + Hash, V> TtlCache<K, V> {
    /// An empty cache of at most so many entries.
    pub fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most: most.max(1) }
    }

    /// The value of a key, unless it has ended.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q, now: Instant) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).filter(|entry| entry.until > now).map(|entry| &entry.value)
    }

    /// Keeps a value for `ttl`. Where it is full, what ends first makes room.
    pub fn insert(&mut self, key: K, value: V, ttl: Duration, now: Instant) {
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.entries.insert(key, Entry { value, until: now + ttl });
    }

    /// Forgets a key.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.entries.remove(key);
    }

    /// Forgets the values that `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.entries.retain(|key, entry| keep(key, &entry.value));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Drops what has ended, or else the quarter that ends first, so that it is rarely full again at once.
    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.until > now);
        if self.entries.len() < self.most {
            return;
        }
        let mut ends: Vec<Instant> = self.entries.values().map(|entry| entry.until).collect();
        ends.sort_unstable();
        let mut left = (self.most / 4).max(1);
        let Some(&last) = ends.get(left - 1) else { return };
        self.entries.retain(|_, entry| {
            let goes = left > 0 && entry.until <= last;
            left -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_mins(1);

    #[test]
    fn a_value_ends_with_its_time() {
        let (mut cache, now) = (TtlCache::new(4), Instant::now());
        cache.insert("a", 1, TTL, now);
        assert_eq!(cache.get("a", now + Duration::from_secs(59)), Some(&1));
        assert_eq!(cache.get("a", now + TTL), None);
        cache.insert("a", 2, TTL, now + TTL);
        assert_eq!(cache.get("a", now + TTL), Some(&2));
    }

    #[test]
    fn a_full_cache_forgets_what_has_ended_and_then_what_ends_first() {
        let (mut cache, now) = (TtlCache::new(4), Instant::now());
        for (key, seconds) in [("ends", 1), ("first", 20), ("second", 30), ("third", 40)] {
            cache.insert(key, (), Duration::from_secs(seconds), now);
        }
        let later = now + Duration::from_secs(2);
        cache.insert("fourth", (), TTL, later);
        assert!(["first", "second", "third", "fourth"].iter().all(|key| cache.get(key, later).is_some()));
        cache.insert("fifth", (), TTL, later);
        assert!(cache.get("first", later).is_none());
        assert!(["second", "third", "fourth", "fifth"].iter().all(|key| cache.get(key, later).is_some()));
    }

    #[test]
    fn it_never_grows_beyond_its_bound_even_if_all_end_together() {
        let (mut cache, now) = (TtlCache::new(100), Instant::now());
        for key in 0..1_000 {
            cache.insert(key, (), TTL, now);
            assert!(cache.entries.len() <= 100);
        }
        assert!(cache.get(&999, now).is_some());
    }
}
