//! How often a cache had what was asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, counter};
use protocol::http::admin::CacheLevel;

use crate::cache::metrics::{CACHE, LEVEL, OUTCOME, REQUESTS};

/// Where a cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// In this node's memory.
    Memory = 1,
    /// Shared by all nodes.
    Shared = 2,
}

/// The counts of one cache. They begin with the node.
pub struct Counts {
    name: &'static str,
    level: Level,
    hits: Count,
    misses: Count,
}

/// One of them, for people and for Prometheus.
struct Count {
    count: AtomicU64,
    measured: Counter,
}

impl Counts {
    /// Of the cache of this name.
    pub fn new(name: &'static str, level: Level) -> Self {
        let number = if level == Level::Memory { "1" } else { "2" };
        let count = |outcome: &'static str| Count {
            count: AtomicU64::new(0),
            measured: counter!(REQUESTS, CACHE => name, LEVEL => number, OUTCOME => outcome),
        };
        Self { name, level, hits: count("hit"), misses: count("miss") }
    }

    /// Something was there, or not.
    pub fn asked(&self, was_there: bool) {
        let count = if was_there { &self.hits } else { &self.misses };
        count.count.fetch_add(1, Ordering::Relaxed);
        count.measured.increment(1);
    }

    /// For administrators, with how many entries there are if that is known.
    pub fn report(&self, entries: Option<u64>) -> CacheLevel {
        let read = |count: &Count| count.count.load(Ordering::Relaxed);
        let (hits, misses) = (read(&self.hits), read(&self.misses));
        CacheLevel {
            name: self.name.to_owned(),
            level: self.level as u8,
            entries,
            hits,
            misses,
            hits_per_10k: hits.saturating_mul(10_000).checked_div(hits.saturating_add(misses)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_all_that_was_asked() {
        let counts = Counts::new("people", Level::Shared);
        assert_eq!(counts.report(None).hits_per_10k, None, "nothing was asked");
        for was_there in [true, true, false] {
            counts.asked(was_there);
        }
        let report = counts.report(Some(7));
        assert_eq!((report.hits, report.misses, report.hits_per_10k), (2, 1, Some(6_666)));
        assert_eq!((report.name.as_str(), report.level, report.entries), ("people", 2, Some(7)));
    }
}
