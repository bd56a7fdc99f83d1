//! When a shard is swept next: most shards of a node have nothing that waits for time to pass, and are left alone.
//!
//! A shard says after each sweep when it needs the next, and takes that back with whatever mail it gets. Its supervisor
//! looks at the word of each shard once a round and mails to those that are due: to a few at once, to many a part of
//! them at a time, so that hundreds of shards do not wake together.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::ids::ShardId;
use tokio::time::Instant;

/// Into how many parts of a round many shards are divided.
const PARTS: usize = 5;

/// How long a part is. A round of them is 100 ms: a busy shard is swept that often, or after 180 ms where it was early
/// in one round and late in the next. Holds, patience and repeats are late by no more than that.
const PART: Duration = Duration::from_millis(20);

/// So many shards are swept at once: some tenths of a millisecond. A node at rest wakes once a round for them.
const FEW: usize = 32;

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

/// Which shards of a supervisor are swept when.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// Due in this round and not swept yet.
    due: VecDeque<ShardId>,
    /// Parts of this round that were.
    parts: usize,
}

impl Rounds {
    /// Which shards to sweep now, and when to ask again. `due` answers which are due, in their order; it is asked when
    /// a round begins.
    pub(crate) fn next(&mut self, due: impl FnOnce() -> VecDeque<ShardId>) -> (Vec<ShardId>, Duration) {
        if self.due.is_empty() {
            *self = Self { due: due(), parts: 0 };
        }
        let (len, parts_left) = (self.due.len(), PARTS.saturating_sub(self.parts).max(1));
        let many = if self.parts == 0 && len <= FEW { len } else { len.div_ceil(parts_left) };
        let now = self.due.drain(..many.min(len)).collect();
        self.parts += 1;
        let wait = if self.due.is_empty() { PART * u32::try_from(parts_left).unwrap_or(1) } else { PART };
        (now, wait)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is swept of so many that are due, a part at a time, and how long the round takes.
    fn round(rounds: &mut Rounds, due: u16) -> (Vec<usize>, Duration) {
        let (mut parts, mut took, mut swept) = (Vec::new(), Duration::ZERO, Vec::new());
        loop {
            let (now, wait) = rounds.next(|| (0..due).map(ShardId).collect());
            parts.push(now.len());
            swept.extend(now);
            took += wait;
            if rounds.due.is_empty() {
                assert_eq!(swept, (0..due).map(ShardId).collect::<Vec<_>>(), "each once, in order");
                return (parts, took);
            }
        }
    }

    #[test]
    fn a_few_are_swept_at_once_and_many_over_the_round() {
        let mut rounds = Rounds::default();
        for (due, parts) in [
            (0, vec![0]),
            (1, vec![1]),
            (32, vec![32]),
            (33, vec![7, 7, 7, 6, 6]),
            (256, vec![52, 51, 51, 51, 51]),
            (1_024, vec![205, 205, 205, 205, 204]),
            (0, vec![0]),
        ] {
            assert_eq!(round(&mut rounds, due), (parts, Duration::from_millis(100)), "{due}");
        }
    }

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
