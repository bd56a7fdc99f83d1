//! What every shared cache must do. Each check wants a fresh cache; [`all`] runs them all.
#![allow(clippy::unwrap_used, reason = "a suite says that it failed by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::cache::{Cache, KEY_BYTES_MAX, VALUE_BYTES_MAX, VERSION_MAX, Versioned};
use crate::conformance::time::Time;

/// How long entries last here unless a check says otherwise.
const LASTS: Duration = Duration::from_mins(1);

/// Runs every check, each on a cache of its own that `fresh` makes.
pub async fn all(fresh: impl AsyncFn() -> Arc<dyn Cache>, time: &dyn Time) {
    what_was_put_is_found(fresh().await).await;
    a_stale_write_loses(fresh().await).await;
    what_is_forgotten_stays_forgotten(fresh().await).await;
    writers_at_once_leave_the_newest(fresh().await).await;
    an_entry_lasts_as_long_as_it_was_said(fresh().await, time).await;
    what_is_out_of_bounds_is_refused(fresh().await).await;
}

fn entry(version: u64, value: &'static str) -> Versioned {
    Versioned { version, value: Bytes::from_static(value.as_bytes()) }
}

async fn what_was_put_is_found(cache: Arc<dyn Cache>) {
    assert_eq!(cache.get("a").await.unwrap(), None);
    assert!(cache.put("a", entry(3, "three"), LASTS).await.unwrap());
    assert_eq!(cache.get("a").await.unwrap(), Some(entry(3, "three")));
    assert_eq!(cache.get("b").await.unwrap(), None);
    let bytes = Versioned { version: 1, value: Bytes::from_static(b"\0\xff\r\n") };
    assert!(cache.put("b", bytes.clone(), LASTS).await.unwrap());
    assert_eq!(cache.get("b").await.unwrap(), Some(bytes), "any bytes");
    assert!(cache.put("c", entry(1, ""), LASTS).await.unwrap());
    assert_eq!(cache.get("c").await.unwrap(), Some(entry(1, "")), "no bytes at all");
}

async fn a_stale_write_loses(cache: Arc<dyn Cache>) {
    assert!(cache.put("a", entry(9, "nine"), LASTS).await.unwrap());
    assert!(!cache.put("a", entry(8, "eight"), LASTS).await.unwrap(), "an older one");
    assert!(!cache.put("a", entry(9, "again"), LASTS).await.unwrap(), "the same");
    assert_eq!(cache.get("a").await.unwrap(), Some(entry(9, "nine")));
    assert!(cache.put("a", entry(10, "ten"), LASTS).await.unwrap(), "as numbers, not as text");
    assert!(cache.put("a", entry(VERSION_MAX, "last"), LASTS).await.unwrap());
    assert!(!cache.put("a", entry(VERSION_MAX - 1, "late"), LASTS).await.unwrap());
    assert_eq!(cache.get("a").await.unwrap(), Some(entry(VERSION_MAX, "last")));
}

async fn what_is_forgotten_stays_forgotten(cache: Arc<dyn Cache>) {
    assert!(cache.put("a", entry(4, "four"), LASTS).await.unwrap());
    cache.forget("a", 4).await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), None);
    assert!(!cache.put("a", entry(4, "slow"), LASTS).await.unwrap(), "a slow reader does not bring it back");
    assert!(!cache.put("a", entry(3, "slower"), LASTS).await.unwrap());
    assert!(cache.put("a", entry(5, "five"), LASTS).await.unwrap());
    cache.forget("a", 4).await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), Some(entry(5, "five")), "what is newer stays");
    cache.forget("never", 7).await.unwrap();
    assert!(!cache.put("never", entry(7, "seven"), LASTS).await.unwrap(), "also of what was not there");
    cache.forget("a", VERSION_MAX).await.unwrap();
    assert!(!cache.put("a", entry(VERSION_MAX, "last"), LASTS).await.unwrap(), "for good");
}

async fn writers_at_once_leave_the_newest(cache: Arc<dyn Cache>) {
    let writers: Vec<_> = (1..=32)
        .map(|version| {
            let cache = Arc::clone(&cache);
            // Some in order, some against it.
            let version = if version % 2 == 0 { version } else { 33 - version };
            tokio::spawn(async move { cache.put("a", entry(version, "value"), LASTS).await.unwrap() })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(cache.get("a").await.unwrap().map(|entry| entry.version), Some(32));
}

async fn an_entry_lasts_as_long_as_it_was_said(cache: Arc<dyn Cache>, time: &dyn Time) {
    let short = Duration::from_secs(1);
    assert!(cache.put("short", entry(2, "two"), short).await.unwrap());
    assert!(cache.put("long", entry(2, "two"), LASTS).await.unwrap());
    time.pass(short).await;
    assert_eq!(cache.get("short").await.unwrap(), None);
    assert!(cache.get("long").await.unwrap().is_some());
    assert!(cache.put("short", entry(1, "one"), LASTS).await.unwrap(), "what is over holds nothing up");
}

async fn what_is_out_of_bounds_is_refused(cache: Arc<dyn Cache>) {
    let (long, large) = ("k".repeat(KEY_BYTES_MAX + 1), vec![0; VALUE_BYTES_MAX + 1]);
    for (key, version, value) in [
        ("", 1, Bytes::new()),
        (long.as_str(), 1, Bytes::new()),
        ("a", 0, Bytes::new()),
        ("a", VERSION_MAX + 1, Bytes::new()),
        ("a", 1, Bytes::from(large)),
    ] {
        assert!(cache.put(key, Versioned { version, value }, LASTS).await.is_err(), "{key} {version}");
    }
    let most = Versioned { version: VERSION_MAX, value: Bytes::from(vec![7; VALUE_BYTES_MAX]) };
    assert!(cache.put(&"k".repeat(KEY_BYTES_MAX), most, LASTS).await.unwrap());
    assert!(cache.forget("", 1).await.is_err());
}
