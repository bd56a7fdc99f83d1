//! The port of rate limits: how often somebody may do something, and how often they failed to.
//!
//! What is counted may be lost, at a restart or under pressure: then somebody gets a few tries more.
//! Keys are the caller's, `signin:ADDRESS` say; adapters keep no more of them than a hash.

use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;

use crate::Error;

/// So many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many. Nothing is ever allowed if it is 0.
    pub count: u32,
    /// In how long.
    pub window: Duration,
}

/// Whether something is allowed now, and what to tell the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is. What is not allowed is not counted.
    pub allowed: bool,
    /// How many more would be allowed now.
    pub remaining: u32,
    /// How long until all of them are allowed again, if nothing is done.
    pub reset_after: Duration,
    /// How long until one more is allowed; nothing if it is now.
    pub retry_after: Duration,
}

/// Token buckets and failure counters, by key.
///
/// `now` need not increase from call to call: an earlier one is as if no time had passed.
#[async_trait]
pub trait RateLimits: Send + Sync + 'static {
    /// Takes a token from the key's bucket, which holds `limit.count` and fills up evenly in
    /// `limit.window`. Atomic a key.
    async fn check(&self, key: &str, limit: Limit, now: Timestamp) -> Result<Decision, Error>;

    /// Notes a failed attempt, and says whether it was within the limit: fewer than `limit.count` in
    /// the last `limit.window` before it. Past the limit it is not noted, so the wait does not grow.
    ///
    /// Atomic a key: noting *before* an attempt and clearing after it succeeded bounds even attempts
    /// made all at once.
    async fn note_failure(&self, key: &str, limit: Limit, now: Timestamp) -> Result<Decision, Error>;

    /// What [`RateLimits::note_failure`] would say, without noting anything.
    async fn failures(&self, key: &str, limit: Limit, now: Timestamp) -> Result<Decision, Error>;

    /// Forgets the key's failures: an attempt succeeded.
    async fn clear_failures(&self, key: &str) -> Result<(), Error>;
}
