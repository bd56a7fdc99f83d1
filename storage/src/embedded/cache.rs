//! A cache in memory, for the nodes of one process.
//!
//! Owns at most [`ENTRIES_MAX`] entries of at most [`crate::cache::VALUE_BYTES_MAX`] each; those used longest ago go
//! first. Its time is the process's own.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Error;
use crate::cache::{Cache, FORGOTTEN_LASTS, Versioned, check};
use crate::recent::Recent;

/// How many entries are kept, those included of which is only known that they are forgotten.
const ENTRIES_MAX: usize = 10_000;

/// A cache in memory.
pub struct EmbeddedCache {
    entries: Mutex<Recent<String, Entry>>,
}

/// What is known of a key.
struct Entry {
    version: u64,
    /// Nothing if the entry is forgotten.
    value: Option<Bytes>,
    until: Instant,
}

impl Default for EmbeddedCache {
    fn default() -> Self {
        Self { entries: Mutex::new(Recent::new(ENTRIES_MAX)) }
    }
}

#[async_trait]
impl Cache for EmbeddedCache {
    async fn get(&self, key: &str) -> Result<Option<Versioned>, Error> {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(key).filter(|entry| entry.until > now);
        Ok(entry.and_then(|entry| Some(Versioned { version: entry.version, value: entry.value.clone()? })))
    }

    async fn put(&self, key: &str, entry: Versioned, lasts: Duration) -> Result<bool, Error> {
        check(key, entry.version, &entry.value)?;
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if entries.get_mut(key).is_some_and(|known| known.until > now && known.version >= entry.version) {
            return Ok(false);
        }
        let Versioned { version, value } = entry;
        entries.insert(key.to_owned(), Entry { version, value: Some(value), until: now + lasts });
        Ok(true)
    }

    async fn forget(&self, key: &str, version: u64) -> Result<(), Error> {
        check(key, version, &[])?;
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if !entries.get_mut(key).is_some_and(|known| known.until > now && known.version > version) {
            entries.insert(key.to_owned(), Entry { version, value: None, until: now + FORGOTTEN_LASTS });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance::cache::all;
    use crate::conformance::time::Paused;

    #[tokio::test(start_paused = true)]
    async fn conforms() {
        all(async || Arc::new(EmbeddedCache::default()) as Arc<dyn Cache>, &Paused::default()).await;
    }

    #[tokio::test]
    async fn entries_are_bounded() {
        let cache = EmbeddedCache::default();
        for number in 0..3 * ENTRIES_MAX {
            let entry = Versioned { version: 1, value: Bytes::new() };
            cache.put(&number.to_string(), entry, Duration::from_mins(1)).await.unwrap();
        }
        assert!(cache.entries.lock().len() <= ENTRIES_MAX);
    }
}
