//! A map of bounded size that forgets what was not used for longest.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A map in two generations. When the newer one holds half of what the map may hold, the older one is
/// dropped and the newer takes its place; using an entry moves it into the newer one.
///
/// So an entry outlives at least half the bound of other entries used after it, every operation takes
/// constant time, and there is no list to keep in order.
pub(crate) struct Recent<K, V> {
    newer: HashMap<K, V>,
    older: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// An empty map of at most `entries_max` entries (at least two).
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { newer: HashMap::new(), older: HashMap::new(), half: (entries_max / 2).max(1) }
    }

    /// The entry, if it is still known.
    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.newer.contains_key(key)
            && let Some((key, value)) = self.older.remove_entry(key)
        {
            self.insert(key, value);
        }
        self.newer.get_mut(key)
    }

    /// Adds or replaces an entry.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.older.remove(&key);
        if self.newer.len() >= self.half && !self.newer.contains_key(&key) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, value);
    }

    /// Forgets an entry.
    pub(crate) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.newer.remove(key);
        self.older.remove(key);
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_bound_and_keeps_what_is_used() {
        let mut map = Recent::new(100);
        map.insert("hot".to_owned(), 0);
        for number in 0..10_000 {
            map.insert(number.to_string(), number);
            assert!(map.len() <= 100, "{}", map.len());
            assert_eq!(map.get_mut("hot"), Some(&mut 0));
            assert_eq!(map.get_mut(number.to_string().as_str()), Some(&mut number.clone()));
        }
        assert_eq!(map.get_mut("0"), None);
        map.remove("hot");
        assert_eq!(map.get_mut("hot"), None);
    }
}
