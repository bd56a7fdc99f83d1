//! When a shard is swept next: most shards of a node have nothing that waits for time to pass, and are left alone.
//!
//! A shard says after each sweep when it needs the next, and takes that back with whatever mail it gets. Its supervisor
//! looks at the word of each shard and mails to those that are due, a part of them at a time, so that hundreds of
//! shards do not wake together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Into how many parts the shards are divided; a tick looks at one.
pub(crate) const PARTS: u16 = 5;

/// How often a supervisor looks at one part: a busy shard is swept every 100 ms, so holds, patience and repeats are
/// late by no more than that.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// How often a shard is swept that has nothing but entities which may become idle.
const LIVE: Duration = Duration::from_secs(1);

/// How long a shard is left alone at most: its gauges are written at each sweep.
const REST: Duration = Duration::from_secs(10);

/// What a shard has that waits for time to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Something that every sweep looks at.
    Now,
    /// Entities that may become idle.
    Live,
    /// Nothing before this much time has passed.
    For(Duration),
}

/// When a shard is swept next.
#[derive(Debug)]
pub(crate) struct Sweeping {
    since: Instant,
    /// Milliseconds since `since`. A relaxed word: a supervisor that reads it late comes at its next tick.
    next_ms: AtomicU64,
}

impl Sweeping {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), next_ms: AtomicU64::new(0) }
    }

    /// Something happened: at the next tick.
    pub(crate) fn soon(&self) {
        self.next_ms.store(0, Ordering::Relaxed);
    }

    /// It was swept, and this is what it still has.
    pub(crate) fn swept(&self, waiting: Waiting) {
        let wait = match waiting {
            Waiting::Now => Duration::ZERO,
            Waiting::Live => LIVE,
            Waiting::For(wait) => wait.min(REST),
        };
        self.next_ms.store(millis(self.since.elapsed().saturating_add(wait)), Ordering::Relaxed);
    }

    /// Whether it is to be swept now.
    pub(crate) fn is_due(&self) -> bool {
        self.next_ms.load(Ordering::Relaxed) <= millis(self.since.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shard_is_left_alone_for_as_long_as_it_said() {
        let sweeping = Sweeping::new();
        assert!(sweeping.is_due(), "one that was just opened is looked at");
        for (waiting, wait) in [
            (Waiting::Now, Duration::ZERO),
            (Waiting::Live, LIVE),
            (Waiting::For(Duration::from_millis(250)), Duration::from_millis(250)),
            (Waiting::For(Duration::MAX), REST),
        ] {
            sweeping.swept(waiting);
            if !wait.is_zero() {
                tokio::time::advance(wait.saturating_sub(Duration::from_millis(1))).await;
                assert!(!sweeping.is_due(), "{waiting:?}");
                tokio::time::advance(Duration::from_millis(1)).await;
            }
            assert!(sweeping.is_due(), "{waiting:?}");
        }
        sweeping.swept(Waiting::For(REST));
        sweeping.soon();
        assert!(sweeping.is_due(), "mail takes the word back");
    }
}
