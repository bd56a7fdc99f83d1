//! One cache in memory.
//!
//! Owns at most so many entries; those used least go first. A key that many ask for at once is read once. A reading
//! that began before its key was forgotten is not kept: a slow reader never brings back what an event has made wrong.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex;
use protocol::http::admin::CacheLevel;
use tokio::sync::OnceCell;

use crate::cache::counts::{Counts, Level};

/// What was read, by what it was asked for by.
pub struct Kept<K, V> {
    entries: Cache<K, V>,
    /// The readings under way, one a key; as many as requests are in flight at most. A reading whose place is gone is
    /// not kept.
    reading: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
    counts: Counts,
}

/// A reader's place in a reading. The last reader to leave one that came to nothing removes it.
struct Place<'a, K: Hash + Eq, V> {
    reading: &'a Mutex<HashMap<K, Arc<OnceCell<V>>>>,
    key: K,
    cell: Arc<OnceCell<V>>,
}

impl<K, V> Kept<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty cache of at most `most` entries, each kept for at most `lasts` if that is given.
    pub fn new(name: &'static str, most: u64, lasts: Option<Duration>) -> Self {
        let builder = Cache::builder().max_capacity(most);
        let builder = if let Some(lasts) = lasts { builder.time_to_live(lasts) } else { builder };
        Self { entries: builder.build(), reading: Mutex::default(), counts: Counts::new(name, Level::Memory) }
    }

    /// The entry, if `suits` takes it; else what `read` answers, which is kept unless the key is forgotten meanwhile.
    /// Who asks while it is read waits for the same reading.
    ///
    /// # Errors
    /// What `read` fails with; nothing is kept then.
    pub async fn get<E, F>(&self, key: K, suits: impl Fn(&V) -> bool, read: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let known = self.entries.get(&key).filter(|value| suits(value));
        self.counts.asked(known.is_some());
        if let Some(value) = known {
            return Ok(value);
        }
        let cell = Arc::clone(self.reading.lock().entry(key.clone()).or_default());
        let place = Place { reading: &self.reading, key, cell };
        let value = place.cell.get_or_try_init(read).await?.clone();
        let mut reading = self.reading.lock();
        if reading.get(&place.key).is_some_and(|cell| Arc::ptr_eq(cell, &place.cell)) {
            self.entries.insert(place.key.clone(), value.clone());
            reading.remove(&place.key);
        }
        drop(reading);
        Ok(value)
    }

    /// Keeps what is known for certain, whatever is being read.
    pub fn put(&self, key: K, value: V) {
        let mut reading = self.reading.lock();
        reading.remove(&key);
        self.entries.insert(key, value);
    }

    /// Forgets an entry: it is read again.
    pub fn forget(&self, key: &K) {
        let mut reading = self.reading.lock();
        reading.remove(key);
        self.entries.invalidate(key);
    }

    /// Forgets all entries.
    pub fn forget_all(&self) {
        let mut reading = self.reading.lock();
        reading.clear();
        self.entries.invalidate_all();
    }

    /// For administrators.
    pub fn report(&self) -> CacheLevel {
        self.counts.report(Some(self.entries.entry_count()))
    }
}

impl<K: Hash + Eq, V> Drop for Place<'_, K, V> {
    fn drop(&mut self) {
        let mut reading = self.reading.lock();
        // The map's and this one: nobody else reads.
        let is_last = Arc::strong_count(&self.cell) <= 2;
        if is_last && reading.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell)) {
            reading.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    fn kept() -> Arc<Kept<u8, u32>> {
        Arc::new(Kept::new("test", 100, None))
    }

    async fn get(kept: &Kept<u8, u32>, value: u32) -> u32 {
        kept.get(1, |_| true, async || Ok::<_, Infallible>(value)).await.unwrap()
    }

    /// Begins a reading that answers when it is told what.
    async fn begin(kept: &Arc<Kept<u8, u32>>) -> (oneshot::Sender<u32>, tokio::task::JoinHandle<Result<u32, ()>>) {
        let (answer, answered) = oneshot::channel();
        let kept = Arc::clone(kept);
        let reading = tokio::spawn(async move { kept.get(1, |_| true, async || answered.await.map_err(|_| ())).await });
        tokio::task::yield_now().await;
        (answer, reading)
    }

    #[tokio::test]
    async fn what_was_read_is_kept_until_it_is_forgotten() {
        let kept = kept();
        assert_eq!([get(&kept, 1).await, get(&kept, 2).await], [1, 1]);
        kept.forget(&1);
        assert_eq!([get(&kept, 3).await, get(&kept, 4).await], [3, 3]);
        kept.forget_all();
        assert_eq!(get(&kept, 5).await, 5);
        kept.put(1, 6);
        assert_eq!(get(&kept, 7).await, 6);
        let unsuited = kept.get(1, |value| *value == 8, async || Ok::<_, Infallible>(8)).await;
        assert_eq!((unsuited, get(&kept, 9).await), (Ok(8), 8), "what does not suit is read anew");
        let report = kept.report();
        assert_eq!((report.hits, report.misses), (4, 4));
    }

    #[tokio::test]
    async fn many_readers_are_one_reading() {
        let (kept, readings) = (kept(), Arc::new(AtomicUsize::new(0)));
        let readers: Vec<_> = (0..100)
            .map(|_| {
                let (kept, readings) = (Arc::clone(&kept), Arc::clone(&readings));
                tokio::spawn(async move {
                    let read = async || {
                        readings.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        Ok::<_, Infallible>(7)
                    };
                    kept.get(1, |_| true, read).await.unwrap()
                })
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap(), 7);
        }
        assert_eq!(readings.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_slow_reader_does_not_bring_back_what_was_forgotten() {
        let kept = kept();
        for event in [|kept: &Kept<u8, u32>| kept.forget(&1), Kept::forget_all] {
            let (answer, reading) = begin(&kept).await;
            event(&kept);
            assert_eq!(get(&kept, 2).await, 2, "who asks later does not get the old one either");
            answer.send(1).unwrap();
            assert_eq!(reading.await.unwrap(), Ok(1), "who asked before gets what was true then");
            assert_eq!(get(&kept, 3).await, 2);
            kept.forget(&1);
        }
        let (answer, reading) = begin(&kept).await;
        kept.put(1, 5);
        answer.send(1).unwrap();
        assert_eq!(reading.await.unwrap(), Ok(1));
        assert_eq!(get(&kept, 6).await, 5);
    }

    #[tokio::test]
    async fn a_reading_that_fails_or_is_given_up_leaves_nothing() {
        let kept = kept();
        let (answer, reading) = begin(&kept).await;
        drop(answer);
        assert_eq!(reading.await.unwrap(), Err(()));
        assert!(kept.reading.lock().is_empty());
        let (_answer, reading) = begin(&kept).await;
        reading.abort();
        assert!(reading.await.unwrap_err().is_cancelled());
        assert!(kept.reading.lock().is_empty());
        assert_eq!(get(&kept, 1).await, 1);
    }

    /// Prints how long what is kept takes to read, from several threads at once (`--nocapture`).
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_is_kept_is_read_at_once() {
        const READS: usize = 50_000;
        let kept: Arc<Kept<u64, Arc<str>>> = Arc::new(Kept::new("test", 65_536, Some(Duration::from_mins(1))));
        for key in 0..10_000 {
            kept.put(key, "Asha Rao".into());
        }
        let readers: Vec<_> = (0..4_u64)
            .map(|reader| {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut took = Vec::with_capacity(READS);
                    for read in (0..READS as u64).map(|read| (read * 7_919 + reader) % 10_000) {
                        let began = std::time::Instant::now();
                        kept.get(read, |_| true, async || Err::<Arc<str>, _>(read)).await.unwrap();
                        took.push(began.elapsed());
                    }
                    took
                })
            })
            .collect();
        let mut took = Vec::new();
        for reader in readers {
            took.extend(reader.await.unwrap());
        }
        took.sort_unstable();
        println!("a read of what is kept: {:?} at p50, {:?} at p99", took[took.len() / 2], took[took.len() * 99 / 100]);
        assert_eq!(kept.report().hits, took.len() as u64, "all of it was there");
    }
}
