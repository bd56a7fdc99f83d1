//! Rate limits of one process, in memory.
//!
//! Owns at most 100,000 buckets and 100,000 failure counters. Beyond that those used longest ago are
//! dropped, which gives their owners a full bucket: a flood of made-up keys buys a flooder no more
//! tries under one key, only others their old ones back.

use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;
use parking_lot::Mutex;

use crate::Error;
use crate::rate_limits::{Decision, Limit, RateLimits};
use crate::recent::Recent;

/// How many keys are kept of each kind.
const KEYS_MAX: usize = 100_000;

/// How many failures are remembered a key, whatever the limit: 1 KiB.
const FAILURES_MAX: usize = 128;

/// 128 bits of a keyed hash: nobody can make two keys meet, and no key lies in memory as it came.
type KeyHash = [u8; 16];

/// Rate limits in memory.
pub struct EmbeddedRateLimits {
    buckets: Mutex<Recent<KeyHash, Bucket>>,
    failures: Mutex<Recent<KeyHash, Vec<Timestamp>>>,
    secret: [u8; 32],
}

/// A token bucket, kept as the time at which it is full again (the generic cell rate algorithm, ITU-T
/// I.371): one number, and no drift.
struct Bucket {
    full_at: Timestamp,
}

impl Default for EmbeddedRateLimits {
    fn default() -> Self {
        Self::new(rand::random())
    }
}

impl EmbeddedRateLimits {
    /// Empty, with a random secret for the hashes of keys.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { buckets: Mutex::new(Recent::new(KEYS_MAX)), failures: Mutex::new(Recent::new(KEYS_MAX)), secret }
    }

    fn hash(&self, key: &str) -> KeyHash {
        let mut short = [0; 16];
        short.copy_from_slice(blake3::keyed_hash(&self.secret, key.as_bytes()).as_bytes().split_at(16).0);
        short
    }
}

#[async_trait]
impl RateLimits for EmbeddedRateLimits {
    async fn check(&self, key: &str, limit: Limit, now: Timestamp) -> Result<Decision, Error> {
        let key = self.hash(key);
        let mut buckets = self.buckets.lock();
        let full_at = buckets.get_mut(&key).map_or(now, |bucket| bucket.full_at.max(now));
        let (decision, full_at) = take(full_at, limit, now);
        buckets.insert(key, Bucket { full_at });
        Ok(decision)
    }

    async fn note_failure(&self, key: &str, limit: Limit, now: Timestamp) -> Result<Decision, Error> {
        let key = self.hash(key);
        let mut failures = self.failures.lock();
        if failures.get_mut(&key).is_none() {
            failures.insert(key, Vec::new());
        }
        let Some(times) = failures.get_mut(&key) else { return Ok(within(&[], limit, now)) };
        times.retain(|time| now.since(*time) < limit.window);
        let decision = within(times, limit, now);
        if !decision.allowed {
            return Ok(decision);
        }
        times.push(now);
        let after = within(times, limit, now);
        Ok(Decision { allowed: true, ..after })
    }

    async fn failures(&self, key: &str, limit: Limit, now: Timestamp) -> Result<Decision, Error> {
        let mut failures = self.failures.lock();
        let times = failures.get_mut(&self.hash(key)).map_or(&[][..], |times| times.as_slice());
        Ok(within(times, limit, now))
    }

    async fn clear_failures(&self, key: &str) -> Result<(), Error> {
        self.failures.lock().remove(&self.hash(key));
        Ok(())
    }
}

/// Takes one token from a bucket that is full at `full_at`; also answers when it is full then.
fn take(full_at: Timestamp, limit: Limit, now: Timestamp) -> (Decision, Timestamp) {
    let window = u64::try_from(limit.window.as_micros()).unwrap_or(u64::MAX);
    let step = window.checked_div(u64::from(limit.count)).unwrap_or(u64::MAX).max(1);
    let capacity = step.saturating_mul(u64::from(limit.count));
    let missing = full_at.0.saturating_sub(now.0);
    let taken = missing.saturating_add(step);
    let allowed = limit.count > 0 && taken <= capacity;
    let missing = if allowed { taken } else { missing };
    let remaining = capacity.saturating_sub(missing).checked_div(step).unwrap_or(0);
    let decision = Decision {
        allowed,
        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        reset_after: Duration::from_micros(missing),
        retry_after: Duration::from_micros(missing.saturating_add(step).saturating_sub(capacity)),
    };
    (decision, Timestamp(now.0.saturating_add(missing)))
}

/// Whether one more failure is within the limit after those at `times`, which are in order or nearly.
fn within(times: &[Timestamp], limit: Limit, now: Timestamp) -> Decision {
    let count = usize::try_from(limit.count).unwrap_or(usize::MAX).min(FAILURES_MAX);
    let mut left: Vec<Duration> = times.iter().map(|time| limit.window.saturating_sub(now.since(*time))).collect();
    left.retain(|left| !left.is_zero());
    left.sort_unstable();
    let allowed = left.len() < count;
    // One more is allowed when so many have gone that fewer than `count` are left.
    let retry_after = if allowed { None } else { left.get(left.len().saturating_sub(count)).copied() };
    Decision {
        allowed,
        remaining: u32::try_from(count.saturating_sub(left.len())).unwrap_or(u32::MAX),
        reset_after: left.last().copied().unwrap_or_default(),
        retry_after: retry_after.unwrap_or(if allowed { Duration::ZERO } else { limit.window }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LIMIT: Limit = Limit { count: 10, window: Duration::from_mins(1) };

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_790_000_000_000_000 + seconds * 1_000_000)
    }

    #[tokio::test(start_paused = true)]
    async fn conforms() {
        let fresh = async || Arc::new(EmbeddedRateLimits::default()) as Arc<dyn RateLimits>;
        crate::conformance::rate_limits::all(fresh, &crate::conformance::time::Paused::default()).await;
    }

    #[tokio::test]
    async fn a_bucket_empties_and_fills_evenly() {
        let limits = EmbeddedRateLimits::default();
        for taken in 1..=10 {
            let decision = limits.check("a", LIMIT, at(0)).await.unwrap();
            assert_eq!((decision.allowed, decision.remaining), (true, 10 - taken));
        }
        let empty = limits.check("a", LIMIT, at(0)).await.unwrap();
        assert_eq!(
            empty,
            Decision {
                allowed: false,
                remaining: 0,
                reset_after: Duration::from_mins(1),
                retry_after: Duration::from_secs(6)
            }
        );
        assert!(!limits.check("a", LIMIT, at(5)).await.unwrap().allowed);
        assert!(limits.check("a", LIMIT, at(6)).await.unwrap().allowed, "a refusal took nothing");
        assert!(!limits.check("a", LIMIT, at(3)).await.unwrap().allowed, "time that went back gives nothing");
        assert!(limits.check("b", LIMIT, at(0)).await.unwrap().allowed, "another key");
        let full = limits.check("a", LIMIT, at(600)).await.unwrap();
        assert_eq!((full.allowed, full.remaining), (true, 9));
        let none = Limit { count: 0, ..LIMIT };
        assert!(!limits.check("c", none, at(0)).await.unwrap().allowed);
    }

    #[tokio::test]
    async fn ten_failures_and_no_more_even_at_once() {
        let limits = EmbeddedRateLimits::default();
        let mut allowed = 0;
        for _ in 0..100 {
            allowed += u32::from(limits.note_failure("asha", LIMIT, at(0)).await.unwrap().allowed);
        }
        assert_eq!(allowed, 10);
        let blocked = limits.failures("asha", LIMIT, at(20)).await.unwrap();
        assert_eq!((blocked.allowed, blocked.retry_after), (false, Duration::from_secs(40)));
        assert!(limits.failures("asha", LIMIT, at(60)).await.unwrap().allowed, "the window slides");
        assert!(limits.failures("ravi", LIMIT, at(0)).await.unwrap().allowed);
        limits.clear_failures("asha").await.unwrap();
        let cleared = limits.failures("asha", LIMIT, at(0)).await.unwrap();
        assert_eq!((cleared.allowed, cleared.remaining), (true, 10));
    }

    #[tokio::test]
    async fn memory_is_bounded_under_made_up_keys() {
        let limits = EmbeddedRateLimits::default();
        for _ in 0..10 {
            limits.check("victim", LIMIT, at(0)).await.unwrap();
        }
        for number in 0..250_000 {
            limits.check(&format!("k{number}"), LIMIT, at(0)).await.unwrap();
            if number % 10_000 == 0 {
                assert!(!limits.check("victim", LIMIT, at(0)).await.unwrap().allowed, "what is used stays");
            }
        }
        assert!(limits.buckets.lock().len() <= KEYS_MAX);
    }
}
